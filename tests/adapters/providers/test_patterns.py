"""The patterns of all kinds together: whose a name is while nobody has told a list."""

from fnmatch import fnmatchcase

import pytest

from adapters.providers import CODECS

OWN_NAMES = {
    "openai": (
        "gpt-4", "gpt-4o", "gpt-4.1-mini", "gpt-4-turbo", "gpt-3.5-turbo", "gpt-5", "gpt-5.1-codex", "o1", "o3-mini", "o4-mini",
        "chatgpt-4o-latest", "text-embedding-3-small", "ft:gpt-4o-mini:me::x",
    ),
    "anthropic": ("claude-3-haiku-20240307", "claude-3-5-sonnet-latest", "claude-sonnet-4-5", "claude-opus-4-1-20250805"),
    "google": ("gemini-1.5-pro", "gemini-2.5-flash", "gemini-3-pro-preview", "gemini-embedding-001"),
    "azure": ("prod@mine.openai.azure.com",),
    "aws_bedrock": (
        "anthropic.claude-3-haiku-20240307-v1:0", "us.anthropic.claude-sonnet-4-20250514-v1:0", "amazon.titan-text-express-v1",
        "amazon.nova-pro-v1:0", "meta.llama3-1-8b-instruct-v1:0", "mistral.mistral-large-2407-v1:0", "cohere.command-r-v1:0", "qwen.qwen3-32b-v1:0", "us.deepseek.r1-v1:0", "deepseek.r1-v1:0",
    ),
    "openrouter": ("openai/gpt-4o", "anthropic/claude-3.5-sonnet", "meta-llama/llama-3.1-8b-instruct:free"),
    "ollama": ("llama3.2", "mistral", "mistral:7b", "mistral-nemo", "codellama:7b", "qwen3:8b", "gemma3", "phi4", "deepseek-r1", "gpt-oss:20b", "nomic-embed-text"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in OWN_NAMES.items() for name in names]
)
def test_a_name_is_its_makers_alone(kind, name):
    owners = {
        codec.kind
        for codec in CODECS.values()
        if any(fnmatchcase(name.lower(), pattern) for pattern in codec.patterns)
    }
    assert owners == {kind}
