"""Fields that Ollama's routes share: the model's name, options, thinking, format, keep_alive, logprobs, images."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from attrs import field, frozen

from adapters.dialects import durations
from adapters.dialects.body import Rules, json_kind, read_request
from adapters.dialects.fields import Faults, Fields, folded
from adapters.dialects.media import illegal_at, media_type
from adapters.dialects.names import is_name, not_from_clients
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Effort, Format, Image, Sampling, Thinking
from pipeline.values.problems import Kind, Problem

GO_TYPES = {
    "string": "string",
    "boolean": "bool",
    "integer": "int",
    "number": "float64",
    "object": "map[string]interface {}",
    "array": "[]interface {}",
}
INDEXES = re.compile(r"\[\d+\]")
EFFORTS: Mapping[str, Effort] = {"low": "low", "medium": "medium", "high": "high", "max": "max"}
MOST_ALTERNATIVES = 20

INTEGERS = (
    *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"),
    *("num_keep", "seed", "num_predict", "top_k", "repeat_last_n"),
)
FLOATS = (
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
)
BOOLEANS = ("use_mmap",)
# Options that Sampling holds under the same name.
SAMPLED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repeat_penalty",
)


def open_fields(http: HttpRequest, owner: str) -> Fields | Problem:
    """The fields of a request's body. `owner` is the type that Ollama's own texts name."""
    body = read_request(http, Rules(owner, strict=False))
    if isinstance(body, Problem):
        return body

    def wording(path: str, value: Any, wanted: str) -> Problem:
        place = f"{owner}.{INDEXES.sub('', path)}"
        text = f"json: cannot unmarshal {json_kind(value)} into Go struct field {place} of type {GO_TYPES[wanted]}"
        return Problem(Kind.BAD_REQUEST, text, path)

    # The rendered prompt is not to be had here; an upstream that answered with it would answer nothing else.
    known = folded(body)
    if "_debug_render_only" in known:
        known = {name: value for name, value in known.items() if name != "_debug_render_only"}
    return Fields(known, Faults(wording), folds=True)


def check_name(fields: Fields, missing: Problem) -> str:
    """The model's name as sent. Blanks around it are no fault, no name at all is `missing`."""
    sent = fields.text("model") or ""
    if not sent.strip():
        fields.faults.noted.append(missing)
    elif not is_name(sent.strip()):
        fields.faults.note("invalid model name", "model")
    return sent


def read_keep_alive(fields: Fields) -> float | None:
    """Seconds the model is to stay loaded; negative: for ever."""
    match fields.values.get("keep_alive"):
        case None:
            return None
        case str(text):
            found = durations.seconds(text)
            if isinstance(found, float):
                return found
            fields.faults.note(found, "keep_alive")
        case bool():
            fields.faults.note("Unsupported type: 'bool'", "keep_alive")
        case int() | float() as number:
            return float(number)
        case other:
            kind = GO_TYPES["array" if isinstance(other, list) else "object"]
            fields.faults.note(f"Unsupported type: '{kind}'", "keep_alive")
    return None


def is_zero(keep_alive: float | None) -> bool:
    """Whether the model is to be let go at once. Below a nanosecond is nothing."""
    return keep_alive is not None and int(keep_alive * 1e9) == 0


def read_thinking(fields: Fields) -> Thinking | None:
    """`think`."""
    match fields.values.get("think"):
        case None:
            return None
        case bool(on):
            return Thinking(on)
        case str(level) if level in EFFORTS:
            return Thinking(True, EFFORTS[level])
        case str(level):
            choices = '"high", "medium", "low", "max", true, or false'
            fields.faults.note(
                f"invalid think value: {orjson.dumps(level).decode()} (must be {choices})", "think"
            )
        case _:
            text = 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'
            fields.faults.note(text, "think")
    return None


def read_format(fields: Fields) -> Format | None:
    """`format`. What is no format is a failure of the server in Ollama, so it is read last."""
    match fields.values.get("format"):
        case None | "":
            return None
        case "json":
            return Format()
        case dict() as schema:
            return Format(schema)
        case other:
            shown = orjson.dumps(other).decode()
            text = f'invalid format: {shown}; expected "json" or a valid JSON Schema object'
            fields.faults.note(text, "format", status=500)
    return None


def read_logprobs(fields: Fields) -> int | None:
    """How many alternatives to each token are asked for; None: no logprobs at all."""
    asked, most = fields.flag("logprobs"), fields.whole("top_logprobs") or 0
    if not 0 <= most <= MOST_ALTERNATIVES:
        fields.faults.note(f"top_logprobs must be between 0 and {MOST_ALTERNATIVES}", "top_logprobs")
    return most if asked else None


def read_images(fields: Fields) -> tuple[Image, ...]:
    """`images`. Sound may be among them; the media type tells."""
    found: list[Image] = []
    for text in fields.texts("images"):
        data = text.replace("\n", "").replace("\r", "")
        illegal = illegal_at(data)
        if illegal is None:
            found.append(Image(data=data, media_type=media_type(data)))
        else:
            fields.faults.note(f"illegal base64 data at input byte {illegal}", fields.at("images"))
    return tuple(found)


@frozen
class Options:
    """`options` read: what Sampling holds, and the rest as it was sent."""

    sampling: Sampling = Sampling()
    rest: Mapping[str, Any] = field(factory=dict)


NO_OPTIONS = Options()


def open_options(fields: Fields) -> Fields:
    """The object `options`, its fields still unread. A wrong type in it is told later than one of the body."""
    return fields.inner("options") or Fields({}, fields.faults)


def read_options(options: Fields) -> Options:
    """All options that were set; a wrong type is a failure of the server in Ollama (500)."""
    if not options.values:
        return NO_OPTIONS
    if unwanted := not_from_clients(options.values):
        options.faults.note(f'option "{unwanted}" is not accepted from clients', unwanted)
    known = {name: _option(options, name) for name in options.values if options.values[name] is not None}
    tokens, seed = known.get("num_predict"), known.get("seed")
    sampling = Sampling(
        **{name: known[name] for name in SAMPLED if name in known},
        # Below 1 there is no limit, and below 0 no seed.
        max_tokens=tokens if tokens is not None and tokens > 0 else None,
        seed=seed if seed is not None and seed >= 0 else None,
        stop=known.get("stop", ()),
    )
    held = {*SAMPLED, "num_predict", "seed", "stop"}
    return Options(sampling, {name: value for name, value in known.items() if name not in held})


def _option(options: Fields, name: str) -> Any:
    value = options.values[name]
    wanted = next((kind for kind, names in OPTION_KINDS.items() if name in names), None)
    if wanted is None:
        return value
    fits, neutral = OPTION_CHECKS[wanted]
    if not fits(value):
        options.faults.note(f'option "{name}" must be of type {wanted}', name, status=500)
        return neutral
    if wanted == "integer":
        if not abs(value) < 2**63:
            options.faults.note(f'option "{name}" is out of range', name)
            return neutral
        return int(value)
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is str for item in value)


OPTION_KINDS = {"integer": INTEGERS, "float32": FLOATS, "boolean": BOOLEANS, "array of strings": ("stop",)}
OPTION_CHECKS: Mapping[str, tuple[Callable[[Any], bool], Any]] = {
    "integer": (_is_number, None),
    "float32": (_is_number, None),
    "boolean": (lambda value: type(value) is bool, None),
    "array of strings": (_is_texts, ()),
}


def read_flags(fields: Fields, *names: str) -> dict[str, Any]:
    """Those of the flags `names` that were set."""
    return {name: value for name in names if (value := fields.flag(name)) is not None}


def extra_of(fields: Fields, options: Options, flags: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` of a request: what of Ollama's fields the canonical form does not hold, as far as it was set."""
    keep_alive = fields.values.get("keep_alive")
    own = {
        **({"options": dict(options.rest)} if options.rest else {}),
        **({} if keep_alive is None else {"keep_alive": keep_alive}),
        **flags,
    }
    return {"ollama": own} if own else {}
