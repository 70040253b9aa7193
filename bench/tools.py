"""The fake provider and the load, as commands: compiled from C where there is a compiler, else in Python."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from bench.cases import Case, body_of
from bench.processes import Launch

HERE = Path(__file__).parent
# Fewer than a server may allow one address.
PER_SOURCE = 200
LIMIT_MS = 60_000


@frozen
class Certificate:
    """Files of a self-signed certificate for 127.0.0.1."""

    cert: Path
    key: Path


@frozen
class Route:
    """How a contender is asked. `end`: what stands at the end of a stream, `whole_end` at that of a whole answer."""

    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(factory=dict)
    end: str = "data: [DONE]"
    whole_end: str = "}"


@frozen
class Tools:
    """The commands; `upstream_tls` is the one that can serve in TLS."""

    upstream: Sequence[str]
    upstream_tls: Sequence[str]
    load: Sequence[str]

    def __str__(self) -> str:
        """What each is written in."""
        languages = {
            name: "Python" if command[0] == sys.executable else "C"
            for name, command in (
                ("provider", self.upstream),
                ("provider in TLS", self.upstream_tls),
                ("load", self.load),
            )
        }
        return ", ".join(f"{name} in {language}" for name, language in languages.items())

    def provider(self, port: int, models: Sequence[str], certificate: Certificate | None) -> Launch:
        """The fake provider, in TLS if there is a certificate."""
        given = [f"port={port}", f"models={','.join(models)}"]
        if certificate is None:
            return Launch([*self.upstream, *given])
        return Launch([*self.upstream_tls, *given, f"cert={certificate.cert}", f"key={certificate.key}"])

    def running_load(self, port: int, case: Case, route: Route) -> "subprocess.Popen[bytes]":
        """The load, begun."""
        given = {
            "port": port,
            "connections": case.connections,
            "requests": case.requests,
            "seconds": case.seconds,
            "stamps": case.stamps,
            "end": route.end if case.streamed else route.whole_end,
            "ramp_ms": case.ramp_ms,
            "limit_ms": LIMIT_MS,
            "per_source": PER_SOURCE,
        }
        process = subprocess.Popen(
            [*self.load, *(f"{name}={value}" for name, value in given.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(request_bytes(port, case, route))
        process.stdin.close()
        process.stdin = None
        return process


def request_bytes(port: int, case: Case, route: Route) -> bytes:
    """One request, as it goes over the wire."""
    body = body_of(case)
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": "application/json",
        "Authorization": "Bearer bench",
        **route.headers,
        "Content-Length": str(len(body)),
    }
    lines = [f"POST {route.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def in_python(name: str) -> list[str]:
    """The command of the tool in Python."""
    return [sys.executable, str(HERE / f"{name}.py")]


def made_tools(folder: Path) -> Tools:
    """The tools, each compiled into `folder` if that can be."""
    return Tools(
        upstream=compiled(folder / "upstream", "upstream"),
        upstream_tls=compiled(folder / "upstream_tls", "upstream", "-DWITH_TLS", "-lssl", "-lcrypto"),
        load=compiled(folder / "load", "load"),
    )


def compiled(program: Path, name: str, *options: str) -> list[str]:
    """The command of a tool: in C if there is a compiler, and the libraries that `options` want."""
    compiler = shutil.which("cc")
    if compiler is None:
        return in_python(name)
    command = [compiler, "-O2", "-o", str(program), str(HERE / f"{name}.c"), *options]
    done = subprocess.run(command, capture_output=True, check=False)
    return in_python(name) if done.returncode else [str(program)]


def made_certificate(folder: Path) -> Certificate | None:
    """A new certificate in `folder`; None where there is no openssl to make it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    form = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run([openssl, *form.split(), *names], check=True, capture_output=True)
    return made


def parsed_report(output: bytes) -> tuple[dict[str, float], str]:
    """The numbers a load has printed, and the first fault it met."""
    report = json.loads(output)
    fault = report.pop("fault")
    return report, fault
