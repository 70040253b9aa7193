"""Cutting bytes into frames: what is one, where its bytes are, and that the network's cuts make no difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.framing.ndjson import NdjsonReader
from adapters.framing.sse import SseReader

READERS = {"sse": SseReader, "ndjson": NdjsonReader}


def read(reader, *pieces):
    """All frames as (event, data), and all bytes; each frame's bytes are where it says."""
    found, passed = [], b""
    for piece in pieces:
        whole, frames = reader.feed(piece)
        for frame in frames:
            assert (
                frame.data.splitlines()[-1:] == []
                or frame.data.splitlines()[-1] in whole[frame.start : frame.end]
            )
            found.append((frame.event, frame.data))
        assert [frame.start for frame in frames] == sorted(frame.start for frame in frames)
        passed += whole
    return found, passed


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")], id="LF"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")], id="CR"),
        pytest.param(
            b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\r", [(b"", b"a"), (b"", b"b"), (b"", b"c")], id="mixed"
        ),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")], id="a byte-order mark at the start"),
        pytest.param(
            b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")], id="a byte-order mark elsewhere is none"
        ),
        pytest.param(b": hello\n\ndata: a\n: note\n\n", [(b"", b"a")], id="comments"),
        pytest.param(
            b"data: a\n\n: note\n\ndata: b\n\nevent: e\ndata: c\n\ndata: d\n\n",
            [(b"", b"a"), (b"", b"b"), (b"e", b"c"), (b"", b"d")],
            id="blocks of all forms among plain ones",
        ),
        pytest.param(b"data: \n\ndata: data: a\n\n", [(b"", b""), (b"", b"data: a")], id="plain, but odd"),
        pytest.param(b"data: a\ndata: b\n\n", [(b"", b"a\nb")], id="several lines of data"),
        pytest.param(b"data: a\r\ndata:\r\ndata: b\r\n\r\n", [(b"", b"a\n\nb")], id="an empty line of data"),
        pytest.param(
            b"event: error\ndata: a\n\ndata: b\n\n", [(b"error", b"a"), (b"", b"b")], id="an event's name"
        ),
        pytest.param(b"data:a\n\ndata:  b\n\n", [(b"", b"a"), (b"", b" b")], id="one blank is taken off"),
        pytest.param(b"event: ping\nid: 1\nretry: 5\n\n", [], id="no data, no frame"),
        pytest.param(b"data\n\ndatas: x\n\n", [(b"", b"")], id="a name without a colon, and another name"),
        pytest.param(b"\n\n\ndata: a\n\n\n\n\n", [(b"", b"a")], id="more blank lines than needed"),
        pytest.param(
            b"data: a\xe2\x80\xa8b\xc2\x85c\n\n",
            [(b"", b"a\xe2\x80\xa8b\xc2\x85c")],
            id="U+2028 ends no line",
        ),
        pytest.param(b"data: a\n\ndata: b\n", [(b"", b"a")], id="an end without a blank line"),
    ],
)
def test_server_sent_events_are_cut_at_blank_lines(stream, expected):
    assert read(SseReader(), stream)[0] == expected
    assert read(SseReader(), *(bytes((byte,)) for byte in stream))[0] == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}'], id="LF"),
        pytest.param(b'{"a":1}\r\n', [b'{"a":1}\r'], id="CRLF, where the CR is white space"),
        pytest.param(b"\n{}\n \r\n\n", [b"{}"], id="blank lines"),
        pytest.param(b'{"a":"\xe2\x80\xa8"}\n', [b'{"a":"\xe2\x80\xa8"}'], id="U+2028 ends no line"),
        pytest.param(b"{}\n{", [b"{}"], id="an end without a newline"),
    ],
)
def test_ndjson_is_cut_at_newlines(stream, expected):
    assert [data for _, data in read(NdjsonReader(), stream)[0]] == expected
    assert [data for _, data in read(NdjsonReader(), *(bytes((byte,)) for byte in stream))[0]] == expected


@pytest.mark.parametrize(
    ("reader", "stream", "left", "data"),
    [
        pytest.param(SseReader(), b"data: a\n\ndata: b", b"data: b", b"b", id="SSE without its blank line"),
        pytest.param(SseReader(), b"data: a\n\ndata: b\r\n", b"data: b\r\n", b"b", id="SSE with half of it"),
        pytest.param(SseReader(), b"data: a\n\n", b"", None, id="SSE with it"),
        pytest.param(SseReader(), b"data: a\n\n: bye", b": bye", None, id="SSE with a comment"),
        pytest.param(NdjsonReader(), b"{}\n[]", b"[]", b"[]", id="NDJSON without its newline"),
        pytest.param(NdjsonReader(), b"{}\n ", b" ", None, id="NDJSON with a blank"),
    ],
)
def test_the_rest_is_what_has_no_end(reader, stream, left, data):
    reader.feed(stream)
    rest, frame = reader.rest()
    assert rest == left
    assert (frame and frame.data) == data
    assert reader.rest() == (b"", None)


@pytest.mark.parametrize(
    "pieces", [1, 7, 64], ids=["in one", "in pieces of seven", "in pieces of sixty-four"]
)
@pytest.mark.parametrize(
    ("name", "fits", "long"),
    [
        pytest.param("sse", b"data: " + b"x" * 58 + b"\n\n", b"data: " + b"x" * 59 + b"\n\n", id="SSE"),
        pytest.param(
            "sse", b"data: " + b"x" * 58 + b"\r\n\r\n", b"data: " + b"x" * 59 + b"\r\n\r\n", id="SSE, CRLF"
        ),
        pytest.param("ndjson", b"x" * 64 + b"\n", b"x" * 65 + b"\n", id="NDJSON"),
    ],
)
def test_a_frame_longer_than_the_limit_ends_the_stream(name, fits, long, pieces):
    def cut(stream):
        size = len(stream) if pieces == 1 else pieces
        return [stream[at : at + size] for at in range(0, len(stream), size)]

    reader = READERS[name](limit=64)
    assert len(read(reader, *cut(fits * 3))[0]) == 3
    assert not reader.overflown
    found, passed = read(reader, *cut(fits + long + fits))
    assert len(found) == 1
    assert passed.strip() == fits.strip()
    assert reader.overflown
    assert reader.feed(fits) == (b"", [])


@pytest.mark.parametrize("name", READERS)
def test_what_never_ends_is_not_kept_for_ever(name):
    reader = READERS[name](limit=64)
    for _ in range(100):
        reader.feed(b"x")
    assert reader.overflown


ALPHABET = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"data: ", b"data:", b":", b"event: e", b"{}", b"\xef\xbb\xbf", b"\xff"]
)


@given(st.lists(ALPHABET).map(b"".join), st.data(), st.sampled_from(sorted(READERS)))
def test_cuts_make_no_difference(stream, data, name):
    at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[begin:end] for begin, end in zip([0, *at], [*at, len(stream)], strict=True)]
    whole, cut = READERS[name](), READERS[name]()
    expected, passed = read(whole, stream)
    found, also = read(cut, *pieces)
    assert found == expected
    (left, last), (other, same) = whole.rest(), cut.rest()
    assert passed + left == stream == also + other
    assert (last and (last.event, last.data)) == (same and (same.event, same.data))
