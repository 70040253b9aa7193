"""The embedded provider, and the models of the stand-alone simulator."""

from collections.abc import Mapping

from adapters.simulator.demonstration import DIMENSIONS
from adapters.simulator.scenario import Scenario
from pipeline.values.targets import ModelFacts, ModelRule, Provider

DEMO_PROVIDER = Provider("demo", "openai", "http://demo.invalid/openai/v1", transport="simulator")


def _demo(*capabilities: str, embedding_length: int | None = None) -> ModelRule:
    return _rule(*capabilities, context_length=8192, family="demo", embedding_length=embedding_length)


def _rule(
    *capabilities: str,
    context_length: int | None = 131_072,
    family: str | None = None,
    embedding_length: int | None = None,
    parameter_size: str | None = None,
) -> ModelRule:
    return ModelRule(
        capabilities=frozenset(capabilities),  # type: ignore[arg-type]
        context_length=context_length,
        embedding_length=embedding_length,
        family=family,
        parameter_size=parameter_size,
    )


DEMO_MODELS: Mapping[str, ModelRule] = {
    "demo": _demo("completion"),
    "demo-thinking": _demo("completion", "thinking"),
    "demo-tools": _demo("completion", "tools"),
    "demo-vision": _demo("completion", "vision"),
    "demo-embed": _demo("embedding", embedding_length=DIMENSIONS),
}

# What the conformance suite needs, under the names it uses.
CONFORMANCE_MODELS: Mapping[str, ModelRule] = {
    "chat": _rule("completion", "vision"),
    "basic": _rule("completion"),
    "tools": _rule("completion", "tools"),
    "think": _rule("completion", "thinking"),
    "embed": _rule("embedding", embedding_length=4),
    "insert": _rule("completion", "insert"),
}

OPENAI_MODELS: Mapping[str, ModelRule] = {
    "gpt-4o": _rule("completion", "tools", "vision", context_length=128_000),
    "gpt-4o-mini": _rule("completion", "tools", "vision", context_length=128_000),
    "gpt-4.1": _rule("completion", "tools", "vision", context_length=1_047_576),
    "o4-mini": _rule("completion", "tools", "vision", "thinking", context_length=200_000),
    "gpt-5-mini": _rule("completion", "tools", "vision", "thinking", context_length=400_000),
    "gpt-3.5-turbo-instruct": _rule("insert", context_length=4_096),
    "text-embedding-3-small": _rule("embedding", context_length=8_191),
}

# The dated names that answers carry.
SNAPSHOTS: Mapping[str, str] = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-3.5-turbo-instruct": "gpt-3.5-turbo-instruct:20230824-v2",
}

OLLAMA_MODELS: Mapping[str, ModelRule] = {
    "llama3.2": _rule("completion", "tools", family="llama", parameter_size="3.2B"),
    "qwen3": _rule(
        "completion", "tools", "thinking", context_length=40_960, family="qwen3", parameter_size="8.2B"
    ),
    "gemma3": _rule("completion", "vision", family="gemma3", parameter_size="4.3B"),
    "qwen2.5-coder": _rule(
        "completion", "tools", "insert", context_length=32_768, family="qwen2", parameter_size="7.6B"
    ),
    "nomic-embed-text": _rule(
        "embedding", context_length=2_048, family="nomic-bert", embedding_length=768, parameter_size="137M"
    ),
}


def demo_scenario() -> Scenario:
    """The embedded provider: it says that it is a demonstration, word by word."""
    return Scenario({"openai": _facts(DEMO_MODELS)}, mode="demonstration", delta_s=0.02)


def standard_scenario() -> Scenario:
    """All fake providers with their usual models, answering by the conformance table without delay."""
    return Scenario(
        {
            "openai": _facts({**CONFORMANCE_MODELS, **OPENAI_MODELS}),
            "ollama": _facts({**CONFORMANCE_MODELS, **OLLAMA_MODELS}),
        },
        snapshots=SNAPSHOTS,
    )


def _facts(rules: Mapping[str, ModelRule]) -> tuple[ModelFacts, ...]:
    return tuple(
        ModelFacts(
            name,
            capabilities=rule.capabilities,
            context_length=rule.context_length,
            embedding_length=rule.embedding_length,
            family=rule.family,
            parameter_size=rule.parameter_size,
        )
        for name, rule in rules.items()
    )
