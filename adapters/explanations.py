"""What would become of a request: read from any client's language, and told in words."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import orjson
from attrs import evolve

from adapters.dialects import dialect_at
from adapters.dialects.sentences import SENTENCES
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Problem

COLUMNS = 80
# What costs less would look like nothing.
LEAST_SHOWN = 1e-6

# A body is read as that of the first of these routes on which it would be a request, and of those that know most of its
# fields. What each knows beside what all of them know:
GUESSES: Mapping[str, frozenset[str]] = {
    "/api/chat": frozenset({"options", "format", "think", "keep_alive", "tools"}),
    "/v1/chat/completions": frozenset(
        {
            *(
                "max_tokens",
                "max_completion_tokens",
                "temperature",
                "top_p",
                "stop",
                "seed",
                "n",
                "user",
                "metadata",
            ),
            *("tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "store"),
            *(
                "stream_options",
                "presence_penalty",
                "frequency_penalty",
                "logprobs",
                "top_logprobs",
                "logit_bias",
            ),
        }
    ),
    "/v1/messages": frozenset(
        {
            *(
                "max_tokens",
                "temperature",
                "top_p",
                "top_k",
                "stop_sequences",
                "system",
                "thinking",
                "metadata",
            ),
            *("tools", "tool_choice", "output_config"),
        }
    ),
    "/v1/responses": frozenset(
        {
            *(
                "instructions",
                "max_output_tokens",
                "temperature",
                "top_p",
                "reasoning",
                "text",
                "store",
                "include",
            ),
            *("tools", "tool_choice", "previous_response_id", "metadata"),
        }
    ),
    "/api/embed": frozenset({"truncate", "options", "keep_alive", "dimensions"}),
    "/v1/embeddings": frozenset({"encoding_format", "dimensions", "user"}),
    "/api/generate": frozenset(
        {
            "options",
            "format",
            "think",
            "keep_alive",
            "system",
            "template",
            "context",
            "raw",
            "images",
            "suffix",
        }
    ),
    "/v1/completions": frozenset(
        {
            *("max_tokens", "temperature", "top_p", "stop", "seed", "n", "user", "suffix", "echo", "best_of"),
            *("presence_penalty", "frequency_penalty", "logprobs", "logit_bias", "stream_options"),
        }
    ),
}

NOT_SAID = Problem(
    Kind.BAD_REQUEST,
    "the body names no model; where the path names it, say the path: ?route=/the/whole/path",
    "model",
)


def read_as(route: str | None, http: HttpRequest) -> Request | Problem:
    """The request that the body is on `route`, which may have a query; without one, on the route it fits best."""
    if route is not None:
        dialect = dialect_at(route.partition("?")[0])
        if dialect is None:
            detail = f"no model is called at {route}; routes are {', '.join(GUESSES)} and the like"
            return Problem(Kind.BAD_REQUEST, detail, "route")
        return dialect.read(evolve(http, url=route))
    fields = _fields(http.body)
    if fields and "model" not in fields:
        return NOT_SAID
    guesses = sorted(GUESSES, key=lambda guess: -len(GUESSES[guess] & fields))
    readings = [_reading(guess, http) for guess in guesses]
    return next((one for one in readings if not isinstance(one, Problem)), readings[0])


def _fields(body: bytes) -> frozenset[str]:
    """The names of the body's fields; none where it is no object, which its reader will say better."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return frozenset()
    return frozenset(value) if isinstance(value, dict) else frozenset()


def _reading(route: str, http: HttpRequest) -> Request | Problem:
    dialect = dialect_at(route)
    assert dialect is not None
    read = dialect.read(evolve(http, url=route))
    if isinstance(read, Problem) or read.operation != "load":
        return read
    return Problem(Kind.BAD_REQUEST, "the body has neither messages nor input nor prompt")


def refusal_words(problem: Problem, model: str) -> str:
    """Why a request for `model` would be refused, as one sentence."""
    if problem.kind is Kind.UNSUPPORTED and problem.subject and not problem.detail:
        return f"{model}: no provider has it with {problem.subject}"
    words = problem.detail or SENTENCES[problem.kind]
    return words if problem.kind is Kind.BAD_REQUEST else f"{model}: {words}"


def explanation_text(told: Mapping[str, Any]) -> str:
    """An explanation as lines for a terminal."""
    if "candidates" not in told:
        return f"{told['model']}: no provider is asked for this"
    hedge = told["hedge_after_s"]
    order = ", ".join(told["order"]) or "nobody"
    lines = [
        *_wrapped(
            f"{told['model']}: in the order of {told['strategy']}; after a failure {told['fallback']}", ""
        ),
        *_wrapped(f"would be asked, one after the other: {order}", ""),
        *([f"a second one beside the first after {hedge:.2f} s"] if hedge is not None else []),
        "",
    ]
    for one in told["candidates"]:
        lines += [one["target"], *_wrapped("; ".join(_remarks(one)))]
    for one in told["refused"]:
        lines += [one["target"], *_wrapped(f"not asked: {one['why']}")]
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    """`text` in lines that fit a terminal. Names stay whole."""
    return wrap(
        text,
        COLUMNS,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _remarks(one: Mapping[str, Any]) -> list[str]:
    state = "ready" if one["may_be_asked"] else f"{one['barred_by']} for {one['barred_for_s']:.0f} s"
    remarks = [state, f"score {one['score']:.4g}", _cost(one["cost"])]
    if one["group"]:
        occasion = f" after {one['only_after']}" if one["only_after"] else ""
        remarks.append(f"stands in{occasion}")
    if one["impossible"]:
        remarks.append(f"cannot be asked this: {one['impossible']}")
    if one["loses"]:
        remarks.append("loses " + ", ".join(one["loses"]))
    if one["first_token_s"] is not None:
        remarks.append(f"first content after {one['first_token_s']:.2f} s")
    return remarks


def _cost(dollars: float | None) -> str:
    if dollars is None:
        return "price not known"
    return "less than $0.000001" if 0 < dollars < LEAST_SHOWN else f"about ${dollars:.6f}"
