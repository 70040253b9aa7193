"""An answer that breaks off is gone on with elsewhere, where that is possible."""

import pytest
import trio
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.board import Board, Snapshot
from pipeline.values.events import (
    Batch,
    ExtraDelta,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
    Verbatim,
    grammatical,
)
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted, FirstToken
from pipeline.values.messages import (
    EmbedRequest,
    Format,
    Message,
    Prompt,
    Role,
    Sampling,
    Source,
    Text,
    Thinking,
    ToolChoice,
)
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import build_stages, compose
from stages import CATALOG
from stages.call import called
from stages.continuing import (
    Said,
    added,
    appended,
    continuation,
    left_tokens,
    may_go_on,
    next_part,
    unrepeated,
)
from stages.moves import CallOptions, Try, World
from stages.record import RecordOptions
from stages.transform import TransformOptions
from tests.kit import Ear, Stand, exchange, request, target

ON = CallOptions(mid_stream="continue")
BROKEN = Problem(Kind.STREAM_ERROR, "the provider's answer broke off")
KING = "Once upon a time there was a king wh"


def script(*events, gap=0.1):
    return tuple((gap, event) for event in events)


def breaking(*texts, problem=BROKEN):
    return script(Started("m"), *map(TextDelta, texts), problem)


def whole(*texts, usage=None):
    seen = [UsageSeen(usage)] if usage else []
    return script(Started("m", "other-id"), *map(TextDelta, texts), *seen, Finished("stop"))


class Told:
    """What came of a scripted exchange."""

    def __init__(self, stand, ear, asked):
        self.stand, self.ear, self.asked = stand, ear, asked

    @property
    def text(self):
        return "".join(event.text for event in self.ear.events if isinstance(event, TextDelta))

    @property
    def starts(self):
        return [(fact.target, fact.continues) for fact in self.ear.told(AttemptStarted)]

    @property
    def end(self):
        return self.ear.events[-1]


def env_of(stand, prefills=lambda target: True, asked=None):
    """The Env of `stand`, whose models take prefills; `asked` hears what each was asked."""
    env = stand.env
    codec = env.codecs["scripted"]

    def encode(request, target):
        if asked is not None:
            asked.append((target.name, request))
        return codec.encode(request, target)

    return evolve(env, codecs={"scripted": evolve(codec, prefills=prefills, encode=encode)})


async def carried(scripts, options=ON, prefills=lambda target: True, asking=None, **changes):
    """An exchange with targets that play `scripts`, asked in that order."""
    board, asked = Board(), []
    stand, ear = Stand(scripts, board=board), Ear(board=board)
    plan = Plan(tuple(Candidate(target(name), 0.0, "") for name in scripts), "test")
    plan = evolve(plan, **changes)
    given = exchange(trio.current_time(), request=asking or request("tell"))
    await called(given, plan, ear.wire, options, env_of(stand, prefills, asked)).carry_out()
    assert grammatical(ear.events)
    assert stand.held() == 0
    return Told(stand, ear, asked)


async def test_another_goes_on_where_one_broke_off(autojump_clock):
    told = await carried({"a": breaking(KING[:9], KING[9:]), "b": whole("o had ", "a crown.")})
    assert told.text == "Once upon a time there was a king who had a crown."
    assert told.end == Finished("stop")
    assert [type(event) for event in told.ear.events].count(Started) == 1
    assert told.starts == [("a/m", False), ("b/m", True)]
    assert [fact.verdict for fact in told.ear.told(AttemptEnded)] == [Kind.STREAM_ERROR, None]
    assert [fact.number for fact in told.ear.told(FirstToken)] == [1, 2]


async def test_it_is_asked_with_the_text_so_far_as_its_own(autojump_clock):
    asking = request("tell", source=Source("openai.chat", {}), sampling=Sampling(max_tokens=100))
    told = await carried({"a": breaking(KING, " "), "b": whole(" x")}, asking=asking)
    name, asked = told.asked[-1]
    assert name == "b/m"
    assert [(turn.role, turn.text) for turn in asked.messages] == [
        (Role.USER, "tell"),
        (Role.ASSISTANT, KING),
    ]
    assert asked.source is None
    assert asked.sampling.max_tokens == 100 - 10
    assert told.text == KING + " x"


async def test_what_was_said_comes_as_it_is_said(autojump_clock):
    told = await carried({"a": breaking("a", "b"), "b": whole("c", "d")})
    assert told.ear.times == pytest.approx([0.2, 0.2, 0.3, 0.6, 0.7, 0.8])


async def test_it_is_off_by_default(autojump_clock):
    told = await carried({"a": breaking("a"), "b": whole("b")}, CallOptions())
    assert told.text == "a"
    assert told.end == Failed(BROKEN.at("a/m"))
    assert told.starts == [("a/m", False)]


async def test_silence_is_a_break_too(autojump_clock):
    told = await carried(
        {"a": (*script(Started("m"), TextDelta("a")), (99.0, TextDelta("z"))), "b": whole("b")}
    )
    assert (told.text, told.end) == ("ab", Finished("stop"))


async def test_others_pass_it_on(autojump_clock):
    scripts = {"a": breaking("a"), "b": breaking("b"), "c": whole("c")}
    told = await carried(scripts)
    assert (told.text, told.end) == ("abc", Finished("stop"))
    assert told.starts == [("a/m", False), ("b/m", True), ("c/m", True)]
    assert told.asked[-1][1].messages[-1].text == "ab"


async def test_who_fails_before_its_first_word_is_passed_over(autojump_clock):
    told = await carried({"a": breaking("a"), "b": ((0.1, 500),), "c": whole("c")})
    assert told.text == "ac"
    assert told.starts == [("a/m", False), ("b/m", True), ("c/m", True)]


async def test_where_nobody_can_the_break_is_told(autojump_clock):
    told = await carried({"a": breaking("a"), "b": ((0.1, 500),)})
    assert told.text == "a"
    assert told.end == Failed(BROKEN.at("a/m")), "and not why the other one could not go on"


async def test_the_attempts_are_those_of_the_whole_exchange(autojump_clock):
    scripts = {name: breaking(name) for name in "abcd"}
    told = await carried(scripts, evolve(ON, max_attempts=3))
    assert told.text == "abc"
    assert told.end == Failed(BROKEN.at("c/m"))


@pytest.mark.parametrize(
    ("options", "prefills"),
    [
        pytest.param(evolve(ON, max_attempts=1), lambda target: True, id="no attempt is left"),
        pytest.param(evolve(ON, fallback="none"), lambda target: True, id="nobody else may be asked"),
        pytest.param(ON, lambda target: False, id="nobody takes a prefill"),
        pytest.param(ON, lambda target: target.provider.name == "a", id="only who broke off takes one"),
    ],
)
async def test_when_nobody_goes_on(options, prefills, autojump_clock):
    told = await carried({"a": breaking("a"), "b": whole("b")}, options, prefills)
    assert told.starts == [("a/m", False)]
    assert told.end == Failed(BROKEN.at("a/m"))


async def test_who_takes_no_prefill_is_left_out(autojump_clock):
    scripts = {"a": breaking("a"), "b": whole("b"), "c": whole("c")}
    told = await carried(scripts, prefills=lambda target: target.provider.name == "c")
    assert told.starts == [("a/m", False), ("c/m", True)]


async def test_a_refusal_for_what_it_is_about_goes_to_nobody_else(autojump_clock):
    told = await carried({"a": breaking("a"), "b": ((0.1, 451),), "c": whole("c")})
    assert told.starts == [("a/m", False), ("b/m", True)]
    assert told.end == Failed(BROKEN.at("a/m"))


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(ThinkingDelta("hm"), id="it thought"),
        pytest.param(ToolCallDelta(0, "id", "f"), id="it began to call"),
        pytest.param(RefusalDelta("no"), id="it refused"),
        pytest.param(ExtraDelta("x", {}), id="it said what only its form can say"),
        pytest.param(TextDelta("b", 1), id="it said a second answer"),
    ],
)
async def test_only_plain_text_is_gone_on_with(event, autojump_clock):
    scripts = {"a": script(Started("m"), TextDelta("a"), event, BROKEN), "b": whole("b")}
    told = await carried(scripts)
    assert told.starts == [("a/m", False)]
    assert told.end == Failed(BROKEN.at("a/m"))


async def test_a_call_may_follow(autojump_clock):
    call = ToolCallDelta(0, "id", "f", "{}")
    told = await carried({"a": breaking("a"), "b": script(Started("m"), call, Finished("tool_calls"))})
    assert told.ear.events[-2:] == (call, Finished("tool_calls"))


async def test_thoughts_about_how_to_go_on_are_nobodys_business(autojump_clock):
    scripts = {
        "a": breaking("a"),
        "b": script(Started("m"), ThinkingDelta("hm"), TextDelta("b"), Finished("stop")),
    }
    told = await carried(scripts)
    assert told.text == "ab"
    assert not any(isinstance(event, ThinkingDelta) for event in told.ear.events)


async def test_the_usage_is_that_of_all_parts(autojump_clock):
    told = await carried({"a": breaking("Hello my "), "b": whole("friend", usage=Usage(20, 3, cached=5))})
    assert [event.usage for event in told.ear.events if isinstance(event, UsageSeen)] == [
        Usage(20 + 9, 3 + 3, cached=5, estimated=True)
    ]


async def test_who_is_overtaken_is_one_of_the_attempts(autojump_clock):
    """`a` is slow, so `b` is asked beside it, wins and breaks off: `c` is the third, and the last."""
    options = evolve(ON, hedge="delay", hedge_after=0.5, hedge_share=1.0)
    scripts = {"a": ((9.0, Started("m")),), "b": breaking("b"), "c": breaking("c"), "d": whole("d")}
    told = await carried(scripts, options)
    assert told.starts == [("a/m", False), ("b/m", False), ("c/m", True)]
    assert told.text == "bc"


async def test_what_one_of_two_refused_is_not_gone_on_with(autojump_clock):
    options = evolve(ON, hedge="delay", hedge_after=0.0, hedge_share=1.0)
    told = await carried({"a": breaking("a"), "b": ((0.0, 451),), "c": whole("c")}, options)
    assert told.starts == [("a/m", False), ("b/m", False)]
    assert told.end == Failed(BROKEN.at("a/m"))


async def test_a_stream_may_not_last_longer_for_having_been_gone_on_with(autojump_clock):
    slow = (*script(Started("m"), TextDelta("a")), *(((30.0, TextDelta("."))),) * 9)
    scripts = {"a": (*slow[:4], (0.1, BROKEN)), "b": slow, "c": whole("c")}
    told = await carried(scripts, evolve(ON, stream_timeout=100.0))
    assert told.starts[:2] == [("a/m", False), ("b/m", True)]
    assert told.ear.times[-1] == pytest.approx(100.0, abs=1.0)
    assert told.starts == [("a/m", False), ("b/m", True)]
    assert told.end.problem.kind is Kind.DEADLINE


async def test_the_client_who_leaves_ends_it(autojump_clock):
    board = Board()
    stand, ear = (
        Stand({"a": breaking("a"), "b": script(Started("m"), *[TextDelta(".")] * 99)}, board=board),
        Ear(board=board),
    )
    plan = Plan(tuple(Candidate(target(name), 0.0, "") for name in "ab"), "test")
    with trio.move_on_after(2.0):
        await called(exchange(), plan, ear.wire, ON, env_of(stand)).carry_out()
    assert [stand.upstreams[name].running for name in "ab"] == [0, 0]
    assert stand.held() == 0
    last = ear.told(AttemptEnded)[-1]
    assert (last.target, last.cancelled, last.verdict) == ("b/m", True, None)


async def test_bytes_of_two_upstreams_are_not_mixed(autojump_clock):
    ear, said = Ear(), Said()
    await said.on(ear.wire).emit(Batch((Started("m"), TextDelta("a")), Verbatim("x", b"frame")))
    assert ear.batches == [Batch((Started("m"), TextDelta("a")))]
    assert (said.text, said.plain) == ("a", True)


async def test_the_record_says_so(autojump_clock):
    stand = Stand({"a": breaking("a"), "b": breaking("b"), "c": whole("c")})
    options = {"call": ON, "transform": TransformOptions(), "record": RecordOptions()}
    catalog = {name: CATALOG[name] for name in options}
    service = compose(list(options), build_stages(options, catalog, env_of(stand)), catalog)
    plan = Plan(tuple(Candidate(target(name), 0.0, "") for name in "abc"), "test")
    ear = Ear(board=stand.board)
    await service(exchange(plan=plan), ear.wire)
    (record,) = stand.records
    assert (record.outcome, record.served, record.continued) == ("ok", "a/m", 2)
    assert [attempt.verdict for attempt in record.attempts] == [Kind.STREAM_ERROR, Kind.STREAM_ERROR, None]
    assert record.usage.estimated
    await service(exchange(plan=evolve(plan, candidates=plan.candidates[2:])), ear.wire)
    assert stand.records[-1].continued == 0


TWO = Plan((Candidate(target("a"), 0.0, ""), Candidate(target("b"), 0.0, "")), "test")
ASSISTANT = Message(Role.ASSISTANT, (Text("Sure:"),))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(request(), True, id="a plain one"),
        pytest.param(request(stream=False), False, id="whose answer comes whole"),
        pytest.param(request(choices=2), False, id="for several answers"),
        pytest.param(request(format=Format()), False, id="for JSON"),
        pytest.param(request(logprobs=0), False, id="for log probabilities"),
        pytest.param(request(thinking=Thinking(True)), False, id="to think first"),
        pytest.param(request(thinking=Thinking(False)), True, id="not to think"),
        pytest.param(request(tool_choice=ToolChoice("auto")), True, id="to call a tool or not"),
        pytest.param(request(tool_choice=ToolChoice("required")), False, id="to call a tool"),
        pytest.param(request(messages=(), prompt=Prompt("a")), False, id="to complete a text"),
        pytest.param(request(messages=(ASSISTANT,)), False, id="to go on with the client's own words"),
        pytest.param(EmbedRequest("m", ("a",)), False, id="to embed"),
    ],
)
def test_which_requests_may_be_gone_on_with(asked, expected):
    assert may_go_on(asked, TWO, lambda candidate: True) is expected


def test_alone_nobody_goes_on():
    assert not may_go_on(request(), evolve(TWO, candidates=TWO.candidates[:1]), lambda candidate: True)


def asked_next(said, tries=(Try(TWO.candidates[0], BROKEN, True),), plan=TWO, asked=None, left_s=100.0):
    world = World(Snapshot(), 100.0, left_s, lambda candidate: True, 0.5)
    found = next_part(said, asked or request(), plan, tries, ON, world, lambda candidate: True)
    return None if found is None else found.candidate.target.name


def told_so_far(*events):
    said = Said()
    for event in events:
        said._hear(event)
    return said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"said": told_so_far(TextDelta("a"))}, "b/m", id="after some text"),
        pytest.param({"said": told_so_far()}, None, id="not before it"),
        pytest.param({"said": told_so_far(TextDelta(" \n"))}, None, id="nor after white space"),
        pytest.param(
            {"said": told_so_far(TextDelta("a"), UsageSeen(Usage(1, 1)))}, None, id="nor when it was over"
        ),
        pytest.param({"said": told_so_far(TextDelta("a")), "left_s": 0.5}, None, id="nor without time"),
        pytest.param(
            {"said": told_so_far(TextDelta("a" * 40)), "asked": request(sampling=Sampling(max_tokens=10))},
            None,
            id="nor where the answer is as long as it may be",
        ),
        pytest.param(
            {
                "said": told_so_far(TextDelta("a")),
                "tries": (Try(TWO.candidates[0], Problem(Kind.DEADLINE), True),),
            },
            None,
            id="nor when the request's own time is over",
        ),
        pytest.param(
            {
                "said": told_so_far(TextDelta("a")),
                "plan": evolve(
                    TWO, candidates=(TWO.candidates[0], evolve(TWO.candidates[1], instead_of=Kind.POLICY))
                ),
            },
            None,
            id="nor by who only stands in for another failure",
        ),
    ],
)
def test_who_goes_on(given, expected):
    assert asked_next(**given) == expected


def test_the_usage_of_a_part_that_told_it_is_not_guessed():
    first = continuation(None, request("tell me"), Usage(9, 4), "a" * 8, 5.0)
    assert (first.used, first.began) == (Usage(9, 4), 5.0)
    second = continuation(first, request("tell me"), None, "a" * 8 + "b" * 12, 99.0)
    assert second.began == 5.0
    assert second.used.output == 4 + 3
    assert second.used.estimated


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(Usage(1, 2), Usage(3, 4), Usage(4, 6), id="a sum"),
        pytest.param(Usage(), Usage(3), Usage(3), id="what is not said is nothing"),
        pytest.param(
            Usage(1, estimated=True), Usage(3), Usage(4, estimated=True), id="half a guess is a guess"
        ),
    ],
)
def test_usages_are_added(one, other, expected):
    assert added(one, other) == expected


@pytest.mark.parametrize(
    ("texts", "owed", "expected"),
    [
        pytest.param((" b",), " ", "b", id="it comes again"),
        pytest.param(("b",), " ", "b", id="it does not"),
        pytest.param(("\n", "\n", "b"), "\n\n", "b", id="it comes piece by piece"),
        pytest.param(("\n b",), "\n\n", " b", id="half of it comes"),
        pytest.param(("\n\n\nb",), "\n\n", "\nb", id="more than it comes"),
        pytest.param(("", " b"), " ", "b", id="nothing comes first"),
        pytest.param((" b",), "", " b", id="nothing is owed"),
    ],
)
def test_white_space_is_not_said_twice(texts, owed, expected):
    said = ""
    for text in texts:
        owed, batch = appended(Batch((TextDelta(text),)), owed, Usage())
        said += "".join(event.text for event in batch.events)
    assert said == expected


@given(st.text(" \n\tab", max_size=8), st.text(" \n\t", max_size=4), st.text("ab \n", max_size=8))
def test_who_says_it_again_is_heard_once(text, owed, rest):
    rest_said, still = unrepeated(owed + rest, owed)
    assert (rest_said, still) == (rest, "")


def test_how_long_the_answer_may_still_be():
    assert left_tokens(request(), "a" * 400) is None
    assert left_tokens(request(sampling=Sampling(max_tokens=100)), "a" * 41) == 89
    assert left_tokens(request(sampling=Sampling(max_tokens=5)), "a" * 400) == 0
