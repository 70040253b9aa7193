"""What clients look for in `/api/show`, and who tells it: the model's own server where that is an Ollama, else the house."""

import json
import re
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve

from adapters.admin import control_plane
from adapters.catalogue import knowledge
from adapters.house import House
from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from adapters.providers import CODECS
from adapters.showing import PATIENCE_S
from adapters.simulator.demo import standard_scenario
from adapters.simulator.transport import SimulatorTransport
from pipeline.ports import Reply
from pipeline.state.board import Board
from pipeline.values.facts import ModelsListed, ProbeEnded
from pipeline.values.http import ReplyHead
from pipeline.values.problems import Kind, Problem
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, ModelRule, Provider
from tests.adapters.asgi_kit import call
from tests.kit import Stand

PROVIDERS = {
    "openai": Provider("openai", "openai", "https://api.openai.test/v1"),
    "anthropic": Provider("anthropic", "anthropic", "https://api.anthropic.test"),
    "ollama": Provider("ollama", "ollama", "http://sim.test/ollama", Secret("k")),
}
LISTED = {
    "openai": ("gpt-4o", "gpt-3.5-turbo-instruct", "text-embedding-3-small"),
    "anthropic": ("claude-sonnet-4-5",),
    "ollama": ("qwen2.5-coder:latest", "llama3.2:latest"),
}
COPILOT = {"user-agent": "GitHubCopilotChat/0.30"}


class Scripted:
    """An Ollama that answers with the next reply, after a while."""

    def __init__(self, status=200, body=b"", delay_s=0.0, problem=None):
        self.status, self.body, self.delay_s, self.problem = status, body, delay_s, problem
        self.asked = []

    @asynccontextmanager
    async def open(self, request):
        self.asked.append(request)
        await trio.sleep(self.delay_s)
        parts = [self.body, b""]

        async def read():
            await trio.lowlevel.checkpoint()
            return parts.pop(0)

        yield self.problem or Reply(ReplyHead(self.status), read)


def house(ollama=None, providers=PROVIDERS, **changes):
    board = Board()
    board.tell(ProbeEnded("ollama", 0.0, 0.1))
    for name in providers:
        board.tell(ModelsListed(name, 0.0, tuple(map(ModelFacts, LISTED[name]))))
    env = evolve(
        Stand({}).env,
        providers=providers,
        codecs=CODECS,
        transports={"ollama": ollama or SimulatorTransport(standard_scenario())},
        snapshot=lambda: board.snapshot,
        known=knowledge(True),
        **changes,
    )
    return House(env, Ledger(), Lifecycle(), 0.0, "1.2.3", instance="our-id")


async def show(model, within=None, field="model", headers=None, **fields):
    body = json.dumps({field: model, **fields}).encode()
    asked = within or house()
    return await call(control_plane(lambda: asked), "POST", "/api/show", body=body, headers=headers or {})


# ---- What clients do with it -----------------------------------------------------------------------------------------


def litellm(shown):
    """Whether LiteLLM offers tools to the model, and the context it takes: any key that ends so."""
    lengths = [value for key, value in shown["model_info"].items() if "context_length" in key]
    return "tools" in str(shown.get("template", "")).lower(), next(iter(lengths), None)


def continue_dev(shown):
    """Whether Continue fills in the middle, and the parameters it reads line by line."""
    read = {}
    for line in (shown.get("parameters") or "").splitlines():
        key, value = re.split(r"\s+", line.strip(), maxsplit=1)
        if key == "num_ctx":
            read[key] = int(value)
        elif key == "stop":
            read.setdefault(key, []).append(json.loads(value))
    return ".Suffix" in shown.get("template", ""), read


def copilot(shown):
    """What VS Code makes of it; None where it skips the model."""
    if not isinstance(shown.get("capabilities"), list):
        return None
    info = shown["model_info"]
    length = info.get(f"{info['general.architecture']}.context_length", 32768)
    return (
        info["general.basename"],
        length,
        "tools" in shown["capabilities"],
        "vision" in shown["capabilities"],
    )


@pytest.mark.parametrize(
    ("model", "tools", "context", "suffix", "parameters", "vision"),
    [
        pytest.param(
            "gpt-4o", True, 128_000, False, {"num_ctx": 128_000}, True, id="a cloud model over openai"
        ),
        pytest.param(
            "claude-sonnet-4-5", True, 200_000, False, {"num_ctx": 200_000}, True, id="one over anthropic"
        ),
        pytest.param(
            "qwen2.5-coder", True, 32_768, True, {"stop": ["<end>"]}, False, id="a local one that fills gaps"
        ),
        pytest.param(
            "llama3.2", True, 131_072, False, {"stop": ["<end>"]}, False, id="a local one that does not"
        ),
    ],
)
async def test_each_client_finds_what_it_looks_for(model, tools, context, suffix, parameters, vision):
    shown = (await show(model, field="name")).json
    assert litellm(shown) == (tools, context)
    assert continue_dev(shown) == (suffix, parameters)
    shown = (await show(model, headers=COPILOT)).json
    assert copilot(shown) == (model, context, tools, vision)
    assert isinstance(shown["details"]["family"], str)
    assert isinstance(shown["modelfile"], str)


async def test_a_cloud_model_that_fills_gaps_says_so():
    assert continue_dev((await show("gpt-3.5-turbo-instruct")).json)[0]


async def test_an_embedding_model_completes_nothing():
    assert (await show("text-embedding-3-small")).json["capabilities"] == ["embedding"]


# ---- A model at home -------------------------------------------------------------------------------------------------

TOLD = {
    "license": "free",
    "template": "{{ .Prompt }}",
    "details": {"family": "llama"},
    "model_info": {
        "general.architecture": "llama",
        "general.basename": "Llama",
        "llama.context_length": 4096,
    },
    "capabilities": ["completion"],
    "tensors": [],
}


DEEP = b'{"details":{},"model_info":{"a":' + b"[" * 300 + b"]" * 300 + b"}}"


async def test_what_the_server_says_is_what_is_shown():
    ollama = Scripted(body=json.dumps(TOLD).encode())
    assert (await show("ollama/LLAMA3.2", house(ollama), verbose=True)).json == TOLD
    (asked,) = ollama.asked
    assert (asked.method, asked.url) == ("POST", "http://sim.test/ollama/api/show")
    assert json.loads(asked.body) == {"model": "llama3.2:latest", "verbose": True}
    assert asked.headers["authorization"] == "Bearer k"
    assert asked.headers["x-ollama-proxy-hop"] == "our-id"


async def test_copilot_shows_the_name_that_was_asked():
    ollama = Scripted(body=json.dumps(TOLD).encode())
    got = (await show("ollama/llama3.2", house(ollama), headers=COPILOT)).json
    assert got["model_info"]["general.basename"] == "ollama/llama3.2"


async def test_an_old_server_tells_no_capabilities():
    told = {name: value for name, value in TOLD.items() if name != "capabilities"}
    got = (await show("llama3.2", house(Scripted(body=json.dumps(told).encode())))).json
    assert got["capabilities"] == ["completion"]


async def test_what_the_operator_states_lies_over_it():
    rules = {"llama3.2": ModelRule(capabilities=frozenset({"completion", "tools"}), context_length=9000)}
    got = (await show("llama3.2", house(Scripted(body=json.dumps(TOLD).encode()), models=rules))).json
    assert (got["capabilities"], got["model_info"]["llama.context_length"]) == (["completion", "tools"], 9000)
    assert got["license"] == "free"


@pytest.mark.parametrize(
    "ollama",
    [
        pytest.param(Scripted(problem=Problem(Kind.CONNECT)), id="nobody there"),
        pytest.param(Scripted(status=500, body=b'{"error":"x"}'), id="a fault"),
        pytest.param(Scripted(status=508, body=b'{"error":"x"}'), id="a circle"),
        pytest.param(Scripted(body=b"<html>"), id="no JSON"),
        pytest.param(Scripted(body=DEEP), id="deeper than can be told"),
        pytest.param(Scripted(body=b'{"details":{}}'), id="without what clients need"),
        pytest.param(Scripted(body=json.dumps(TOLD).encode(), delay_s=PATIENCE_S + 1), id="too late"),
    ],
)
async def test_without_the_server_the_house_answers(ollama, autojump_clock):
    began = trio.current_time()
    got = await show("llama3.2", house(ollama))
    assert trio.current_time() - began <= PATIENCE_S
    assert got.status == 200
    assert got.json["model_info"]["general.basename"] == "llama3.2"
    assert "license" not in got.json


async def test_a_server_known_to_be_away_is_not_asked():
    ollama = Scripted(body=json.dumps(TOLD).encode())
    away = house(ollama)
    board = Board()
    board.tell(ModelsListed("ollama", 0.0, (ModelFacts("llama3.2"),)))
    for _ in range(3):
        board.tell(ProbeEnded("ollama", 1.0, 0.1, Kind.CONNECT))
    got = await show("llama3.2", evolve(away, env=evolve(away.env, snapshot=lambda: board.snapshot)))
    assert (got.status, ollama.asked) == (200, [])


async def test_a_model_that_its_server_has_not():
    got = await show("llama9", house(Scripted(status=404, body=b'{"error":"model not found"}')))
    assert (got.status, got.json) == (404, {"error": "model 'llama9:latest' not found"})
