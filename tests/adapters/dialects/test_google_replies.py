"""Writing replies of Google's routes: chunks, lists, whole replies, and what was recorded written again."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects.google_chat import DIALECT
from adapters.dialects.google_thoughts import unpacked
from adapters.providers import CODECS
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
from pipeline.values.http import ReplyHead
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import BEGAN, ID, post
from tests.adapters.dialects.test_laws import cuts, replies
from tests.adapters.providers.recorded import ROOT, load

THINKS = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
BODY = {"contents": [{"parts": [{"text": "hi"}]}]}
CODEC = CODECS["google"]
WHOLE, SSE, LIST = "generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"
USAGE = UsageSeen(Usage(11, 5, 3, 2))
CLAUDES = {"type": "reasoning.text", "text": "so", "signature": "s", "format": "anthropic-claude-v1"}
GEMINIS = {"type": "reasoning.encrypted", "data": "c2ln", "format": "google-gemini-v1"}


def request(method, thinks=True):
    return DIALECT.read(post(f"/v1beta/models/m:{method}", {**BODY, **(THINKS if thinks else {})}))


def begun(method, thinks=True):
    return DIALECT.fresh(request(method, thinks), ID, BEGAN)


def written(method, *batches, thinks=True):
    state, out = begun(method, thinks), b""
    for batch in batches:
        whole = batch if isinstance(batch, Batch) else Batch(tuple(batch))
        state, data = DIALECT.write(state, whole, 1.0)
        out += data
    return out


def collected(*events, thinks=True):
    answer = DIALECT.collect(begun(WHOLE, thinks), (Batch(events),), 1.0)
    return json.loads(answer.body)


def chunks(data):
    assert data == b"" or data.endswith(b"\r\n\r\n")
    return [json.loads(frame.removeprefix(b"data: ")) for frame in data.split(b"\r\n\r\n") if frame]


def decoded(method, data):
    state = CODEC.fresh(request(method))
    state, batch = CODEC.decode(state, data)
    return (*batch.events, *CODEC.finish(state).events)


def told(events):
    """What events say, with neighbours of a kind joined and calls whole, each in its order."""
    calls, found = {}, []
    for event in events:
        match event:
            case ToolCallDelta():
                known = calls.setdefault(event.index, ["", "", ""])
                known[0] += event.id or ""
                known[1] += event.name or ""
                known[2] += event.arguments
            case TextDelta() | ThinkingDelta() if found and type(found[-1]) is type(event):
                found[-1] = type(event)(found[-1].text + event.text)
            case Started():
                found.append(event.model)
            case Finished():
                found.append(event.reason)
            case _:
                found.append(event)
    return found, [
        (id, name, json.loads(arguments or "{}")) for _, (id, name, arguments) in sorted(calls.items())
    ]


@settings(max_examples=80)
@given(data=st.data())
def test_what_was_written_decodes_to_the_same_events(data):
    events = data.draw(replies())
    back = decoded(SSE, written(SSE, *data.draw(cuts(events))))
    assert grammatical(back)
    assert told(back) == told(events)


@settings(max_examples=40)
@given(data=st.data())
def test_a_list_and_a_whole_reply_say_what_the_events_say(data):
    events = data.draw(replies())
    batches = data.draw(cuts(events))
    listed = json.loads(written(LIST, *batches))
    assert listed == chunks(written(SSE, *batches))
    assert told(decoded(WHOLE, json.dumps(collected(*events)).encode())) == told(events)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(found, id=found.id)
        for found in map(load, sorted(ROOT.glob("gemini.*enerateContent*.json")))
        if found.status == 200
    ],
)
def test_recorded_replies_written_again_say_the_same(found):
    method = SSE if found.stream else WHOLE
    state = CODEC.fresh(request(method))
    batches = []
    for at in range(0, len(found.body), 700):
        state, batch = CODEC.decode(state, found.body[at : at + 700])
        batches.append(batch)
    batches.append(CODEC.finish(state))
    events = tuple(event for batch in batches for event in batch.events)
    if isinstance(events[-1], Failed):
        return
    verbatim = b"".join(batch.verbatim.data for batch in batches if batch.verbatim)
    bare = [Batch(batch.events) for batch in batches]
    if found.stream:
        assert written(method, *batches) == verbatim or not verbatim
        back = decoded(method, written(method, *bare))
    else:
        assert DIALECT.collect(begun(method), tuple(batches), 1.0).body == found.body
        back = decoded(method, DIALECT.collect(begun(method), tuple(bare), 1.0).body)
    ours, theirs = told(back[1:]), told(events[1:])
    assert ours[1] == theirs[1]
    of_kind = [
        [[part for part in parts if type(part) is kind] for parts in (ours[0], theirs[0])]
        for kind in (TextDelta, ThinkingDelta, UsageSeen, ExtraDelta, str)
    ]
    for again, first in of_kind:
        if any(isinstance(part, RefusalDelta) for part in theirs[0]):
            continue
        # A signature on a part of its own may end what was one run of words.
        assert "".join(part.text for part in again if isinstance(part, TextDelta | ThinkingDelta)) == "".join(
            part.text for part in first if isinstance(part, TextDelta | ThinkingDelta)
        )
        assert [part for part in again if isinstance(part, UsageSeen | ExtraDelta | str)] == [
            part for part in first if isinstance(part, UsageSeen | ExtraDelta | str)
        ]


def test_a_whole_reply():
    events = [
        Started("gpt-4o-2024", "r"),
        ThinkingDelta("so"),
        TextDelta("a"),
        TextDelta("b"),
        ToolCallDelta(0, "c1", "f", '{"x":'),
        ToolCallDelta(0, arguments="1}"),
        ToolCallDelta(1, "c2", "g"),
        USAGE,
        Finished("tool_calls"),
    ]
    assert collected(*events) == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "so", "thought": True},
                        {"text": "ab"},
                        {"functionCall": {"id": "c1", "name": "f", "args": {"x": 1}}},
                        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
                    ],
                    "role": "model",
                },
                "index": 0,
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 11,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 2,
            "cachedContentTokenCount": 3,
            "totalTokenCount": 16,
        },
        "modelVersion": "m",
        "responseId": "r",
    }


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        pytest.param([], [{"text": ""}], id="nothing: empty words"),
        pytest.param([RefusalDelta("no")], [{"text": "no"}], id="a refusal"),
        pytest.param([ThinkingDelta("so")], [{"text": "so", "thought": True}], id="thoughts"),
        pytest.param(
            [ToolCallDelta(0, "c", "f", "[1")],
            [{"functionCall": {"id": "c", "name": "f", "args": {"INVALID_JSON": "[1"}}}],
            id="arguments that are no object",
        ),
        pytest.param(
            [ToolCallDelta(0, "c", "f", "{}"), ExtraDelta("reasoning_details", {**GEMINIS, "id": "c"})],
            [{"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "c2ln"}],
            id="the signature of a call",
        ),
        pytest.param(
            [TextDelta("x"), ExtraDelta("reasoning_details", GEMINIS)],
            [{"text": "x"}, {"text": "", "thoughtSignature": "c2ln"}],
            id="the signature of words",
        ),
        pytest.param(
            [ExtraDelta("google.generate", {"content": {"parts": [{"executableCode": {"code": "1"}}]}})],
            [{"executableCode": {"code": "1"}}],
            id="a part of Google's own",
        ),
        pytest.param([ExtraDelta("openai.chat", {"audio": {}})], [{"text": ""}], id="what only others say"),
    ],
)
def test_parts(events, parts):
    reply = collected(Started("m"), *events, Finished("stop"))
    assert reply["candidates"][0]["content"] == {"parts": parts, "role": "model"}


def test_thoughts_are_hidden_from_those_who_did_not_ask():
    reply = collected(Started("m"), ThinkingDelta("so"), TextDelta("x"), Finished("stop"), thinks=False)
    assert reply["candidates"][0]["content"]["parts"] == [{"text": "x"}]


def test_what_others_want_back_goes_with_the_first_call():
    detail = ExtraDelta("reasoning_details", CLAUDES)
    calls = (ToolCallDelta(0, "c", "f", "{}"), ToolCallDelta(1, "d", "f", "{}"))
    reply = collected(Started("m"), detail, *calls, Finished("tool_calls"))
    first, second = reply["candidates"][0]["content"]["parts"]
    assert unpacked(first["thoughtSignature"]) == [CLAUDES]
    assert "thoughtSignature" not in second
    reply = collected(Started("m"), detail, TextDelta("x"), Finished("stop"))
    assert unpacked(reply["candidates"][0]["content"]["parts"][1]["thoughtSignature"]) == [CLAUDES]


@pytest.mark.parametrize(
    ("finished", "word"),
    [
        pytest.param(Finished("stop"), "STOP", id="stop"),
        pytest.param(Finished("length"), "MAX_TOKENS", id="length"),
        pytest.param(Finished("tool_calls"), "STOP", id="calls"),
        pytest.param(Finished("content_filter"), "SAFETY", id="filtered"),
        pytest.param(
            Finished(
                "content_filter",
                extra={"google.generate": {"candidates": [{"index": 0, "finishReason": "SPII"}]}},
            ),
            "SPII",
            id="in Google's own word",
        ),
    ],
)
def test_how_it_ended(finished, word):
    assert collected(Started("m"), TextDelta("x"), finished)["candidates"][0]["finishReason"] == word


def test_several_answers():
    reply = collected(Started("m"), TextDelta("a"), TextDelta("b", 1), Finished("stop", ("length",)))
    assert [
        (one["index"], one["content"]["parts"][0]["text"], one["finishReason"]) for one in reply["candidates"]
    ] == [(0, "a", "STOP"), (1, "b", "MAX_TOKENS")]


def test_log_probabilities():
    entry = {
        "token": "a",
        "logprob": -0.5,
        "bytes": [97],
        "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": [98]}],
    }
    events = (Started("m"), TextDelta("a", 0, (entry,)), Finished("stop"))
    reply = collected(*events)
    assert reply["candidates"][0]["logprobsResult"] == {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -1.0}]}],
    }
    assert decoded(WHOLE, json.dumps(reply).encode())[1] == events[1]


def test_each_batch_is_a_chunk():
    data = written(
        SSE,
        [Started("m", "r")],
        [TextDelta("a"), TextDelta("b")],
        [TextDelta("c")],
        [USAGE, Finished("stop")],
    )
    found = chunks(data)
    assert [one["candidates"][0]["content"]["parts"] for one in found] == [
        [{"text": "ab"}],
        [{"text": "c"}],
        [{"text": ""}],
    ]
    assert {(one["modelVersion"], one["responseId"]) for one in found} == {("m", "r")}
    assert [one["candidates"][0].get("finishReason") for one in found] == [None, None, "STOP"]


@pytest.mark.parametrize("text", ["a", "\u2028", '"\\', "%b"])
def test_a_text_is_written_as_any_other_piece(text):
    (plain,) = chunks(written(SSE, [TextDelta(text)]))
    (general,) = chunks(written(SSE, [RefusalDelta(text)]))
    assert plain == general


def test_the_upstreams_bytes_are_given_back():
    data = b'data: {"candidates": [], "new": 1}\r\n\r\ndata: {"x":\ndata: 2}\n\n'
    batch = Batch((TextDelta("a"),), Verbatim("google.generate", data))
    assert written(SSE, batch) == data
    assert written(LIST, batch, [Finished("stop")]).startswith(
        b'[{"candidates": [], "new": 1},\r\n{"x":\n2},\r\n'
    )
    other = Batch((TextDelta("a"),), Verbatim("google.generate translated", b"data: 1\n\n"))
    assert written(SSE, other) == written(SSE, [TextDelta("a")])


@pytest.mark.parametrize("kind", Kind)
def test_every_failure_ends_a_stream_as_googles_do(kind):
    events = [Started("m"), TextDelta("x")]
    failed, after = [Failed(Problem(kind))], [TextDelta("y"), Finished("stop")]
    data = written(SSE, events, failed, after)
    text, _, bare = data.partition(b"\r\n\r\n")
    error = json.loads(bare)["error"]
    assert bare.endswith(b"\n")
    assert error["code"] == Problem(kind).http_status
    assert error["message"]
    assert error["status"].isupper()
    assert decoded(SSE, data)[-1] == Failed(Problem(Kind.STREAM_ERROR, decoded(SSE, data)[-1].problem.detail))
    assert json.loads(written(LIST, events, failed, after))[1] == {"error": error}
    assert json.loads(written(LIST, failed)) == [{"error": error}]
    assert text


@pytest.mark.parametrize(
    ("problem", "status", "word"),
    [
        pytest.param(Problem(Kind.UNAUTHORIZED), 401, "UNAUTHENTICATED", id="no key"),
        pytest.param(Problem(Kind.UNKNOWN_MODEL), 404, "NOT_FOUND", id="no model"),
        pytest.param(Problem(Kind.RATE_LIMITED, retry_after=7.5), 429, "RESOURCE_EXHAUSTED", id="limited"),
        pytest.param(Problem(Kind.QUEUE_FULL), 503, "UNAVAILABLE", id="busy"),
        pytest.param(Problem(Kind.DEADLINE), 504, "DEADLINE_EXCEEDED", id="late"),
        pytest.param(Problem(Kind.INTERNAL), 500, "INTERNAL", id="broken"),
        pytest.param(Problem(Kind.NOT_IMPLEMENTED), 501, "UNIMPLEMENTED", id="not there"),
        pytest.param(Problem(Kind.TOO_LARGE), 413, "INVALID_ARGUMENT", id="too large"),
    ],
)
def test_refusals(problem, status, word):
    answer = DIALECT.refuse(problem, request(WHOLE), ID)
    error = json.loads(answer.body)["error"]
    assert (answer.head.status, error["code"], error["status"]) == (status, status, word)
    if problem.retry_after:
        assert answer.head.headers["retry-after"] == "8"
        assert error["details"] == [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}
        ]
        assert CODEC.classify(ReplyHead(status, {}), answer.body).retry_after == 7.5


def test_signs_of_life_change_nothing():
    events = (Started("m"), TextDelta("x"), Finished("stop"))
    for method in (SSE, LIST):
        state, first = DIALECT.keep_alive(begun(method), 1.0)
        state, again = DIALECT.keep_alive(state, 2.0)
        state, data = DIALECT.write(state, Batch(events), 3.0)
        assert not (first + again).strip()
        assert first
        if method == SSE:
            assert told(decoded(SSE, first + again + data)) == told(events)
        else:
            assert len(json.loads(first + again + data)) == 1
        assert DIALECT.keep_alive(state, 4.0)[1] == b""
    assert DIALECT.keep_alive(begun(WHOLE), 1.0)[1] == b""


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (WHOLE, "application/json; charset=UTF-8"),
        (SSE, "text/event-stream"),
        (LIST, "application/json; charset=UTF-8"),
    ],
)
def test_heads(method, kind):
    head = DIALECT.head(begun(method))
    assert (head.status, head.headers["content-type"]) == (200, kind)
