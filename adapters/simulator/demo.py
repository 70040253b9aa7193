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
    "gpt-5-codex": _rule("completion", "tools", "vision", "thinking", context_length=400_000),
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
    "gpt-5-codex": "gpt-5-codex-2025-09-15",
    "gpt-3.5-turbo-instruct": "gpt-3.5-turbo-instruct:20230824-v2",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}

ANTHROPIC_MODELS: Mapping[str, ModelRule] = {
    "claude-opus-5-5": _rule("completion", "tools", "vision", "thinking", context_length=1_000_000),
    "claude-sonnet-5": _rule("completion", "tools", "vision", "thinking", context_length=1_000_000),
    "claude-opus-4-6": _rule("completion", "tools", "vision", "thinking", context_length=1_000_000),
    "claude-sonnet-4-5": _rule("completion", "tools", "vision", "thinking", context_length=200_000),
    "claude-haiku-4-5": _rule("completion", "tools", "vision", "thinking", context_length=200_000),
    "claude-3-5-haiku-latest": _rule("completion", "tools", "vision", context_length=200_000),
}

GOOGLE_MODELS: Mapping[str, ModelRule] = {
    "gemini-3.5-flash": _rule("completion", "tools", "vision", "thinking", context_length=1_048_576),
    "gemini-3.1-pro-preview": _rule("completion", "tools", "vision", "thinking", context_length=1_048_576),
    "gemini-2.5-pro": _rule("completion", "tools", "vision", "thinking", context_length=1_048_576),
    "gemini-2.5-flash": _rule("completion", "tools", "vision", "thinking", context_length=1_048_576),
    "gemini-2.0-flash": _rule("completion", "tools", "vision", context_length=1_048_576),
    "gemma-3-27b-it": _rule("completion", "vision", context_length=131_072),
    "gemini-embedding-001": _rule("embedding", context_length=2_048),
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


OPENROUTER_MODELS: Mapping[str, ModelRule] = {
    "openai/gpt-4o": OPENAI_MODELS["gpt-4o"],
    "openai/o4-mini": OPENAI_MODELS["o4-mini"],
    "anthropic/claude-sonnet-4": _rule("completion", "tools", "vision", "thinking", context_length=200_000),
    "deepseek/deepseek-r1:free": _rule("completion", "thinking", context_length=163_840),
    "openai/text-embedding-3-small": OPENAI_MODELS["text-embedding-3-small"],
}

# Deployments, under the names of their models.
AZURE_MODELS: Mapping[str, ModelRule] = {
    name: OPENAI_MODELS[name] for name in ("gpt-4o", "gpt-5-mini", "o4-mini", "text-embedding-3-small")
}


# Those with the regions before their maker are called by profile alone.
BEDROCK_MODELS: Mapping[str, ModelRule] = {
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": ANTHROPIC_MODELS["claude-sonnet-4-5"],
    "us.anthropic.claude-opus-4-6-v1": ANTHROPIC_MODELS["claude-opus-4-6"],
    "us.anthropic.claude-opus-4-7": ANTHROPIC_MODELS["claude-opus-4-6"],
    "anthropic.claude-3-haiku-20240307-v1:0": _rule("completion", "tools", "vision", context_length=200_000),
    "us.amazon.nova-2-lite-v1:0": _rule(
        "completion", "tools", "vision", "thinking", context_length=1_000_000
    ),
    "amazon.nova-micro-v1:0": _rule("completion", "tools", context_length=128_000),
    "amazon.titan-text-express-v1": _rule("completion", context_length=8_192),
    "meta.llama3-1-8b-instruct-v1:0": _rule("completion", "tools", context_length=128_000),
    "mistral.mistral-large-2407-v1:0": _rule("completion", "tools", context_length=128_000),
    "openai.gpt-oss-20b-1:0": _rule("completion", "tools", "thinking", context_length=128_000),
    "amazon.titan-embed-text-v2:0": _rule("embedding", context_length=8_192),
    "cohere.embed-english-v3": _rule("embedding", context_length=512),
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
            "anthropic": _facts({**CONFORMANCE_MODELS, **ANTHROPIC_MODELS}),
            "openrouter": _facts({**CONFORMANCE_MODELS, **OPENROUTER_MODELS}),
            "azure": _facts({**CONFORMANCE_MODELS, **AZURE_MODELS}),
            "google": _facts({**CONFORMANCE_MODELS, **GOOGLE_MODELS}),
            "aws_bedrock": _facts({**CONFORMANCE_MODELS, **BEDROCK_MODELS}),
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
