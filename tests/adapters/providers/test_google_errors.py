"""Google's errors: the same number for many things, told apart by what stands in their details."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.google import CODEC
from pipeline.values.http import ReplyHead
from pipeline.values.problems import Kind, Problem

TYPE = "type.googleapis.com/google.rpc."
BILLING = "You exceeded your current quota, please check your plan and billing details."


def error(code, word, message="", *details):
    return {"error": {"code": code, "message": message, "status": word, "details": list(details)}}


def violated(*quotas):
    violations = [{"quotaId": id, "quotaValue": value} for id, value in quotas]
    return {"@type": f"{TYPE}QuotaFailure", "violations": violations}


def retry(delay):
    return {"@type": f"{TYPE}RetryInfo", "retryDelay": delay}


MINUTE = ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10")
DAY = ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "250")


@pytest.mark.parametrize(
    ("document", "kind", "after"),
    [
        pytest.param(
            error(429, "RESOURCE_EXHAUSTED", BILLING, violated(MINUTE), retry("36.5s")),
            Kind.RATE_LIMITED,
            36.5,
            id="a limit of the minute, whatever its words",
        ),
        pytest.param(
            error(429, "RESOURCE_EXHAUSTED", BILLING, violated(MINUTE, DAY), retry("3s")),
            Kind.QUOTA,
            3.0,
            id="a limit of the day",
        ),
        pytest.param(
            error(429, "RESOURCE_EXHAUSTED", BILLING, violated((MINUTE[0], "0"))),
            Kind.QUOTA,
            None,
            id="a model that is not in the plan",
        ),
        pytest.param(
            error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted; see billing."),
            Kind.QUOTA,
            None,
            id="no money",
        ),
        pytest.param(
            error(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
            Kind.RATE_LIMITED,
            None,
            id="no details",
        ),
        pytest.param(
            [error(429, "RESOURCE_EXHAUSTED", BILLING, retry("1s"))], Kind.RATE_LIMITED, 1.0, id="in a list"
        ),
        pytest.param(
            error(
                400,
                "INVALID_ARGUMENT",
                "API key expired. Please renew the API key.",
                {"reason": "API_KEY_INVALID"},
            ),
            Kind.AUTH,
            None,
            id="a key that expired",
        ),
        pytest.param(error(401, "UNAUTHENTICATED"), Kind.AUTH, None, id="no credentials"),
        pytest.param(error(403, "PERMISSION_DENIED", "The caller"), Kind.AUTH, None, id="no permission"),
        pytest.param(
            error(403, "PERMISSION_DENIED", "off", {"reason": "SERVICE_DISABLED"}),
            Kind.AUTH,
            None,
            id="not enabled",
        ),
        pytest.param(
            error(
                400,
                "FAILED_PRECONDITION",
                "Gemini API free tier is not available in your country. Please enable billing",
            ),
            Kind.POLICY,
            None,
            id="a country without a free plan",
        ),
        pytest.param(
            error(
                400,
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            ),
            Kind.CONTEXT_LENGTH,
            None,
            id="too long",
        ),
        pytest.param(error(400, "INVALID_ARGUMENT", "bad"), Kind.INVALID, None, id="an invalid request"),
        pytest.param(
            error(404, "NOT_FOUND", "models/x is not found"), Kind.NOT_FOUND, None, id="no such model"
        ),
        pytest.param(error(499, "CANCELLED"), Kind.RETRYABLE, None, id="cancelled over there"),
        pytest.param(error(500, "INTERNAL"), Kind.SERVER, None, id="an internal error"),
        pytest.param(
            error(503, "UNAVAILABLE", "This model is currently experiencing high demand."),
            Kind.OVERLOADED,
            None,
            id="overloaded",
        ),
        pytest.param(error(504, "DEADLINE_EXCEEDED"), Kind.SERVER, None, id="too slow"),
    ],
)
def test_kinds(document, kind, after):
    status = (document[0] if isinstance(document, list) else document)["error"]["code"]
    problem = CODEC.classify(ReplyHead(status), json.dumps(document).encode())
    assert (problem.kind, problem.retry_after) == (kind, after)


def test_only_the_client_hears_words_and_only_of_its_own_fault():
    long = error(
        400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    )
    assert "exceeds the maximum" in CODEC.classify(ReplyHead(400), json.dumps(long).encode()).detail
    key = error(400, "INVALID_ARGUMENT", "API key AIzaSyA1234567890 not valid", {"reason": "API_KEY_INVALID"})
    assert "AIza" not in CODEC.classify(ReplyHead(400), json.dumps(key).encode()).detail


def test_a_page_in_between_is_classified_by_its_status():
    assert CODEC.classify(ReplyHead(502), b"<html>Bad Gateway</html>").kind is Kind.SERVER


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "code",
                    "status",
                    "message",
                    "details",
                    "reason",
                    "violations",
                    "quotaId",
                    "retryDelay",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(st.integers(300, 599), JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_every_refusal_is_some_problem(status, body):
    assert isinstance(CODEC.classify(ReplyHead(status), body), Problem)
