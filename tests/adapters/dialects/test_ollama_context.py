"""`context` as a conversation: what is written reads back, within bounds, and nothing else is taken for one."""

import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects import ollama_context as context
from adapters.dialects.ollama_context import MARK, MOST_BYTES
from adapters.providers import CODECS
from pipeline.ports import Encoded
from pipeline.values.events import Failed, Finished, RefusalDelta, Started, TextDelta, Usage, UsageSeen
from pipeline.values.messages import ChatRequest, Image, Message, Prompt, Role, Text
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import collected, lines, read, written
from tests.adapters.providers.recorded import target

PATH = "/api/generate"
ASK = {"model": "m", "prompt": "hi"}
PNG = "iVBORw0KGgoAAAANSUhEUgAA"
REPLY = (
    Started("x"),
    TextDelta("Hello"),
    TextDelta("!"),
    UsageSeen(Usage(11, 3)),
    Finished("stop"),
)


def system(text):
    return Message(Role.SYSTEM, (Text(text),))


def user(text, *more):
    return Message(Role.USER, (Text(text), *more))


def model(text):
    return Message(Role.ASSISTANT, (Text(text),))


CONVERSATION = (system("be kind"), user("I am Ada."), model("Hello, Ada."))
GIVEN = context.written(CONVERSATION)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(st.tuples(st.sampled_from([user, model]), WORDS), max_size=6), WORDS)
def test_what_is_written_reads_back(turns, first):
    said = (user(first), *(speaker(text) for speaker, text in turns))
    assert context.read(context.written(said)) == said


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_every_number_fits_any_client(texts):
    assert all(0 <= number < 2**31 for number in context.written(map(user, texts)))


@given(st.lists(st.integers(-(2**63), 2**63), max_size=30))
def test_whatever_stands_behind_the_mark_is_read_or_refused(numbers):
    found = context.read([MARK, *numbers])
    assert found is None or isinstance(found, tuple)


@settings(max_examples=50)
@given(st.data())
def test_a_context_that_was_changed_is_refused(data):
    place = data.draw(st.integers(1, len(GIVEN) - 1))
    changed = data.draw(st.integers(0, 2**24).filter(lambda number: number != GIVEN[place]))
    found = context.read([*GIVEN[:place], changed, *GIVEN[place + 1 :]])
    assert found is None


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param([MARK], id="a mark alone"),
        pytest.param([MARK, 0], id="no bytes"),
        pytest.param(GIVEN[:-1], id="the end cut off"),
        pytest.param([*GIVEN, 1], id="more behind it"),
        pytest.param(GIVEN + GIVEN, id="one behind another"),
    ],
)
def test_a_piece_of_a_context_is_refused(numbers):
    assert context.read(numbers) is None


def packed(data):
    groups = (data[start : start + 3] for start in range(0, len(data), 3))
    return [MARK, len(data), *(int.from_bytes(group, "big") for group in groups)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(zlib.compress(b"[" + b" " * 100_000_000 + b"]"), id="a bomb"),
        pytest.param(zlib.compress(b"[" + b'["user",""],' * 5000 + b'["user",""]]'), id="a bomb of turns"),
        pytest.param(zlib.compress(b'[["user","x"]]') + b"more", id="more behind the compressed"),
        pytest.param(zlib.compress(b'[["root","x"]]'), id="a role that is none"),
        pytest.param(zlib.compress(b'[["user",5]]'), id="a text that is none"),
        pytest.param(zlib.compress(b'{"a":1}'), id="no list"),
        pytest.param(zlib.compress(b"hi"), id="no JSON"),
        pytest.param(b"hi", id="not compressed"),
    ],
)
def test_made_up_contexts_are_refused(data):
    assert context.read(packed(data)) is None


def test_the_oldest_turns_of_a_long_conversation_are_forgotten():
    long = "x" * (MOST_BYTES // 3)
    said = (system("be kind"), user("1" + long), model("2"), user("3" + long), model("4"), user("5" + long))
    assert context.read(context.written(said)) == (system("be kind"), said[3], said[4], said[5])
    assert context.written((user("x" * MOST_BYTES), model("!"))) == []


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        pytest.param({}, (*CONVERSATION, user("hi")), id="the prompt is the next turn"),
        pytest.param(
            {"images": [PNG]},
            (*CONVERSATION, user("hi", Image(PNG, media_type="image/png"))),
            id="with a picture",
        ),
        pytest.param(
            {"system": "be short"},
            (system("be short"), *CONVERSATION[1:], user("hi")),
            id="another system text takes the place of the first",
        ),
    ],
)
def test_a_context_that_comes_back_is_the_conversation(fields, messages):
    request = read(PATH, {**ASK, "context": GIVEN, **fields})
    assert isinstance(request, ChatRequest)
    assert (request.messages, request.prompt, request.extra) == (messages, None, {})


@pytest.mark.parametrize("kind", list(CODECS))
def test_every_provider_is_told_the_conversation(kind):
    codec = CODECS[kind]
    request = read(PATH, {**ASK, "context": GIVEN, "stream": False})
    sent = codec.encode(request, target(kind, "claude-sonnet-4-5"))
    assert isinstance(sent, Encoded)
    told = sent.http.body.decode()
    assert [told.count(text) for text in ("be kind", "I am Ada.", "Hello, Ada.", str(MARK))] == [1, 1, 1, 0]
    assert sent.losses == ()


def test_a_template_goes_along_to_be_told_as_lost():
    request = read(PATH, {**ASK, "context": GIVEN, "template": "{{ .Prompt }}", "keep_alive": 5})
    assert request.extra == {"ollama": {"keep_alive": 5, "template": "{{ .Prompt }}"}}


def test_the_tokens_of_an_engine_stay():
    assert read(PATH, {**ASK, "context": [1000, 1001]}).prompt == Prompt("hi", context=(1000, 1001))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"context": GIVEN[:-1]}, "context is not as it was given", id="a part of it"),
        pytest.param({"context": GIVEN, "suffix": "x"}, "together with suffix", id="with a gap to fill"),
        pytest.param({"context": GIVEN, "raw": True}, "raw mode does not support", id="with a bare prompt"),
    ],
)
def test_refused_contexts(fields, words):
    problem = read(PATH, {**ASK, **fields})
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.http_status) == (Kind.BAD_REQUEST, 400)
    assert words in problem.detail


def told(asked, *batches):
    """The context of an answer, whole and at the end of a stream alike."""
    _, whole = collected(PATH, {**asked, "stream": False}, *batches)
    *parts, last = lines(written(PATH, asked, batches))
    assert all("context" not in part for part in parts)
    assert whole.get("context") == last.get("context")
    return last.get("context")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(ASK, (user("hi"),), id="a prompt"),
        pytest.param({**ASK, "system": "be kind"}, (system("be kind"), user("hi")), id="with a system text"),
        pytest.param({**ASK, "images": [PNG]}, (user("hi"),), id="a picture is forgotten"),
        pytest.param({**ASK, "context": GIVEN}, (*CONVERSATION, user("hi")), id="a conversation grows"),
        pytest.param({**ASK, "context": [1000]}, (user("hi"),), id="tokens of elsewhere"),
    ],
)
def test_an_answer_tells_the_conversation(asked, said):
    assert context.read(told(asked, REPLY[:2], REPLY[2:])) == (*said, model("Hello!"))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({**ASK, "raw": True}, id="a bare prompt"),
        pytest.param({**ASK, "suffix": "x"}, id="a gap to fill"),
        pytest.param({**ASK, "prompt": "x" * MOST_BYTES}, id="too long to be kept"),
    ],
)
def test_answers_without_a_context(asked):
    assert told(asked, REPLY) is None


def test_a_refusal_is_an_answer():
    batch = (Started("x"), RefusalDelta("No."), Finished("stop"))
    assert context.read(told(ASK, batch)) == (user("hi"), model("No."))


def test_an_engine_s_own_tokens_win():
    assert told(ASK, (*REPLY[:3], Finished("stop", extra={"ollama": {"context": [1, 2]}}))) == [1, 2]


def test_a_chat_has_none():
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert "context" not in lines(written("/api/chat", asked, [REPLY]))[-1]


def test_a_stream_that_fails_tells_none():
    data = written(PATH, ASK, [REPLY[:2], (Failed(Problem(Kind.DEADLINE, "too late")),)])
    assert json.loads(data.splitlines()[-1]) == {"error": "too late"}
