"""AWS's binary event streams: what is a message, what is broken, and that the network's cuts make no difference."""

import struct
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.framing.eventstream import EventStreamReader, message

EVENT = {":event-type": "metadata", ":content-type": "application/json", ":message-type": "event"}
EXCEPTION = {":exception-type": "throttlingException", ":message-type": "exception"}
ERROR = {":error-code": "InternalError", ":error-message": "x", ":message-type": "error"}


def by_hand(headers: bytes, payload: bytes) -> bytes:
    """A message built without anything of ours."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", crc32(whole))


def text(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def read(*pieces: bytes, limit: int = 1 << 20):
    reader = EventStreamReader(limit)
    found, passed = [], b""
    for piece in pieces:
        whole, frames = reader.feed(piece)
        found += [(frame.event, frame.data, whole[frame.start : frame.end]) for frame in frames]
        passed += whole
    return found, passed, reader


def test_a_message_we_make_is_one_made_by_hand():
    assert message({"a": "bc"}, b"{}") == by_hand(text("a", "bc"), b"{}")


@pytest.mark.parametrize(
    ("headers", "event"),
    [
        pytest.param(EVENT, b"metadata", id="an event"),
        pytest.param(EXCEPTION, b"exception:throttlingException", id="an exception"),
        pytest.param(ERROR, b"exception:InternalError", id="an error"),
        pytest.param({}, b"", id="no headers"),
    ],
)
def test_a_message_says_what_it_is(headers, event):
    data = message(headers, b'{"a":1}')
    assert read(data)[0] == [(event, b'{"a":1}', data)]


def test_headers_of_every_type_are_passed_over():
    values = {
        0: b"",
        1: b"",
        2: b"x",
        3: b"xx",
        4: b"x" * 4,
        5: b"x" * 8,
        6: b"\0\2xx",
        8: b"x" * 8,
        9: b"x" * 16,
    }
    others = b"".join(b"\x01a" + bytes([kind]) + value for kind, value in values.items())
    data = by_hand(others + text(":event-type", "ping"), b"")
    assert read(data)[0] == [(b"ping", b"", data)]


@given(
    messages=st.lists(st.tuples(st.sampled_from([EVENT, EXCEPTION, {}]), st.binary(max_size=40)), max_size=4),
    data=st.data(),
)
def test_cuts_make_no_difference(messages, data):
    stream = b"".join(message(headers, payload) for headers, payload in messages)
    at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[begin:end] for begin, end in zip([0, *at], [*at, len(stream)], strict=True)]
    found, passed, reader = read(*pieces)
    assert [payload for _, payload, _ in found] == [payload for _, payload in messages]
    assert (b"".join(whole for _, _, whole in found), passed) == (stream, stream)
    assert (reader.overflown, reader.rest()) == (False, (b"", None))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("at", range(len(message(EXCEPTION, b"{}"))))
def test_each_byte_is_checked(at):
    good = message(EVENT, b"{}")
    for pieces in (
        [good + flipped(message(EXCEPTION, b"{}"), at) + good],
        [good, flipped(message(EXCEPTION, b"{}"), at), good],
    ):
        found, passed, reader = read(*pieces)
        assert [payload for _, payload, _ in found] == [b"{}"]
        assert passed == good
        assert reader.overflown
        assert reader.feed(good) == (b"", [])


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"\x05abc", id="a name that is cut"),
        pytest.param(b"\x01a\x07\x00\x09abc", id="a value that is cut"),
        pytest.param(b"\x01a\x07\x00", id="a length that is cut"),
        pytest.param(b"\x01a\x0a", id="a type nobody knows"),
        pytest.param(b"\x01a", id="no type"),
    ],
)
def test_headers_that_cannot_be_read_end_the_stream(headers):
    found, _, reader = read(by_hand(headers, b"{}"))
    assert (found, reader.overflown) == ([], True)


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (16, 1), (1 << 21, 0), (0, 0)])
def test_lengths_that_cannot_be_end_the_stream(total, headers):
    prelude = struct.pack(">II", total, headers)
    found, _, reader = read(prelude + struct.pack(">I", crc32(prelude)))
    assert (found, reader.overflown) == ([], True)


def test_a_message_longer_than_the_limit_is_not_waited_for():
    fits, long = message({}, b"x" * 48), message({}, b"x" * 49)
    found, _, reader = read(fits, long[:12], limit=64)
    assert (len(found), reader.overflown) == (1, True)


@pytest.mark.parametrize("pieces", [[b'{"message":"no"}'], [b"{", b'"message":"no"}']])
def test_a_document_in_place_of_a_stream_is_kept_whole(pieces):
    found, passed, reader = read(*pieces)
    assert (found, passed, reader.overflown) == ([], b"", False)
    assert reader.rest() == (b'{"message":"no"}', None)


def test_such_a_document_is_bounded():
    assert read(b"{" * 65, limit=64)[2].overflown


def test_part_of_a_message_is_nothing():
    good = message(EVENT, b"{}")
    _, passed, reader = read(good + good[:-1])
    assert (passed, reader.rest()) == (good, (b"", None))
