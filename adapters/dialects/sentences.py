"""What a problem says to people, where it brings no words of its own: what happened, and what to do next."""

import math
from collections.abc import Mapping

from pipeline.values.problems import Kind, Problem

RETRY_AFTER_MOST_S = 300
# When these are over is known to the second, however long that is.
EXACT = frozenset({Kind.CALLER_LIMITED, Kind.BUDGET})

SENTENCES: Mapping[Kind, str] = {
    Kind.BAD_REQUEST: "the request is not valid; compare it with the API's documentation",
    Kind.UNSUPPORTED: "the model cannot do what the request asks; choose another model or ask for less",
    Kind.TOO_LARGE: "the request is too large; send a shorter one",
    Kind.UNSUPPORTED_MEDIA: "the body must be plain JSON; send it with Content-Type: application/json",
    Kind.TIMED_OUT: "the request did not arrive in time; send it again",
    Kind.UNAUTHORIZED: "the API key is missing or not valid; send a key of this proxy",
    Kind.FORBIDDEN: "this key may not do that; ask the operator of the proxy",
    Kind.UNKNOWN_MODEL: "the model was not found; the list of models names those there are",
    Kind.CALLER_LIMITED: "too many requests with this key; wait and try again",
    Kind.BUDGET: "this key has spent its budget; wait until it renews or ask the operator of the proxy",
    Kind.QUEUE_FULL: "server busy, please try again.  maximum pending requests exceeded",
    Kind.QUEUE_TIMEOUT: "the server was busy for too long; try again later",
    Kind.NO_TARGET: "no provider can serve this model now; try again later or choose another model",
    Kind.LOCAL_LIMIT: "all places for this model are taken; try again later",
    Kind.LOSSY: "no provider can do all that the request asks; ask for less, or without X-Proxy-Strict",
    Kind.DEADLINE: "the time for this request was over before it was answered; allow more time or ask for less",
    Kind.SHUTTING_DOWN: "the server is going down; try again in a moment",
    Kind.NOT_IMPLEMENTED: "this proxy does not do that; ask the provider directly",
    Kind.LOOP: "the request came back to this proxy; one of its providers points at the proxy itself",
    Kind.INTERNAL: "the proxy failed; this is a fault of the proxy, please report it",
    Kind.CONNECT: "the provider could not be reached; try again later",
    Kind.TLS_INVALID: "the provider's certificate is not valid; the operator of the proxy must look into it",
    Kind.WRITE_OR_RESET: "the connection to the provider broke; try again",
    Kind.FIRST_BYTE: "the provider did not begin to answer in time; try again or choose another model",
    Kind.TOTAL: "the provider did not answer in time; ask for a shorter answer or for a stream",
    Kind.RETRYABLE: "the provider could not take the request just now; try again",
    Kind.RATE_LIMITED: "the provider limits how often it is asked; wait and try again",
    Kind.QUOTA: "the proxy's quota at the provider is used up; the operator of the proxy must renew it",
    Kind.OVERLOADED: "the provider is overloaded; try again later",
    Kind.SERVER: "the provider failed; try again later",
    Kind.AUTH: "the provider does not accept the proxy's key; the operator of the proxy must renew it",
    Kind.POLICY: "the provider refuses this content; change the request",
    Kind.INVALID: "the provider does not accept this request; change its parameters",
    Kind.CONTEXT_LENGTH: "the prompt is longer than the context length of the model; shorten it",
    Kind.NOT_FOUND: "the provider does not have this model; choose another one",
    Kind.GARBLED: "the provider's answer could not be read; try again",
    Kind.REDIRECT: "the provider wants to be called elsewhere; the operator of the proxy must look into it",
    Kind.STREAM_ERROR: "the provider's answer broke off; try again",
}


def explained(problem: Problem, exchange_id: str) -> str:
    """The problem in words, never empty. What an upstream did wrong names the request too, for the operator's logs."""
    text = problem.detail or SENTENCES[problem.kind]
    return f"{text} (request {exchange_id})" if problem.rule.outcome == "upstream_error" else text


def retry_after(problem: Problem) -> Mapping[str, str]:
    """The header that says when to come again, for answers that mean "not now"; whole seconds.

    What will never fit into a budget has none.
    """
    if problem.http_status not in (429, 503) and (problem.http_status != 402 or problem.retry_after is None):
        return {}
    seconds = max(problem.retry_after or 0.0, 1.0)
    if problem.kind not in EXACT:
        seconds = min(seconds, RETRY_AFTER_MOST_S)
    return {"retry-after": str(math.ceil(seconds))}
