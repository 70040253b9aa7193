"""Files and spoken words, which clients say in OpenAI's form, as Google's inline data.

Google goes by the kind of the bytes, and has no place for a file's name.
Sources: https://ai.google.dev/gemini-api/docs/document-processing, https://ai.google.dev/gemini-api/docs/audio and
https://ai.google.dev/gemini-api/docs/file-input-methods (2026-11).
"""

import re
from typing import Any

from pipeline.values.messages import Opaque

_DATA = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)(?:;[^,;]*)*;base64,", re.IGNORECASE)
_TAKEN = re.compile(
    r"application/pdf|text/.+|image/(?:png|jpeg|webp|heic|heif)|audio/(?:wav|mp3|aiff|aac|ogg|flac)"
)
_SOUNDS = frozenset({"wav", "mp3", "aiff", "aac", "ogg", "flac"})


def inline_data(part: Opaque) -> dict[str, Any] | None:
    """The data of the part as Google takes it; None if it has none, or none of a kind that Google takes."""
    match part.value:
        case {"type": "file", "file": {"file_data": str(url)}} if head := _DATA.match(url):
            kind = head[1].lower()
            return {"mimeType": kind, "data": url[head.end() :]} if _TAKEN.fullmatch(kind) else None
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(format)}}:
            return {"mimeType": f"audio/{format}", "data": data} if format in _SOUNDS else None
    return None
