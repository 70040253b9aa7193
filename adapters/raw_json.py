"""JSON text put into other JSON just as it is, so that no digit of it is lost on the way."""

import json

import orjson


def object_of(text: str) -> orjson.Fragment | None:
    """The JSON object that `text` is, in one line; None where it is none. No text is an empty object."""
    stripped = text.strip() or "{}"
    try:
        value = orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    if "\n" in stripped or "\r" in stripped:
        # Python's own reader keeps integers of any length, which orjson makes floats of.
        stripped = json.dumps(json.loads(stripped), ensure_ascii=False, separators=(",", ":"))
    return orjson.Fragment(stripped)
