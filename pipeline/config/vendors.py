"""The kinds of provider with their usual addresses, and what is only known for each."""

from collections.abc import Mapping

from attrs import frozen


@frozen
class Vendor:
    """What holds for accounts of one kind unless they say otherwise.

    `base_url` None: there is no common address. `priority`: lower is asked first. `needs_key`: its own service answers
    nobody without one. `own`: keys of a provider's table that belong to this kind alone.
    """

    base_url: str | None
    priority: int
    needs_key: bool = True
    own: frozenset[str] = frozenset()


# In order of priority: what costs nothing first, OpenRouter, which knows every model, last.
VENDORS: Mapping[str, Vendor] = {
    "ollama": Vendor("http://127.0.0.1:11434", 1, needs_key=False),
    "openai": Vendor("https://api.openai.com/v1", 2),
    "anthropic": Vendor("https://api.anthropic.com", 3),
    "google": Vendor("https://generativelanguage.googleapis.com/v1beta", 4),
    "azure": Vendor(None, 5, own=frozenset({"api_version", "deployments"})),
    "aws_bedrock": Vendor(
        None,
        6,
        needs_key=False,
        own=frozenset({"access_key", "secret_key", "session_token", "region", "arns"}),
    ),
    "openrouter": Vendor("https://openrouter.ai/api/v1", 7, own=frozenset({"referer", "title"})),
}

OTHER = Vendor(None, 10, needs_key=False)  # a kind this table does not know
