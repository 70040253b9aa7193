"""Pictures: what kind the bytes are, and how they look inside a URL."""

import base64
import binascii

from pipeline.values.messages import Image

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


def media_type(data: str) -> str | None:
    """The media type of a base64 picture, told by its first bytes; None if they do not tell."""
    try:
        # 24 characters are 18 bytes: enough for each signature, and no more is decoded.
        head = base64.b64decode(data[:24], validate=True)
    except (binascii.Error, ValueError):
        return None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), None)


def data_url(image: Image) -> str | None:
    """The picture as a URL: its own, or a data URL of its bytes; None if it has neither."""
    if image.data is None:
        return image.url
    kind = image.media_type or media_type(image.data) or "image/jpeg"
    return f"data:{kind};base64,{image.data}"
