"""Fields that OpenAI's routes share: strict types, the model's name, and what goes to `extra`."""

from collections.abc import Container, Mapping
from typing import Any

from adapters.dialects.body import Rules, json_kind, read_request
from adapters.dialects.fields import Faults, Fields
from adapters.dialects.names import is_name, not_from_clients
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Sampling
from pipeline.values.problems import Kind, Problem

WANTED = {
    "string": "a string",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "array": "an array",
}
STRICT = Rules("", strict=True)
# Tools that the client runs, by their type; all others the provider runs itself.
RUN_BY_CLIENTS = ("function", "custom", "local_shell", "apply_patch", "computer", "computer_use_preview")
# Fields by which the provider keeps an answer, or is given something to do.
LEFT_TO_PROVIDERS = ("store", "web_search_options", "plugins", "data_sources", "prompt")


def open_fields(http: HttpRequest, model: str | None = None) -> Fields | Problem:
    """The fields of a request's body. `model`: named by the request's path, which stands above the body."""
    body = read_request(http, STRICT)
    if isinstance(body, Problem):
        return body
    if model is not None:
        body["model"] = model
    fields = Fields(body, Faults(wrong_type))
    if unwanted := not_from_clients(body):
        fields.faults.note(f"{unwanted} is not accepted from clients", unwanted)
    return fields


def wrong_type(path: str, value: Any, wanted: str) -> Problem:
    """A value of another type than the field has."""
    return Problem(Kind.BAD_REQUEST, f"{path} must be {WANTED[wanted]}, not {json_kind(value)}", path)


def read_name(fields: Fields) -> str:
    """The model's name as sent; blanks around it are no fault."""
    sent = fields.text("model") or ""
    if not sent.strip():
        fields.faults.note("model is required", "model")
    elif not is_name(sent.strip()):
        fields.faults.note("invalid model name", "model")
    return sent


def positive(fields: Fields, name: str) -> int | None:
    """A whole number above 0."""
    value = fields.whole(name)
    if value is not None and value <= 0:
        fields.faults.note(f"{fields.at(name)} must be at least 1", fields.at(name))
    return value


def stops(fields: Fields) -> tuple[str, ...]:
    """Texts that end the answer: one, or several."""
    value = fields.values.get("stop")
    if type(value) is str:
        return (value,) if value else ()
    return fields.texts("stop")


def read_sampling(fields: Fields, *limits: str) -> Sampling:
    """The knobs of sampling. `limits`: names of the field that limits the answer; the first that is set counts."""
    asked = [positive(fields, name) for name in limits]
    return Sampling(
        max_tokens=next((limit for limit in asked if limit is not None), None),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.whole("top_k"),
        min_p=fields.number("min_p"),
        seed=fields.whole("seed"),
        stop=stops(fields),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        repeat_penalty=fields.number("repetition_penalty"),
    )


def rest_of(fields: Fields, held: Container[str]) -> dict[str, Any]:
    """All that was set and that no field of the canonical form holds."""
    return {name: value for name, value in fields.values.items() if value is not None and name not in held}


def is_stateful(extra: Mapping[str, Any]) -> bool:
    """Whether what went to `extra` has the provider keep something, or do something by itself."""
    if not extra:
        return False
    tools = extra.get("tools")
    theirs = isinstance(tools, list) and any(map(_run_by_provider, tools))
    return theirs or any(extra.get(name) not in (None, False) for name in LEFT_TO_PROVIDERS)


def _run_by_provider(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") not in (None, *RUN_BY_CLIENTS)
