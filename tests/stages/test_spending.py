"""What an attempt costs a key that has a budget: what is set aside, how long the answer may be, and what it was."""

import pytest
from attrs import evolve

from pipeline.state.budget import micro
from pipeline.values.events import (
    Batch,
    Embedded,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
)
from pipeline.values.exchange import How, Loss
from pipeline.values.messages import EmbedRequest, Sampling, Source
from pipeline.values.problems import Kind
from pipeline.values.sizes import LONGEST_ANSWER, input_tokens
from pipeline.values.targets import ModelFacts, Price
from stages.costs import cost_of
from stages.spending import counted, estimate, unpriced, within_budget, written
from tests.kit import exchange, provider, request
from tests.kit import target as some_target

# 100 bytes of text and one turn.
INPUT = input_tokens(request("x" * 100))
EMBED = EmbedRequest("m", ("x" * 400,))


def target(price=(2.0, 10.0), cap=None):
    return evolve(
        some_target("a"),
        facts=ModelFacts("m", price=None if price is None else Price(*price), output_limit=cap),
    )


def asked(max_tokens=None, **changes):
    return request("x" * 100, sampling=Sampling(max_tokens=max_tokens), **changes)


@pytest.mark.parametrize(
    ("asks", "at", "micro_usd"),
    [
        pytest.param(asked(100), target(), 2 * INPUT + 1000, id="as long as the client allows"),
        pytest.param(
            asked(), target(), 2 * INPUT + 10 * LONGEST_ANSWER, id="as long as usual where he does not say"
        ),
        pytest.param(asked(9000), target(), 2 * INPUT + 90_000, id="longer where he does"),
        pytest.param(asked(9000), target(cap=500), 2 * INPUT + 5000, id="no longer than the model can"),
        pytest.param(asked(100, choices=3), target(), 2 * INPUT + 3000, id="each of several answers"),
        pytest.param(asked(1), target((0.001, 0.001)), 1, id="never less than it will be"),
        pytest.param(asked(100), target((0.0, 0.0)), 0, id="what is free is free"),
        pytest.param(EMBED, target((2.0, None)), 200, id="embedding writes nothing"),
        pytest.param(asked(100), target(None), None, id="an unknown price is not free"),
        pytest.param(asked(100), target((2.0, None)), None, id="nor is half a price"),
        pytest.param(EMBED, target((None, 2.0)), None, id="nor the wrong half"),
    ],
)
def test_an_estimate(asks, at, micro_usd):
    assert estimate(asks, at) == micro_usd


LOST = (Loss("max_tokens", How.APPROXIMATED),)


@pytest.mark.parametrize(
    ("asks", "at", "left", "sent", "lost"),
    [
        pytest.param(
            asked(100), target(), 10, 100, (), id="what is short enough stays, whether it fits or not"
        ),
        pytest.param(
            asked(), target(), 10**9, LONGEST_ANSWER, (), id="who does not say gets the usual length"
        ),
        pytest.param(asked(), target(cap=200), 10**9, 200, (), id="or the model's own"),
        pytest.param(
            asked(9000), target(), 10**9, 9000, (), id="who asks for more and can pay for it gets it"
        ),
        pytest.param(
            asked(9000), target(), 50_000, LONGEST_ANSWER, LOST, id="who cannot is told that he does not"
        ),
        pytest.param(asked(9000), target(cap=8000), 10**9, 8000, LOST, id="nor beyond what the model can"),
        pytest.param(asked(), target((0.0, 0.0)), 0, None, (), id="what is free has no end"),
        pytest.param(asked(), target(), None, None, (), id="nor has anything without a budget"),
    ],
)
def test_the_length_of_an_answer_under_a_budget(asks, at, left, sent, lost):
    before = exchange(request=asks)
    after, losses = within_budget(before, at, left)
    assert (after.request.sampling.max_tokens, losses) == (sent, lost)
    assert (after is before) == (asks.sampling.max_tokens == sent)


def test_the_clients_own_json_does_not_stand_for_a_request_that_was_shortened():
    asks = asked(source=Source("openai.chat", {"model": "m"}))
    after, _ = within_budget(exchange(request=asks), target(), 10**9)
    assert after.request.source is None


def test_embedding_is_never_shortened():
    before = exchange(request=EMBED)
    assert within_budget(before, target(), 0) == (before, ())


def test_what_to_do_about_an_unknown_price():
    problem = unpriced(evolve(target(None), provider=provider("acme")))
    assert (problem.kind, problem.retry_after) == (Kind.BUDGET, None)
    assert '[models."acme/m"] price = { input = ..., output = ... }' in problem.detail


@pytest.mark.parametrize(
    ("cost", "whole"),
    [(None, 0), (0.0, 0), (0.0000001, 1), (0.000001, 1), (0.0000011, 2), (0.00182, 1820), (1.1, 1_100_000)],
)
def test_whole_micro_dollars(cost, whole):
    assert micro(cost) == whole


def test_what_the_model_wrote():
    events = (
        Started("m"),
        ThinkingDelta("hm"),
        TextDelta("éa"),
        RefusalDelta("no"),
        ToolCallDelta(0, "id", "f", '{"a"'),
        Embedded(([0.1],)),
        UsageSeen(Usage(1, 1)),
        Finished("stop"),
    )
    assert written(Batch(events)) == 2 + 3 + 2 + 5


@pytest.mark.parametrize(
    ("told", "asks", "size", "usage"),
    [
        pytest.param(Usage(3, 4, cached=1), asked(), 99, Usage(3, 4, cached=1), id="what was told is so"),
        pytest.param(None, asked(), 99, Usage(INPUT, 25, estimated=True), id="what was not is counted"),
        pytest.param(None, asked(), 0, Usage(INPUT, 0, estimated=True), id="even nothing"),
        pytest.param(Usage(3), asked(), 8, Usage(3, 2, estimated=True), id="as far as it was not"),
        pytest.param(Usage(None, 4), asked(), 8, Usage(INPUT, 4, estimated=True), id="either half"),
        pytest.param(Usage(7), EMBED, 0, Usage(7), id="embedding writes nothing"),
        pytest.param(None, EMBED, 0, Usage(100, None, estimated=True), id="and reads all it is given"),
    ],
)
def test_usage(told, asks, size, usage):
    assert counted(told, asks, size) == usage


def test_an_answer_whose_price_is_not_known_is_not_free():
    assert cost_of(target((2.0, None)), Usage(100, 5)) is None
    assert cost_of(target((2.0, None)), Usage(100)) == 0.0002


def test_who_tells_more_cached_than_given_pays_nobody():
    assert cost_of(target((3.0, 15.0, 0.3)), Usage(10, 0, 1000)) == pytest.approx(10 * 0.3 / 1e6)
