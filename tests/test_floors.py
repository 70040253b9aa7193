"""The floors of the house, read from the imports: which room may know which.

    app.py
    commands/
    stages/     beside   adapters/        neither knows the other
    pipeline/   config > wiring > ports > protocol, state, gate, names > values

Imports run down only, wherever in a file they stand: an import inside a function, or for type checking only,
is knowing too. Some libraries have rooms of their own, so that what they bring with them stays there.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROOMS = {
    "pipeline": {"pipeline"},
    "stages": {"pipeline", "stages"},
    "adapters": {"pipeline", "adapters"},
    "commands": {"pipeline", "stages", "adapters", "commands"},
    "app": {"pipeline", "stages", "adapters", "commands", "app"},
}
HOUSE = {*ROOMS, "tests", "bench", "scripts"}

FLOORS = {
    "values": 0, "state": 1, "protocol": 1, "gate": 1, "names": 1, "identity": 1, "known": 1, "serving": 1, "keys": 1,
    "accounts": 1, "authority": 1, "overload": 1, "fingerprint": 1, "leaves": 1,
    "ports": 2, "wiring": 3, "config": 4,
}  # fmt: skip

RESERVED = {
    "httpx": {"adapters.transport"},
    "httpcore": {"adapters.transport"},
    "quart": {"adapters.admin"},
    "quart_trio": {"adapters.admin"},
    "hypercorn": {"adapters.serving", "adapters.hypercorn_guard", "adapters.hosting"},
}


def module_name(path: str) -> str:
    """The dotted name of a file, given from the root; a package's `__init__` has the package's name."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a source imports; `from a import b` gives `a.b`, maybe a module."""
    package = module_name(path).split(".")
    if not path.endswith("/__init__.py"):
        package = package[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def fault(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`; None where it may."""
    room, top = module.split(".")[0], imported.split(".")[0]
    if top in RESERVED and module not in RESERVED[top]:
        return f"only {' and '.join(sorted(RESERVED[top]))} may import {top}"
    if top not in HOUSE:
        return None
    if top not in ROOMS[room]:
        return f"{room} may import {', '.join(sorted(ROOMS[room]))} of the house, not {top}"
    if room == "pipeline":
        return floor_fault(module, imported)
    return None


def floor_fault(module: str, imported: str) -> str | None:
    own, other = (name.split(".")[1:2] for name in (module, imported))
    if not own:
        return "pipeline/__init__.py imports nothing of the house, or every room would load all of it"
    if unplaced := [name for name in (*own, *other) if name not in FLOORS]:
        return f"pipeline.{unplaced[0]} has no floor yet: give it one in FLOORS"
    if other and FLOORS[other[0]] > FLOORS[own[0]]:
        return f"pipeline.{other[0]} is a floor above pipeline.{own[0]}"
    return None


def violations(path: str, source: str) -> list[str]:
    found = ((line, name, fault(module_name(path), name)) for line, name in imports(path, source))
    return [f"{path}:{line}: imports {name}: {why}" for line, name, why in found if why]


FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for place in ROOMS
    for path in ((ROOT / "app.py",) if place == "app" else (ROOT / place).rglob("*.py"))
)


@pytest.mark.parametrize("path", FILES)
def test_imports_run_down_only(path):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_looked_at(room):
    assert [path for path in FILES if module_name(path).split(".")[0] == room]


def test_every_module_of_the_pipeline_has_a_floor():
    modules = [module_name(path).split(".")[1:2] for path in FILES if path.startswith("pipeline/")]
    assert {name for found in modules for name in found} <= FLOORS.keys()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("pipeline/config.py", "from stages import CATALOG", id="the pipeline knows no stage"),
        pytest.param("pipeline/ports.py", "import adapters.transport", id="the pipeline knows no adapter"),
        pytest.param("stages/call.py", "from adapters.transport import send", id="a stage knows no adapter"),
        pytest.param("adapters/edge.py", "import stages.route as r", id="an adapter knows no stage"),
        pytest.param(
            "adapters/edge.py", "from app import service", id="nobody below knows the composition root"
        ),
        pytest.param("stages/call.py", "from tests import kit", id="the product knows no test"),
        pytest.param("app.py", "import bench.run", id="the product knows no bench"),
        pytest.param(
            "pipeline/values/facts.py", "from pipeline.state import board", id="values know no state"
        ),
        pytest.param("pipeline/values/facts.py", "from ..state import board", id="a relative import counts"),
        pytest.param(
            "pipeline/values/facts.py", "from pipeline import state", id="a package's module counts"
        ),
        pytest.param(
            "pipeline/values/__init__.py", "from .. import ports", id="from a package's own file too"
        ),
        pytest.param("pipeline/state/board.py", "import pipeline.ports", id="state knows no ports"),
        pytest.param(
            "pipeline/protocol.py", "from pipeline.ports import Env", id="the protocol knows no ports"
        ),
        pytest.param("pipeline/ports.py", "from pipeline.wiring import Entry", id="ports know no wiring"),
        pytest.param(
            "pipeline/wiring.py", "from pipeline.config import Config", id="the wiring knows no config"
        ),
        pytest.param(
            "pipeline/values/facts.py", "def f():\n    import pipeline.ports", id="inside a function"
        ),
        pytest.param(
            "pipeline/values/a.py", "if TYPE_CHECKING:\n    import pipeline.ports", id="for types only"
        ),
        pytest.param(
            "pipeline/__init__.py", "from pipeline.ports import Env", id="the package itself stays empty"
        ),
        pytest.param("pipeline/config.py", "import pipeline.unheard_of", id="a module without a floor"),
        pytest.param("adapters/probes.py", "import httpx", id="httpx outside the transport"),
        pytest.param("adapters/http1/client.py", "from httpx import URL", id="a name of httpx"),
        pytest.param("adapters/edge.py", "from quart import request", id="quart outside the control plane"),
        pytest.param("app.py", "from quart_trio import QuartTrio", id="quart-trio in the composition root"),
        pytest.param("app.py", "from hypercorn.trio import serve", id="hypercorn in the composition root"),
    ],
)
def test_a_broken_floor_is_seen(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        pytest.param("app.py", "import adapters.edge, stages, pipeline.config", id="the root knows all"),
        pytest.param("stages/route.py", "from stages.ranking import rank", id="a stage its neighbour"),
        pytest.param("stages/route.py", "from .ranking import rank", id="a stage its neighbour, relatively"),
        pytest.param(
            "pipeline/config.py", "from pipeline.values.targets import Provider", id="down, past floors"
        ),
        pytest.param("pipeline/state/board.py", "from pipeline.state.ewma import Ewma", id="on one floor"),
        pytest.param("pipeline/ports.py", "import pipeline", id="the empty package"),
        pytest.param("adapters/transport.py", "import httpx", id="httpx in its room"),
        pytest.param("adapters/admin.py", "from quart import request", id="quart in its room"),
        pytest.param("adapters/serving.py", "from hypercorn.trio import serve", id="hypercorn in its room"),
        pytest.param("adapters/edge.py", "import httptools, trio, json", id="libraries at large"),
    ],
)
def test_what_the_floors_allow_is_let_through(path, source):
    assert violations(path, source) == []


# Who may know a vendor by its name: its codec and its fake, the languages clients speak with the routes of these, configuration,
# and the catalogue.
KNOWS_VENDORS = ("adapters/providers/", "adapters/simulator/", "adapters/dialects/", "adapters/errors.py", "adapters/admin.py", "adapters/catalogue.py", "pipeline/config/", "pipeline/identity.py")  # fmt: skip
VENDOR = re.compile(r"anthropic|claude|gemini|google|openrouter|azure|bedrock", re.IGNORECASE)


def words(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of what a source says outside of its docstrings: names and constants."""
    tree = ast.parse(source)
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id


@pytest.mark.parametrize("path", [path for path in FILES if not path.startswith(KNOWS_VENDORS)])
def test_no_vendor_is_known_by_name_elsewhere(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    assert [found for found in words(source) if VENDOR.search(found[1]) and len(found[1]) < 60] == []
