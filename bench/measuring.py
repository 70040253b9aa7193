"""One contender, one round: started, made warm, measured in each case, stopped."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import evolve, frozen

from bench.cases import Case, Kind, warming, whole
from bench.contenders import Contender, Setting, route_to
from bench.processes import NotStarted, Running, free_port, started
from bench.tools import Certificate, Route, Tools, parsed_report

SAMPLE_S = 0.25


@frozen
class Result:
    """What one case gave in one round. Times in milliseconds, delays one way from the provider to the client.

    `gateway_cpu_s` is None where there is no gateway; `kb_per_stream` is None but for open streams.
    """

    done: int
    failed: int
    chunks: int
    open_most: int
    wall_s: float
    load_cpu_s: float
    upstream_cpu_s: float
    gateway_cpu_s: float | None
    kb_per_stream: float | None
    total_p50_ms: float
    total_p99_ms: float
    delay_p50_ms: float
    delay_p99_ms: float
    fault: str

    @property
    def tool_bound(self) -> bool:
        """Whether the bench itself was at its limit, so that the speed says little of the contender."""
        busiest = max(self.load_cpu_s, self.upstream_cpu_s)
        return busiest > 0.85 * self.wall_s


@frozen
class Stand:
    """A contender that is up: `gateway` is None for the provider itself."""

    tools: Tools
    port: int
    route: Route
    upstream: Running
    gateway: Running | None

    def load(self, case: Case, watch: Callable[[], None] = lambda: None) -> tuple[dict[str, float], str]:
        """One load to its end, and the first fault that it met; `watch` is called every now and then meanwhile."""
        process = self.tools.running_load(self.port, case, self.route)
        while True:
            try:
                output, told = process.communicate(timeout=SAMPLE_S)
                break
            except subprocess.TimeoutExpired:
                watch()
        if process.returncode:
            raise RuntimeError(f"the load ended with {process.returncode}: {told.decode(errors='replace')}")
        report, fault = parsed_report(output)
        return report, fault

    def gateway_cpu_s(self, case: Case) -> float:
        """CPU seconds of the gateway so far, 0 if there is none."""
        if self.gateway is None:
            return 0.0
        return self.gateway.settled_cpu_s() if case.thorough else self.gateway.cpu_s()

    def measure(self, case: Case) -> Result:
        """One case."""
        warm = warming(case)
        if warm:
            self.load(warm)
        gateway_before = self.gateway_cpu_s(case)
        upstream_before = self.upstream.cpu_s()
        idle_kb = self.gateway.pss_kb() if self.gateway else 0
        most_kb = idle_kb

        def watch() -> None:
            nonlocal most_kb
            if self.gateway and case.kind is Kind.OPEN:
                most_kb = max(most_kb, self.gateway.pss_kb())

        report, fault = self.load(case, watch)
        upstream_cpu_s = self.upstream.cpu_s() - upstream_before
        gateway_cpu_s = self.gateway_cpu_s(case) - gateway_before
        sampled = self.gateway and case.kind is Kind.OPEN and report["open_most"]
        return Result(
            done=int(report["done"]),
            failed=int(report["failed"]),
            chunks=int(report["stamps"]),
            open_most=int(report["open_most"]),
            wall_s=report["wall_s"],
            load_cpu_s=report["cpu_s"],
            upstream_cpu_s=upstream_cpu_s,
            gateway_cpu_s=gateway_cpu_s if self.gateway else None,
            kb_per_stream=(most_kb - idle_kb) / report["open_most"] if sampled else None,
            total_p50_ms=report["total_p50_ms"],
            total_p99_ms=report["total_p99_ms"],
            delay_p50_ms=report["delay_p50_ms"],
            delay_p99_ms=report["delay_p99_ms"],
            fault=fault,
        )


@contextmanager
def standing(
    contender: Contender, tools: Tools, models: Sequence[str], certificate: Certificate | None, folder: Path
) -> Iterator[Stand]:
    """The contender with a provider of its own behind it, from when it answers well. Raises NotStarted."""
    folder.mkdir()
    setting = Setting(free_port(), free_port(), certificate if contender.tls else None)
    route = route_to(contender, setting)
    with ExitStack() as stack:
        launch = tools.provider(setting.upstream_port, models, setting.certificate)
        upstream = stack.enter_context(started(launch, folder / "upstream", setting.upstream_port))
        if contender.launch is None:
            stand = Stand(tools, setting.upstream_port, route, upstream, None)
        else:
            launch = contender.launch(setting)
            gateway = stack.enter_context(
                started(launch, folder / "gateway", setting.port, contender.start_s)
            )
            stand = Stand(tools, setting.port, route, upstream, gateway)
        wait_until_ready(stand, contender.start_s)
        yield stand


def wait_until_ready(stand: Stand, limit_s: float) -> None:
    """Until many connections in a row are answered as they should be. Raises NotStarted."""
    trial = evolve(whole(8), requests=64, seconds=10.0)
    end, fault = time.monotonic() + limit_s, ""
    while time.monotonic() < end:
        report, fault = stand.load(trial)
        if not report["failed"]:
            return
        time.sleep(0.2)
    raise NotStarted(f"it does not answer well: {fault}\n{stand.gateway.output if stand.gateway else ''}")
