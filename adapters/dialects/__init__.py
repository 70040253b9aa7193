"""The languages clients speak, by the path of the route on which each is spoken."""

import re
from collections.abc import Mapping

from adapters.dialects import (
    anthropic_chat,
    azure_paths,
    google_chat,
    google_embed,
    ollama_chat,
    ollama_embed,
    ollama_generate,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from pipeline.ports import Dialect

DIALECTS: Mapping[str, Dialect] = {
    "/api/chat": ollama_chat.DIALECT,
    "/api/generate": ollama_generate.DIALECT,
    "/api/embed": ollama_embed.EMBED_DIALECT,
    "/api/embeddings": ollama_embed.EMBEDDINGS_DIALECT,
    "/v1/chat/completions": openai_chat.DIALECT,
    "/v1/completions": openai_completions.DIALECT,
    "/v1/embeddings": openai_embeddings.DIALECT,
    "/v1/messages": anthropic_chat.DIALECT,
    "/v1/responses": openai_responses.DIALECT,
    **azure_paths.DIALECTS,
}

# Routes whose path names the model.
PATTERNS: tuple[tuple[re.Pattern[str], Dialect], ...] = (
    *azure_paths.PATTERNS,
    (google_chat.PATHS, google_chat.DIALECT),
    (google_embed.PATHS, google_embed.DIALECT),
)


def dialect_at(path: str) -> Dialect | None:
    """The language in which models are called at `path`; None where they are not."""
    return DIALECTS.get(path) or next((dialect for form, dialect in PATTERNS if form.fullmatch(path)), None)
