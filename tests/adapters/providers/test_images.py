"""Pictures: what kind the bytes are, and how they look inside a URL."""

import base64

import pytest

from adapters.providers.images import data_url, media_type
from pipeline.values.messages import Image


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(b"\x89PNG\r\n\x1a\n", "image/png", id="PNG"),
        pytest.param(b"\xff\xd8\xff\xe0", "image/jpeg", id="JPEG"),
        pytest.param(b"GIF89a", "image/gif", id="GIF"),
        pytest.param(b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", id="WebP"),
        pytest.param(b"RIFF\x00\x00\x00\x00WAVEfmt ", None, id="sound"),
        pytest.param(b"BM", "image/bmp", id="a bitmap"),
        pytest.param(b"hello", None, id="text"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_bytes_tell_their_kind(head, expected):
    assert media_type(base64.b64encode(head + bytes(40)).decode()) == expected


@pytest.mark.parametrize("data", ["iVBOR", "!!!!", "é"], ids=["cut", "no base64", "no ASCII"])
def test_what_is_no_base64_tells_nothing(data):
    assert media_type(data) is None


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(Image(url="https://x/y"), "https://x/y", id="an address stays"),
        pytest.param(Image("R0lGODlh"), "data:image/gif;base64,R0lGODlh", id="the bytes tell"),
        pytest.param(
            Image("R0lGODlh", media_type="image/x"), "data:image/x;base64,R0lGODlh", id="the client tells"
        ),
        pytest.param(Image("QUJD"), "data:image/jpeg;base64,QUJD", id="nobody tells"),
    ],
)
def test_urls(image, expected):
    assert data_url(image) == expected
