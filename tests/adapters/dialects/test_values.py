"""The small readings: durations, names, media, vectors."""

import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects.durations import seconds
from adapters.dialects.media import as_part, illegal_at, media_type
from adapters.dialects.names import full_name, is_name
from adapters.dialects.vectors import cut, is_unit, scaled
from pipeline.values.messages import Image, Opaque


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("300ms", 0.3),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("10\u00b5s", 1e-5),
        ("0", 0.0),
        ("-0", 0.0),
        ("-1m", -60.0),
        ("+2s", 2.0),
        ("abc", 'time: invalid duration "abc"'),
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("-1", 'time: missing unit in duration "-1"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("1h 30m", 'time: unknown unit "h " in duration "1h 30m"'),
    ],
)
def test_durations(text, expected):
    assert seconds(text) == (pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    "name",
    [
        "llama3",
        "llama3:8b",
        "library/llama3:latest",
        "vendor/model:free",
        "openrouter/openai/gpt-4o",
        "anthropic.claude-3-sonnet-20240229-v1:0",
        "deployment@resource.openai.azure.com",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.model-v1:0",
        "_m",
        "a+b",
    ],
)
def test_names(name):
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "!!bad", "m:", "a b", "a..b", "a//b", "-m", "m/", "ma\u00f1ana", "m" * 201, "m\n"]
)
def test_no_names(name):
    assert not is_name(name)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("m", "registry.ollama.ai/library/m:latest"),
        ("m:8b", "registry.ollama.ai/library/m:8b"),
        ("ns/m", "registry.ollama.ai/ns/m:latest"),
        ("host/ns/m:t", "host/ns/m:t"),
    ],
)
def test_full_names(name, full):
    assert full_name(name) == full


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("aGk=", None),
        ("", None),
        ("not base64!!", 3),
        ("data:image/png;base64,aGk=", 4),
        ("aGk_", 3),
        ("aGk", 0),
        ("aGVsbG8", 4),
        ("aGk=aGk=", 3),
        ("\u00e9", 0),
    ],
)
def test_base64(text, at):
    assert illegal_at(text) == at


@given(st.binary())
def test_all_that_is_encoded_is_base64(data):
    assert illegal_at(base64.b64encode(data).decode()) is None


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0........", "image/jpeg"),
        (b"GIF89a..........", "image/gif"),
        (b"RIFF\x00\x01\x02\x03WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x01\x02\x03WAVEfmt ", "audio/wav"),
        (b"ID3\x04............", "audio/mp3"),
        (b"hello world", None),
        (b"", None),
    ],
)
def test_media_types(head, kind):
    assert media_type(base64.b64encode(head).decode()) == kind


def test_sound_is_a_part_of_its_own():
    assert as_part(Image("d", media_type="image/png")) == Image("d", media_type="image/png")
    sound = {"type": "input_audio", "input_audio": {"data": "d", "format": "wav"}}
    assert as_part(Image("d", media_type="audio/wav")) == Opaque("openai.chat", sound)


VECTORS = st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=1, max_size=8)


@given(VECTORS, st.none() | st.integers(-2, 10))
def test_cut_vectors_have_length_one(vector, dimensions):
    found = cut(vector, dimensions)
    assert len(found) == (
        dimensions if dimensions is not None and 0 < dimensions < len(vector) else len(vector)
    )
    assert math.hypot(*found) == pytest.approx(1) or not any(found)


def test_scales():
    assert scaled([3.0, 4.0]) == pytest.approx([0.6, 0.8])
    assert scaled([0.0]) == [0.0]
    assert is_unit([0.6, 0.8005])
    assert not is_unit([3.0, 4.0])
