"""The bench's command line: rounds over contenders over cases, and the page that is made of them."""

import argparse
import resource
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import CASES, Case, Kind, picked, quick
from bench.contenders import PEERS, ROOT, USUAL, Contender
from bench.machine import facts, load_average
from bench.measuring import Result, standing
from bench.processes import NotStarted
from bench.report import cpu_ms_per_reply, cpu_us_per_chunk, document
from bench.tools import Certificate, Tools, made_certificate, made_tools

RESULTS = ROOT / "bench" / "RESULTS.md"
Results = dict[str, dict[str, list[Result | None]]]


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; lists are split."""

    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    parser = argparse.ArgumentParser(prog="python bench/run.py", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="show in under a minute that all works; one round"
    )
    parser.add_argument("--only", type=names, default=[], metavar="CASE,...", help="these cases alone")
    parser.add_argument("--contenders", type=names, default=[], metavar="NAME,...", help="these alone")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is done; default 3")
    parser.add_argument("--peers", action="store_true", help="with Portkey and LiteLLM, where installed")
    parser.add_argument(
        "--out", type=Path, help="where the results go; a part of the bench is else only shown"
    )
    return parser.parse_args(arguments)


def contenders_of(options: argparse.Namespace) -> tuple[list[Contender], list[str]]:
    """Who takes part, and why others do not. Raises ValueError."""
    chosen = picked([*USUAL, *(PEERS if options.peers else ())], options.contenders)
    reasons = {one.name: one.missing() for one in chosen}
    notes = [f"{name} took no part: {reason}" for name, reason in reasons.items() if reason]
    return [one for one in chosen if not reasons[one.name]], notes


def one_round(
    number: int,
    contender: Contender,
    cases: Sequence[Case],
    tools: Tools,
    certificate: Certificate | None,
    folder: Path,
) -> Mapping[str, Result]:
    """All cases of a contender in one round, by name. Raises NotStarted."""
    found = {}
    models = sorted({"whole", *(case.model for case in cases)})
    with standing(contender, tools, models, certificate, folder) as stand:
        for case in cases:
            result = stand.measure(case)
            found[case.name] = result
            print(f"  round {number}  {contender.name:28} {case.name:10} {brief(case, result)}", flush=True)
    return found


def brief(case: Case, result: Result) -> str:
    """A result in a few words."""
    cost = cpu_ms_per_reply(result) if case.kind is Kind.WHOLE else cpu_us_per_chunk(result)
    unit = "ms/request" if case.kind is Kind.WHOLE else "us/chunk"
    spent = f"{cost:.3f} CPU {unit}" if cost is not None else "no CPU of a gateway"
    failed = f", {result.failed} FAILED: {result.fault}" if result.failed else ""
    return f"{spent}, {result.done} answers in {result.wall_s:.1f} s{failed}"


def run(
    rounds: int, contenders: Sequence[Contender], cases: Sequence[Case], tools: Tools, folder: Path
) -> tuple[Results, list[str]]:
    """All rounds, and what is to be noted. Contenders take turns, so that a change of the machine meets all of them."""
    certificate = made_certificate(folder)
    results: Results = {case.name: {one.name: [] for one in contenders} for case in cases}
    notes: list[str] = []
    for number in range(rounds):
        for place, contender in enumerate(contenders):
            due = [case for case in cases if number < case.most_rounds]
            where = folder / f"{number}-{place}"
            try:
                found = one_round(number + 1, contender, due, tools, certificate, where) if due else {}
            except NotStarted as reason:
                notes.append(f"{contender.name} took no part in round {number + 1}: {first_line(reason)}")
                print(f"  round {number + 1}  {contender.name}: {reason}", flush=True)
                found = {}
            for case in due:
                results[case.name][contender.name].append(found.get(case.name))
    return results, notes


def first_line(reason: Exception) -> str:
    """What fits into a list; the rest was shown."""
    return str(reason).partition("\n")[0]


def broken(results: Results, contenders: Sequence[Contender]) -> bool:
    """Whether anything failed, or was missing, that must not."""
    ours = {one.name for one in contenders if one.ours}
    return any(
        result is None or result.failed
        for rounds in results.values()
        for name, found in rounds.items()
        if name in ours
        for result in found
    )


def main() -> int:
    """Measure, write, and tell by the exit status whether all went well."""
    options = options_of(sys.argv[1:])
    try:
        cases = picked([quick(case) for case in CASES] if options.quick else CASES, options.only)
        contenders, notes = contenders_of(options)
    except ValueError as fault:
        print(fault, file=sys.stderr)
        return 2
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        tools = made_tools(Path(folder))
        known = {**facts(ROOT, options.peers), "the bench's tools": str(tools)}
        rounds = 1 if options.quick else options.rounds
        results, more = run(rounds, contenders, cases, tools, Path(folder))
    known["load average at the end"] = load_average()
    tls = [one.name for one in contenders if one.tls]
    command = shlex.join(["python", "bench/run.py", *sys.argv[1:]])
    page = document(command, known, [*notes, *more], cases, results, tls)
    a_part = options.quick or options.only or options.contenders
    out = options.out or (None if a_part else RESULTS)
    if out:
        out.write_text(page)
    print(page if out is None else f"written: {out}")
    return 1 if broken(results, contenders) else 0
