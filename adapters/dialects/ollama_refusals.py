"""Errors of Ollama's routes: `{"error": text}`, in Ollama's own words where it has some."""

from collections.abc import Callable
from functools import partial

import orjson
from attrs import frozen

from adapters.dialects.names import full_name, sent_name
from adapters.dialects.sentences import SENTENCES, explained, retry_after
from pipeline.ports import Answer
from pipeline.values.http import ReplyHead
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Problem

JSON = {"content-type": "application/json; charset=utf-8"}


@frozen
class Words:
    """What a route calls itself when a model cannot serve it, and how it says that a model is missing."""

    verb: str
    missing: Callable[[str], str]


def _missing(sent: str) -> str:
    return f"model '{sent}' not found"


def _missing_here(sent: str) -> str:
    return f'model "{sent}" not found, try pulling it first'


CHAT = Words("chat", _missing)
GENERATE = Words("generate", _missing)
EMBED = Words("embed", _missing_here)


def error_text(problem: Problem, sent: str, exchange_id: str, words: Words) -> str:
    """The problem in Ollama's words; `sent` is the model's name as the client wrote it."""
    match problem.kind:
        # Without a request there is no name to speak of, and the problem says what to say.
        case Kind.UNKNOWN_MODEL | Kind.NOT_FOUND if sent:
            return words.missing(sent)
        case Kind.QUEUE_FULL:
            return SENTENCES[Kind.QUEUE_FULL]
        case Kind.UNSUPPORTED if sent and problem.subject and not problem.detail:
            return _unsupported(problem.subject, sent, words)
        case _:
            return explained(problem, exchange_id)


def _unsupported(subject: str, sent: str, words: Words) -> str:
    if subject == "completion":
        return f'"{sent}" does not support {words.verb}'
    if subject in ("tools", "insert"):
        return f"{full_name(sent)} does not support {subject}"
    return f'"{sent}" does not support {subject}'


def error_json(text: str) -> bytes:
    """The error object; as a line of a stream it is the last."""
    return orjson.dumps({"error": text})


def refusing(words: Words) -> Callable[[Problem, Request | None, str], Answer]:
    """The `refuse` of a route that speaks with these words."""
    return partial(_refuse, words)


def _refuse(words: Words, problem: Problem, request: Request | None, exchange_id: str) -> Answer:
    text = error_text(problem, sent_name(request), exchange_id, words)
    return Answer(ReplyHead(problem.http_status, {**JSON, **retry_after(problem)}), error_json(text))
