import pytest
from attrs import evolve

from pipeline.fingerprint import fingerprint, repeatable
from pipeline.values.callers import Caller, Priority
from pipeline.values.exchange import Preference
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    LoadRequest,
    Message,
    Reasoning,
    Role,
    Sampling,
    Source,
    Text,
)
from tests.kit import exchange, request

ASKED = exchange(request=request("hi", sampling=Sampling(temperature=0)))


def asked(**changes):
    return evolve(ASKED, request=evolve(ASKED.request, **changes))


@pytest.mark.parametrize(
    ("given", "same"),
    [
        pytest.param(evolve(ASKED, id="other", arrived=9.0, deadline=99.0), True, id="another moment"),
        pytest.param(evolve(ASKED, priority=Priority.LOW, client_retry=True), True, id="another urgency"),
        pytest.param(evolve(ASKED, forwarded={"traceparent": "x"}), True, id="another trace"),
        pytest.param(asked(extra={"b": {"x": 1, "y": 2}, "a": 1}), False, id="something extra"),
        pytest.param(evolve(ASKED, caller=Caller("k1")), False, id="another key"),
        pytest.param(evolve(ASKED, caller=Caller(models=("m*",))), False, id="other rules of the key"),
        pytest.param(evolve(ASKED, dialect="openai.chat"), False, id="another protocol"),
        pytest.param(evolve(ASKED, preference=Preference(("a",))), False, id="another provider wished for"),
        pytest.param(evolve(ASKED, strict=True), False, id="strict"),
        pytest.param(evolve(ASKED, strategy="priority"), False, id="another strategy"),
        pytest.param(asked(model="other"), False, id="another model"),
        pytest.param(asked(stream=False), False, id="not streamed"),
        pytest.param(asked(sampling=Sampling(temperature=0, max_tokens=1)), False, id="another length"),
        pytest.param(asked(messages=(Message(Role.USER, (Text("hi "),)),)), False, id="another text"),
        pytest.param(asked(messages=(Message(Role.USER, (Reasoning("hi"),)),)), False, id="another sort of part"),
        pytest.param(asked(messages=(Message(Role.USER, (Text("h"), Text("i"))),)), False, id="parts cut otherwise"),
        pytest.param(asked(source=Source("ollama.chat", {"unknown": 1})), False, id="an unknown field of the client"),
    ],
)  # fmt: skip
def test_exchanges_are_the_same_when_they_ask_for_the_same(given, same):
    assert (fingerprint(given) == fingerprint(ASKED)) is same


def test_the_order_of_keys_is_no_difference():
    one, other = asked(extra={"a": 1, "b": {"x": 1, "y": 2}}), asked(extra={"b": {"y": 2, "x": 1}, "a": 1})
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(ChatRequest("m", sampling=Sampling(temperature=0)), True, id="no chance"),
        pytest.param(ChatRequest("m", sampling=Sampling(temperature=0.0, top_p=0.5)), True, id="no chance, written 0.0"),
        pytest.param(ChatRequest("m", sampling=Sampling(seed=0)), True, id="a seed"),
        pytest.param(ChatRequest("m", sampling=Sampling(temperature=0.1)), False, id="some chance"),
        pytest.param(ChatRequest("m"), False, id="the model's own chance"),
        pytest.param(ChatRequest("m", sampling=Sampling(temperature=0), stateful=True), False, id="the provider keeps it"),
        pytest.param(EmbedRequest("m", ("a",)), True, id="vectors"),
        pytest.param(LoadRequest("m"), False, id="a load"),
    ],
)  # fmt: skip
def test_an_answer_can_be_given_again_where_nothing_is_left_to_chance(given, expected):
    assert repeatable(given) is expected
