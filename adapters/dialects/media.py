"""Media in base64: whether the text is base64, and what its first bytes say it is."""

import base64
import binascii
import re

from pipeline.values.messages import Image, Opaque

ALPHABET = re.compile(r"[^A-Za-z0-9+/]")
# As much text as the longest signature needs; a multiple of four.
HEAD = 16

SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav"),
    (re.compile(rb"ID3|\xff[\xf2\xf3\xfa\xfb]"), "audio/mp3"),
)


def illegal_at(text: str) -> int | None:
    """Where `text` stops being standard base64 with padding; None if it is."""
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        odd = ALPHABET.search(text)
        return odd.start() if odd else len(text) - len(text) % 4
    return None


def media_type(data: str) -> str | None:
    """What the first bytes of base64 `data` say it is; None if they do not tell."""
    head = base64.b64decode(data[:HEAD])
    return next((name for signature, name in SIGNATURES if signature.match(head)), None)


def as_part(image: Image) -> Image | Opaque:
    """The part of a message that `image` is. Sound takes OpenAI's form, the only one it has in a conversation."""
    if image.media_type is None or not image.media_type.startswith("audio/"):
        return image
    sound = {"data": image.data, "format": image.media_type.removeprefix("audio/")}
    return Opaque("openai.chat", {"type": "input_audio", "input_audio": sound})
