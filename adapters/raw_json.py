"""JSON text put into other JSON just as it is, so that no digit of it is lost on the way."""

import re

import orjson

# In JSON a bare line end is but a blank, as are the blanks that follow it.
LINE_END = re.compile(r"[\r\n][ \t\r\n]*")


def object_of(text: str) -> orjson.Fragment | None:
    """The JSON object that `text` is, in one line; None where it is none. No text is an empty object."""
    stripped = text.strip() or "{}"
    try:
        value = orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    return orjson.Fragment(LINE_END.sub("", stripped))
