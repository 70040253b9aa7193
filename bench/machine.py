"""What the figures depend on: machine, versions, date."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("trio", "hypercorn", "httptools", "orjson", "attrs")


def told(command: Sequence[str], pattern: str = r".+") -> str:
    """The part of a program's first words that `pattern` finds; "" if there is no such program."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[0] if found and not done.returncode else ""


def processor(cpuinfo: str) -> str:
    """The model name in /proc/cpuinfo."""
    found = re.search(r"model name\s*: (.+)", cpuinfo)
    return found[1] if found else platform.machine()


def memory_gib(meminfo: str) -> float:
    """The memory in /proc/meminfo."""
    found = re.search(r"MemTotal:\s*(\d+) kB", meminfo)
    return int(found[1]) / 1024**2 if found else 0.0


def load_average() -> str:
    """How busy the machine has been for a minute."""
    return f"{os.getloadavg()[0]:.2f}"


def portkey_version() -> str:
    """Of the Portkey that PORTKEY_DIR names."""
    package = Path(os.environ.get("PORTKEY_DIR", ""), "node_modules/@portkey-ai/gateway/package.json")
    return json.loads(package.read_text())["version"] if package.is_file() else ""


def litellm_version() -> str:
    """Of the LiteLLM that LITELLM_BIN names: its own Python knows."""
    program = Path(os.environ.get("LITELLM_BIN", ""))
    ask = "from importlib.metadata import version; print(version('litellm'))"
    return told([str(program.parent / "python"), "-c", ask]) if program.name else ""


def facts(root: Path, peers: bool) -> Mapping[str, str]:
    """Name and value of each; those unknown are left out."""
    commit = told(["git", "-C", str(root), "rev-parse", "--short", "HEAD"])
    changed = told(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    versions = {
        "Python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "nginx": told(["nginx", "-v"], r"[\d.]+"),
        "node": told(["node", "--version"], r"[\d.]+") if peers else "",
        "Portkey": portkey_version() if peers else "",
        "LiteLLM": litellm_version() if peers else "",
    }
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "machine": f"{os.cpu_count()} x {processor(Path('/proc/cpuinfo').read_text())}, "
        f"{memory_gib(Path('/proc/meminfo').read_text()):.0f} GiB, Linux {platform.release()}",
        "load average at the start": load_average(),
        "the proxy": told([sys.executable, str(root / "app.py"), "version"])
        + (f", commit {commit}{' with changes' if changed else ''}" if commit else ""),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
    }
