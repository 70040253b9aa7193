"""What Ollama refuses, with which status and in which words, in the order it looks.

Each rule yields what it refuses; the first one counts. Unknown fields are let through and null is as good as absent, as
the real server has it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from attrs import frozen

from pipeline.values.targets import ModelFacts

Body = Mapping[str, Any]


@frozen
class Refusal:
    """An error answer: its status and its one text."""

    status: int
    error: str


THINK_WORDS = ("high", "medium", "low", "max")
THINK_LIST = '"high", "medium", "low", "max", true, or false'
NAME = re.compile(r"(https?://)?([\w][\w.:-]*/)?([\w][\w-]*/)?\w[\w.-]{0,79}(:\w[\w.-]{0,79})?", re.ASCII)
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

# Fields by JSON type; the struct names are the real server's, in whose words it complains.
TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "model": ("string", (str,)),
    "stream": ("bool", (bool,)),
    "options": ("map[string]interface {}", (dict,)),
    "messages": ("[]api.Message", (list,)),
    "tools": ("api.Tools", (list,)),
    "prompt": ("string", (str,)),
    "suffix": ("string", (str,)),
    "system": ("string", (str,)),
    "template": ("string", (str,)),
    "raw": ("bool", (bool,)),
    "context": ("[]int", (list,)),
    "images": ("[]api.ImageData", (list,)),
    "logprobs": ("bool", (bool,)),
    "top_logprobs": ("int", (int,)),
    "truncate": ("bool", (bool,)),
    "shift": ("bool", (bool,)),
    "dimensions": ("int", (int,)),
}
MESSAGE_TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "role": ("string", (str,)),
    "content": ("string", (str,)),
    "thinking": ("string", (str,)),
    "images": ("[]api.ImageData", (list,)),
    "tool_calls": ("[]api.ToolCall", (list,)),
    "tool_name": ("string", (str,)),
    "tool_call_id": ("string", (str,)),
}
INTEGERS = frozenset(
    {
        "draft_num_predict",
        "main_gpu",
        "num_batch",
        "num_ctx",
        "num_gpu",
        "num_keep",
        "num_predict",
        "num_thread",
        "repeat_last_n",
        "seed",
        "top_k",
    }
)
FLOATS = frozenset(
    {
        "frequency_penalty",
        "min_p",
        "presence_penalty",
        "repeat_penalty",
        "temperature",
        "top_p",
        "typical_p",
    }
)
NAMES: Mapping[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def by_status(status: int) -> Refusal:
    """The server's own error of that status, where nothing more is known."""
    texts = {
        429: "too many requests",
        503: "server busy, please try again.  maximum pending requests exceeded",
    }
    return Refusal(
        status, texts.get(status, "llama runner process has terminated" if status >= 500 else "bad request")
    )


def full_name(name: str) -> str:
    """The name with its tag, in lower case: what two spellings of one model have in common."""
    return (name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest").lower()


def read(data: bytes) -> dict[str, Any] | Refusal:
    """The request's JSON, nulls left out, or why it cannot be read."""
    if not data.strip():
        return Refusal(400, "missing request body")
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        first = data.strip()[:1].decode("utf-8", "replace")
        if first in '{["':
            return Refusal(400, "unexpected EOF")
        return Refusal(400, f"invalid character '{first}' looking for beginning of value")
    if not isinstance(body, dict):
        return Refusal(400, f"json: cannot unmarshal {_named(body)} into Go value of type api.Request")
    return {name: value for name, value in body.items() if value is not None}


def type_faults(
    body: Body, struct: str, types: Mapping[str, tuple[str, tuple[type, ...]]] = TYPES
) -> Iterator[Refusal]:
    """Fields of the wrong JSON type."""
    for name, value in body.items():
        wanted, allowed = types.get(name, ("", ()))
        if (
            value is not None
            and allowed
            and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed))
        ):
            words = f"json: cannot unmarshal {_named(value)} into Go struct field {struct}.{name} of type {wanted}"
            yield Refusal(400, words)


def _named(value: Any) -> str:
    return NAMES.get(type(value), "null")


def name_faults(body: Body, absent: Refusal) -> Iterator[Refusal]:
    """No name, or one that cannot be one."""
    name = body.get("model", "").strip()
    if not name:
        yield absent
    if not NAME.fullmatch(name):
        yield Refusal(400, "invalid model name")


def request_faults(body: Body, struct: str) -> Iterator[Refusal]:
    """What chat and generate refuse before they look at the model."""
    yield from type_faults(body, struct)
    for index, message in enumerate(body.get("messages", ())):
        yield from _message_faults(index, message)
    for image in body.get("images", ()):
        yield from _image_faults(image)
    yield from _think_faults(body.get("think"))
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        yield Refusal(400, "top_logprobs must be between 0 and 20")


def _message_faults(index: int, message: Any) -> Iterator[Refusal]:
    if not isinstance(message, dict):
        place = f"ChatRequest.messages.{index} of type api.Message"
        yield Refusal(400, f"json: cannot unmarshal {_named(message)} into Go struct field {place}")
    yield from type_faults(message, "ChatRequest.messages", MESSAGE_TYPES)
    for image in message.get("images") or ():
        yield from _image_faults(image)
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(arguments, dict):
            yield Refusal(400, "Value looks like object, but can't find closing '}' symbol")


def _image_faults(image: Any) -> Iterator[Refusal]:
    if not isinstance(image, str):
        place = "ChatRequest.messages.images of type api.ImageData"
        yield Refusal(400, f"json: cannot unmarshal {_named(image)} into Go struct field {place}")
    if not BASE64.fullmatch(image):
        wrong = re.search(r"[^A-Za-z0-9+/]", image)
        yield Refusal(400, f"illegal base64 data at input byte {wrong.start() if wrong else len(image)}")


def _think_faults(think: Any) -> Iterator[Refusal]:
    if think is None or isinstance(think, bool) or think in THINK_WORDS:
        return
    if isinstance(think, str):
        yield Refusal(400, f'invalid think value: "{think}" (must be {THINK_LIST})')
    yield Refusal(400, f"think must be a boolean or string ({THINK_LIST})")


def thinking_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """Thinking asked of a model that cannot."""
    if body.get("think") not in (None, False) and "thinking" not in (facts.capabilities or ()):
        yield Refusal(400, f'"{body["model"]}" does not support thinking')


def chat_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What `/api/chat` refuses of a request to a model that is there."""
    yield from thinking_faults(body, facts)
    if "completion" not in (facts.capabilities or ()):
        yield Refusal(400, f'"{body["model"]}" does not support chat')
    if body.get("tools") and "tools" not in (facts.capabilities or ()):
        yield lacks(facts, "tools")
    yield from option_faults(body)


def generate_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What `/api/generate` refuses of a request to a model that is there."""
    if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
        yield Refusal(400, "raw mode does not support template, system, or context")
    yield from thinking_faults(body, facts)
    if "completion" not in (facts.capabilities or ()):
        yield Refusal(400, f'"{body["model"]}" does not support generate')
    if body.get("suffix") and "insert" not in (facts.capabilities or ()):
        yield lacks(facts, "insert")
    yield from option_faults(body)


def lacks(facts: ModelFacts, capability: str) -> Refusal:
    """A model without what the request needs, named in full as the server does."""
    return Refusal(400, f"registry.ollama.ai/library/{full_name(facts.name)} does not support {capability}")


def option_faults(body: Body) -> Iterator[Refusal]:
    """Options of the wrong type; unknown ones are let through."""
    for name, value in body.get("options", {}).items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None:
            continue
        if name in INTEGERS and not number:
            yield _wrong_option(name, "integer")
        if name in FLOATS and not number:
            yield _wrong_option(name, "float32")
        if name == "use_mmap" and not isinstance(value, bool):
            yield _wrong_option(name, "boolean")
        if name == "stop" and not (isinstance(value, list) and all(isinstance(stop, str) for stop in value)):
            yield _wrong_option(name, "array")


def _wrong_option(name: str, kind: str) -> Refusal:
    return Refusal(500, f'option "{name}" must be of type {kind}')


def format_faults(form: Any) -> Iterator[Refusal]:
    """A format that is neither "json" nor a schema."""
    if form is None or form in ("", "json") or isinstance(form, dict):
        return
    shown = orjson.dumps(form).decode()
    yield Refusal(500, f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def embed_input_faults(given: Any) -> Iterator[Refusal]:
    """An input that is neither a text nor a list of texts; looked at before the model is."""
    listed = given if isinstance(given, list) else [given]
    if given is not None and not all(isinstance(text, str) for text in listed):
        yield Refusal(400, "invalid input type")


def keep_alive_faults(value: Any) -> Iterator[Refusal]:
    """A time to stay loaded that is neither a number of seconds nor a duration such as `5m`."""
    if isinstance(value, str):
        if re.fullmatch(r"[+-]?\d+(\.\d+)?", value) and float(value):
            yield Refusal(400, f'time: missing unit in duration "{value}"')
        if not re.fullmatch(r"[+-]?(0|(\d+(\.\d*)?(ns|us|\u00b5s|ms|s|m|h))+)", value):
            yield Refusal(400, f'time: invalid duration "{value}"')
    elif value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield Refusal(400, f"Unsupported type: '{_named(value)}'")


def unloads(value: Any) -> bool:
    """Whether that time to stay loaded is none at all."""
    if isinstance(value, str):
        return not re.search(r"[1-9]", value)
    return bool(value == 0)
