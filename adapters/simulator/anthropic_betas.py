"""What Anthropic takes of a client that names a beta: fields that change nothing of what is simulated here."""

from collections.abc import Mapping
from typing import Any

from pipeline.values.http import Headers

# Fields by the beginning of the beta's name; a date follows.
FIELDS: Mapping[str, str] = {
    "context-management-": "context_management",
    "mcp-client-": "mcp_servers",
    "fast-mode-": "speed",
}


def plain(body: Mapping[str, Any], headers: Headers) -> dict[str, Any]:
    """The body without the fields of the betas that are named."""
    named = [beta.strip() for beta in headers.get("anthropic-beta", "").split(",")]
    taken = {field for beta, field in FIELDS.items() if any(each.startswith(beta) for each in named)}
    return {name: value for name, value in body.items() if name not in taken}
