"""The kinds of providers, each by a model that can do all that is asked, or all it can."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from pipeline.values.targets import Capability
from tests import processes
from tests.processes import Process

ALL_ABILITIES: tuple[Capability, ...] = ("completion", "tools", "vision", "thinking")


@frozen
class Served:
    """A model at a provider.

    `aloud`: it thinks, and tells what. `seals`: its answers carry something that it wants back.
    """

    name: str
    kind: str
    model: str
    aloud: bool = True
    seals: bool = True


ALL = (
    Served("openai", "openai", "gpt-4.1", aloud=False, seals=False),
    Served("openai_thinking", "openai", "gpt-5-mini", seals=False),
    Served("responses", "openai", "gpt-5-codex"),
    Served("anthropic", "anthropic", "claude-sonnet-4-5"),
    Served("anthropic_adaptive", "anthropic", "claude-opus-4-6"),
    Served("google", "google", "gemini-2.5-flash"),
    Served("google_signed", "google", "gemini-3.5-flash"),
    Served("openrouter", "openrouter", "anthropic/claude-sonnet-4", seals=False),
    Served("azure", "azure", "gpt-5-mini", seals=False),
    Served("claude_on_bedrock", "aws_bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    Served("nova", "aws_bedrock", "us.amazon.nova-2-lite-v1:0"),
    Served("ollama", "ollama", "qwen3", seals=False),
)
PATHS = {
    "openai": "/openai/v1",
    "ollama": "/ollama",
    "openrouter": "/openrouter/api/v1",
    "azure": "/azure",
    "anthropic": "/anthropic",
    "google": "/google/v1beta",
    "aws_bedrock": "/aws_bedrock",
}


def alias(served: Served) -> str:
    """The name by which a client asks for it."""
    return f"at-{served.name}"


def config() -> str:
    able = ", ".join(f'"{ability}"' for ability in ALL_ABILITIES)
    aliases = [f'[models."{alias(one)}"]\ntargets = ["{one.kind}/{one.model}"]\n' for one in ALL]
    return "".join([*aliases, f"[models.qwen3]\ncapabilities = [{able}]\n"])


@contextmanager
def gateway(simulator: Process) -> Iterator[Process]:
    """The proxy with every kind of provider behind it."""
    named: dict[str, Any] = {f"{kind.upper()}_BASE_URL": simulator.url + path for kind, path in PATHS.items()}
    keys: dict[str, Any] = {f"{kind.upper()}_API_KEY": "sim-key" for kind in PATHS if kind != "ollama"}
    with processes.app(config=config(), AZURE_DEPLOYMENTS="gpt-5-mini", **named, **keys) as running:
        yield running
