"""The client's JSON, read within bounds: what costs too much or cannot be sent on is refused before anything is built.

Nearly every body takes the quick way: one parse by orjson and one look over the parsed values. Only where that parse
fails, or the look finds something it cannot judge, the text is read again, exactly, to accept it or to name the fault.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from attrs import frozen

from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem

MAX_DEPTH = 64
MAX_PARTS = 200_000
WIDEST = 2**63
ONCE = ("model", "stream", "messages")

BLANKS = " \t\r\n"
MARKS = tuple(f'"{key}"'.encode() for key in ONCE)
SURROGATE = re.compile("[\ud800-\udfff]")
TOO_COMPLEX = Problem(
    Kind.BAD_REQUEST,
    f"the request is too complex: it may nest {MAX_DEPTH} levels and have {MAX_PARTS} elements; send a simpler one",
)


@frozen
class Rules:
    """How a family of routes takes its bodies.

    Not `strict`, as Ollama reads: only the first JSON value counts, what is no UTF-8 is replaced, the last of equal
    keys wins, and content types mean nothing. `owner` is the type that Ollama's own texts name.
    """

    owner: str
    strict: bool


def read_request(http: HttpRequest, rules: Rules) -> dict[str, Any] | Problem:
    """The JSON object in the body of `http`. The dict is the caller's own."""
    encoding = http.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        kind = Kind.UNSUPPORTED_MEDIA if rules.strict else Kind.BAD_REQUEST
        return Problem(kind, "the body is encoded; send it as plain JSON, without Content-Encoding")
    if rules.strict and not _is_json(http.headers.get("content-type", "")):
        return Problem(
            Kind.UNSUPPORTED_MEDIA, "the body must be JSON; send it with Content-Type: application/json"
        )
    return read_object(http.body, rules)


def read_object(body: bytes, rules: Rules) -> dict[str, Any] | Problem:
    """The JSON object that `body` is, or what is wrong with it (400)."""
    if len(body) > MAX_PARTS and sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_PARTS:
        return TOO_COMPLEX
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_exactly(body, rules)
    if rules.strict and _may_repeat(body):
        return _read_exactly(body, rules)
    fits = _fits(value)
    if fits is None:
        return TOO_COMPLEX
    return _object(value, rules) if fits else _read_exactly(body, rules)


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _may_repeat(body: bytes) -> bool:
    """Whether a key of ONCE may stand twice at the top. Only an escaped lower-case letter can hide one."""
    for mark in MARKS:
        if body.count(mark) > 1:
            return True
    return b"\\u006" in body or b"\\u007" in body


def nests_too_deep(value: Any) -> bool:
    """Whether JSON that came inside a text nests deeper than a body may."""
    return _fits(value) is None


def _fits(value: Any) -> bool | None:
    """Whether all numbers can be sent on as they are; None where the value nests too deep."""
    fits = True
    level = [value] if type(value) is dict or type(value) is list else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return None
        below: list[Any] = []
        for container in level:
            for item in container.values() if type(container) is dict else container:
                kind = type(item)
                if kind is str:
                    continue
                if kind is dict or kind is list:
                    below.append(item)
                elif (kind is int or kind is float) and not -WIDEST <= item <= WIDEST:
                    fits = False
        level = below
    return fits


def _object(value: Any, rules: Rules) -> dict[str, Any] | Problem:
    if isinstance(value, dict):
        return value
    if rules.strict:
        return Problem(Kind.BAD_REQUEST, f"invalid JSON: the body must be an object, not {json_kind(value)}")
    if value is None:
        return {}
    text = f"json: cannot unmarshal {json_kind(value)} into Go value of type api.{rules.owner}"
    return Problem(Kind.BAD_REQUEST, text)


def json_kind(value: Any) -> str:
    """What JSON calls a value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


@frozen
class _Misfit:
    """A number that cannot be sent on, in its place among the parsed values."""

    why: str


def _whole(digits: str) -> int | _Misfit:
    value = int(digits) if len(digits) <= 20 else WIDEST + 1
    return value if -WIDEST <= value <= WIDEST else _Misfit("is an integer beyond 64 bits")


def _number(digits: str) -> float | _Misfit:
    value = float(digits)
    return value if -float("inf") < value < float("inf") else _Misfit("is a number beyond all bounds")


def _constant(name: str) -> _Misfit:
    return _Misfit(f"is {name}, which is not JSON")


def _read_exactly(body: bytes, rules: Rules) -> dict[str, Any] | Problem:
    try:
        text = body.decode("utf-8", "strict" if rules.strict else "replace")
    except UnicodeDecodeError as fault:
        return Problem(Kind.BAD_REQUEST, f"invalid JSON: not UTF-8 at byte {fault.start}")
    start = len(text) - len(text.lstrip(BLANKS))
    if start == len(text):
        empty = "invalid JSON: the body is empty; send an object" if rules.strict else "missing request body"
        return Problem(Kind.BAD_REQUEST, empty)
    top: Sequence[tuple[str, Any]] = ()

    def closed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal top
        top = pairs  # the outermost object is the last to close
        return dict(pairs)

    decoder = json.JSONDecoder(
        object_pairs_hook=closed, parse_int=_whole, parse_float=_number, parse_constant=_constant
    )
    try:
        value, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as fault:
        return Problem(Kind.BAD_REQUEST, ("invalid JSON: " if rules.strict else "") + _reason(fault, text))
    except RecursionError:
        return TOO_COMPLEX
    if rules.strict and text[end:].strip(BLANKS):
        return Problem(
            Kind.BAD_REQUEST, f"invalid JSON: text after the end of the object, at character {end}"
        )
    if _fits(value) is None:
        return TOO_COMPLEX
    return _repeated(top, rules) or _misfit(value) or _object(value, rules)


def _reason(fault: json.JSONDecodeError, text: str) -> str:
    """The fault in the words of Ollama's parser."""
    rest = text[fault.pos :].lstrip(BLANKS)
    literal = any(word.startswith(rest) for word in ("true", "false", "null", "-"))
    open_string = fault.msg.startswith("Unterminated") or (
        fault.msg.startswith("Invalid \\") and '"' not in rest
    )
    if literal or open_string:
        return "unexpected EOF"
    start = next((start for start in PLACES if fault.msg.startswith(start)), "Expecting value")
    # Of an escape the parser names the backslash, and of a bare line end nothing may be stripped.
    odd = {"Invalid \\": rest[1:2], "Invalid control": text[fault.pos : fault.pos + 1]}.get(start, rest[:1])
    shown = odd if odd.isprintable() else json.dumps(odd)[1:-1]
    return f"invalid character '{shown}' {PLACES[start]}"


PLACES = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name": "looking for beginning of object key string",
    "Expecting ':'": "after object key",
    "Expecting ','": "after a value",
    "Invalid control": "in string literal",
    "Invalid \\": "in string escape code",
}


def _repeated(top: Sequence[tuple[str, Any]], rules: Rules) -> Problem | None:
    if not rules.strict:
        return None
    names = [name for name, _ in top]
    twice = next((key for key in ONCE if names.count(key) > 1), None)
    return None if twice is None else Problem(Kind.BAD_REQUEST, f"{twice} stands twice; send it once", twice)


def _misfit(value: Any) -> Problem | None:
    path, why = next(_misfits(value, ""), ("", ""))
    if not why:
        return None
    return Problem(Kind.BAD_REQUEST, f"{path or 'the body'} {why}; it cannot be sent on", path or None)


def _misfits(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case _Misfit(why):
            yield path, why
        case str() if SURROGATE.search(value):
            yield path, "holds half of a surrogate pair"
        case dict():
            for name, item in value.items():
                if SURROGATE.search(name):
                    yield path, "has a key with half of a surrogate pair"
                yield from _misfits(item, f"{path}.{name}" if path else name)
        case list():
            for index, item in enumerate(value):
                yield from _misfits(item, f"{path}[{index}]")
