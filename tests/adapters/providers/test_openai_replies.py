"""Replies in OpenAI's form: the habits of those who speak it, and what goes wrong inside a 200."""

import json

import pytest
from attrs import evolve

from adapters.providers.openai import CODEC
from pipeline.values.events import (
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
    grammatical,
)
from pipeline.values.messages import ChatRequest, EmbedRequest, Message, Prompt, Role, Source, Text
from pipeline.values.problems import Kind
from tests.adapters.providers.recorded import decoded, events_of, shown

ASKED = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=True)
WHOLE = evolve(ASKED, stream=False)


def chunk(delta=None, finish=None, index=0, **beside):
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **beside}


def sse(*documents, done=True):
    lines = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    return "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if done else [])]).encode()


def stream(*documents, done=True, request=ASKED):
    """The events of a stream, without the first where it is the usual one."""
    events = events_of(decoded(CODEC, request, sse(*documents, done=done)))
    assert grammatical(events)
    return events[1:] if events[0] == Started("m", "c1") else events


def call(index=None, id=None, name=None, arguments=None):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {
        key: value
        for key, value in (("index", index), ("id", id), ("function", function))
        if value is not None
    }


STOP = chunk(finish="stop")
CALLED = chunk(finish="tool_calls")
HELLO = TextDelta("Hello")


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param(
            [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}), STOP],
            [HELLO, Finished("stop")],
            id="role alone and empty text are no events",
        ),
        pytest.param(
            [
                chunk({"reasoning_content": "Hm"}),
                chunk({"reasoning": "."}),
                chunk({"content": "Hello"}),
                STOP,
            ],
            [ThinkingDelta("Hm"), ThinkingDelta("."), HELLO, Finished("stop")],
            id="thinking under both of its names",
        ),
        pytest.param(
            [chunk({"reasoning_content": "Hm", "reasoning": "Hm"}), STOP],
            [ThinkingDelta("Hm"), Finished("stop")],
            id="thinking that is sent under both names at once is told once",
        ),
        pytest.param(
            [
                chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}),
                chunk({"content": [{"type": "text", "text": "Hello"}]}),
                STOP,
            ],
            [ThinkingDelta("Hm"), HELLO, Finished("stop")],
            id="content in typed parts",
        ),
        pytest.param(
            [chunk({"refusal": "No."}), STOP], [RefusalDelta("No."), Finished("stop")], id="a refusal"
        ),
        pytest.param(
            [chunk({"content": "He"}), chunk({"content": "llo"}), chunk(finish="length")],
            [TextDelta("He"), TextDelta("llo"), Finished("length")],
            id="the token limit",
        ),
        pytest.param([chunk(finish="content_filter")], [Finished("content_filter")], id="the content filter"),
        pytest.param(
            [chunk({"content": "Hello"}, finish="eos_token")],
            [HELLO, Finished("stop")],
            id="a reason nobody knows",
        ),
        pytest.param(
            [
                chunk({"tool_calls": [call(0, "a", "f", '{"x"')]}),
                chunk({"tool_calls": [call(1, "b", "g", "")]}),
                chunk({"tool_calls": [call(0, arguments=":1}"), call(1, arguments="{}")]}),
                CALLED,
            ],
            [
                ToolCallDelta(0, "a", "f", '{"x"'),
                ToolCallDelta(1, "b", "g", ""),
                ToolCallDelta(0, arguments=":1}"),
                ToolCallDelta(1, arguments="{}"),
                Finished("tool_calls"),
            ],
            id="fragments of two calls, interleaved",
        ),
        pytest.param(
            [chunk({"tool_calls": [call(0, "a", "f", "{}"), call(0, "b", "g", "{}")]}), CALLED],
            [ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "b", "g", "{}"), Finished("tool_calls")],
            id="all calls under one index",
        ),
        pytest.param(
            [
                chunk({"tool_calls": [call(None, "a", "f", "{")]}),
                chunk({"tool_calls": [call(None, None, None, "}")]}),
                chunk({"tool_calls": [call(None, "b", "g", "{}")]}),
                CALLED,
            ],
            [
                ToolCallDelta(0, "a", "f", "{"),
                ToolCallDelta(0, arguments="}"),
                ToolCallDelta(1, "b", "g", "{}"),
                Finished("tool_calls"),
            ],
            id="calls without an index",
        ),
        pytest.param(
            [
                chunk({"tool_calls": [call(3, "a", "f", "{")]}),
                chunk({"tool_calls": [call(3, "a", "f", "}")]}),
                CALLED,
            ],
            [ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(0, arguments="}"), Finished("tool_calls")],
            id="indexes that do not begin at 0, and a name said again",
        ),
        pytest.param(
            [
                chunk({"tool_calls": [call(0, "a", "", "{")]}),
                chunk({"tool_calls": [call(0, None, "f", "}")]}),
                CALLED,
            ],
            [ToolCallDelta(0, "a", "f", "{}"), Finished("tool_calls")],
            id="a name that comes late",
        ),
        pytest.param(
            [chunk({"tool_calls": [call(0, "a", "f", {"x": 1})]}), STOP],
            [ToolCallDelta(0, "a", "f", '{"x":1}'), Finished("tool_calls")],
            id="arguments as an object, and an end that does not say it was a call",
        ),
        pytest.param(
            [
                chunk({"function_call": {"name": "f", "arguments": "{"}}),
                chunk({"function_call": {"arguments": "}"}}),
                chunk(finish="function_call"),
            ],
            [
                ToolCallDelta(0, "call_bbb41a85", "f", "{"),
                ToolCallDelta(0, arguments="}"),
                Finished("tool_calls"),
            ],
            id="the legacy form of a call",
        ),
        pytest.param(
            [
                chunk({"content": "b"}, index=1),
                chunk({"content": "a"}),
                chunk(finish="length", index=1),
                chunk(finish="stop"),
            ],
            [TextDelta("b", 1), TextDelta("a"), Finished("stop", ("length",))],
            id="two choices",
        ),
        pytest.param(
            [
                chunk({"annotations": [{"type": "url_citation"}], "content": "Hello"}),
                chunk({"audio": {"id": "x"}}),
                STOP,
            ],
            [
                HELLO,
                ExtraDelta("openai.chat", {"annotations": [{"type": "url_citation"}]}),
                ExtraDelta("openai.chat", {"audio": {"id": "x"}}),
                Finished("stop"),
            ],
            id="what only this format can say",
        ),
        pytest.param(
            [
                chunk({"content": "Hello"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
                chunk(finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 2}),
            ],
            [HELLO, UsageSeen(Usage(1, 2)), Finished("stop")],
            id="usage in each chunk: the last holds",
        ),
        pytest.param(
            [
                chunk({"content": "Hello"}, service_tier="default", system_fingerprint=None),
                STOP,
                {
                    "id": "c1",
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 9,
                        "completion_tokens": 8,
                        "prompt_tokens_details": {"cached_tokens": 7},
                        "completion_tokens_details": {"reasoning_tokens": 6},
                    },
                },
                {"id": "c1", "choices": [], "moderation": {"flagged": False}, "usage": None},
            ],
            [
                HELLO,
                UsageSeen(Usage(9, 8, 7, 6)),
                Finished(
                    "stop",
                    extra={"openai.chat": {"service_tier": "default", "moderation": {"flagged": False}}},
                ),
            ],
            id="chunks without choices: usage, and what stands beside",
        ),
        pytest.param(
            [
                {"id": "", "model": "", "choices": [], "prompt_filter_results": [1]},
                chunk({"content": "Hello"}),
                STOP,
            ],
            [HELLO, Finished("stop", extra={"openai.chat": {"prompt_filter_results": [1]}})],
            id="a verdict on the prompt before the reply begins",
        ),
    ],
)
def test_a_stream_is_read(documents, expected):
    assert list(stream(*documents)) == expected


def test_logprobs_stand_with_their_text():
    entry = {"token": "Hello", "logprob": -0.1, "bytes": [72], "top_logprobs": []}
    said = chunk({"content": "Hello"})
    said["choices"][0]["logprobs"] = {"content": [entry], "refusal": None}
    assert stream(said, STOP)[0] == TextDelta("Hello", 0, (entry,))


def test_logprobs_of_completions_get_the_form_of_chat():
    body = {
        "object": "text_completion",
        "model": "m",
        "choices": [
            {
                "text": "Hi",
                "index": 0,
                "finish_reason": "stop",
                "logprobs": {
                    "tokens": ["Hi"],
                    "token_logprobs": [-0.5],
                    "top_logprobs": [{"Hi": -0.5, "Ho": -1.5}],
                },
            }
        ],
    }
    request = ChatRequest("asked", prompt=Prompt("p", raw=True))
    (_, said, _) = events_of(decoded(CODEC, request, json.dumps(body).encode()))
    assert said == TextDelta(
        "Hi",
        0,
        (
            {
                "token": "Hi",
                "logprob": -0.5,
                "bytes": [72, 105],
                "top_logprobs": [
                    {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]},
                    {"token": "Ho", "logprob": -1.5, "bytes": [72, 111]},
                ],
            },
        ),
    )


@pytest.mark.parametrize(
    ("documents", "kind"),
    [
        pytest.param(["<html>"], Kind.GARBLED, id="no JSON"),
        pytest.param(["[1]"], Kind.GARBLED, id="no object"),
        pytest.param(["[DONE]"], Kind.GARBLED, id="an end before any chunk"),
        pytest.param([chunk({"content": "a"}), "{"], Kind.GARBLED, id="no JSON after content"),
        pytest.param(
            [{"error": {"message": "x", "code": 429}}], Kind.RATE_LIMITED, id="an error with its status"
        ),
        pytest.param([{"error": {"type": "server_error"}}], Kind.SERVER, id="an error with its type"),
        pytest.param([{"error": {"type": "overloaded_error"}}], Kind.OVERLOADED, id="an overload"),
        pytest.param([{"error": {"code": "insufficient_quota"}}], Kind.QUOTA, id="a quota"),
        pytest.param(
            [{"error": {"code": "context_length_exceeded"}}], Kind.CONTEXT_LENGTH, id="a context length"
        ),
        pytest.param(
            [{"error": {"type": "server_overloaded"}}], Kind.OVERLOADED, id="a code without a status"
        ),
        pytest.param([{"error": "boom"}], Kind.SERVER, id="an error that is a text"),
        pytest.param(
            [chunk(), {"error": {"code": 429}}], Kind.RATE_LIMITED, id="an error before any content"
        ),
        pytest.param(
            [chunk({"content": "a"}), {"error": {"code": 429}}],
            Kind.STREAM_ERROR,
            id="an error after content",
        ),
        pytest.param(
            [chunk({"content": "a"}), chunk(finish="error")], Kind.STREAM_ERROR, id="an error as the reason"
        ),
        pytest.param(
            [chunk({"tool_calls": [call(0, "a", None, "{}")]}), CALLED], Kind.GARBLED, id="a nameless call"
        ),
    ],
)
def test_what_goes_wrong_inside_a_stream(documents, kind):
    last = stream(*documents)[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is kind


def test_an_error_event_without_an_error_object():
    body = b'event: error\ndata: {"message": "slow down", "code": 503}\n\n'
    (failed,) = events_of(decoded(CODEC, ASKED, body))
    assert failed.problem.kind is Kind.OVERLOADED


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"", Kind.STREAM_ERROR, id="nothing"),
        pytest.param(b"<html>\n\n<p>no</p></html>", Kind.GARBLED, id="a page"),
        pytest.param(b'{"error": {"code": 401, "message": "no"}}', Kind.AUTH, id="an error as a document"),
        pytest.param(b'{\n\n"error": "boom"}\n\n', Kind.SERVER, id="an error with blank lines in it"),
        pytest.param(b": hello\n\n", Kind.GARBLED, id="comments alone"),
        pytest.param(sse(chunk(), done=False), Kind.STREAM_ERROR, id="a role alone"),
        pytest.param(b'data: {"id":', Kind.STREAM_ERROR, id="a cut first frame"),
        pytest.param(b"data: <html>", Kind.GARBLED, id="a page in a frame"),
        pytest.param(sse(chunk({"content": "a"}), done=False), Kind.STREAM_ERROR, id="some text"),
        pytest.param(
            sse(chunk({"content": "a"}), done=False) + b'data: {"cho', Kind.STREAM_ERROR, id="a cut frame"
        ),
    ],
)
def test_bytes_that_end_too_early(body, kind):
    events = events_of(decoded(CODEC, ASKED, body))
    assert grammatical(events)
    assert events[-1].problem.kind is kind


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"data: [DONE]", id="a mark without its blank line"),
        pytest.param(b"data: [DONE]\n", id="a mark with half of it"),
        pytest.param(b'data: {"choices":[],"us', id="a cut frame"),
    ],
)
def test_a_stream_whose_reason_came_is_whole(end):
    batches = decoded(CODEC, ASKED, sse(chunk({"content": "Hello"}), STOP, done=False) + end)
    assert events_of(batches)[1:] == (HELLO, Finished("stop"))
    # The client gets an end mark of its own, so that it does not take the stream for broken.
    assert shown(batches).decode().rstrip().endswith("data: [DONE]")
    assert shown(batches).count(b"finish_reason") == 2


def test_a_document_in_place_of_a_stream_is_read_but_not_shown():
    body = json.dumps({"model": "m", "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]})
    batches = decoded(CODEC, ASKED, body.encode())
    assert events_of(batches) == (Started("m"), HELLO, Finished("stop"))
    assert shown(batches) == b""


@pytest.mark.parametrize("comments", [1, 3], ids=["in one read", "in three reads"])
def test_comments_are_not_held_back_for_ever(comments):
    """A document that long is none, so bytes without a frame go on as they are."""
    comment = b": " + b"x" * 1_200_000 + b"\n\n"
    body = comment + sse(chunk({"content": "Hello"}), STOP)
    size = len(comment) // comments
    batches = decoded(CODEC, ASKED, *(body[at : at + size] for at in range(0, len(body), size)))
    assert events_of(batches) == (Started("m", "c1"), HELLO, Finished("stop"))
    assert shown(batches) == body
    assert batches[comments - 1].verbatim or batches[comments].verbatim


def test_comments_before_the_first_frame_wait_for_it():
    batches = decoded(CODEC, ASKED, b": wait\n\n", sse(chunk({"content": "Hello"}), STOP))
    assert batches[0].verbatim is None
    assert shown(batches).startswith(b": wait\n\ndata: ")


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        pytest.param(ASKED, False, id="nobody asked"),
        pytest.param(
            evolve(ASKED, extra={"openai.chat": {"stream_options": {"include_usage": True}}}),
            True,
            id="extra",
        ),
        pytest.param(
            evolve(ASKED, source=Source("openai.chat", {"stream_options": {"include_usage": True}})),
            True,
            id="source",
        ),
        pytest.param(evolve(ASKED, source=Source("openai.chat", {"stream_options": None})), False, id="null"),
        pytest.param(
            evolve(ASKED, source=Source("openai.chat", {"stream_options": {"include_usage": False}})),
            False,
            id="false",
        ),
        pytest.param(
            evolve(ASKED, source=Source("ollama.chat", {"stream_options": {"include_usage": True}})),
            False,
            id="a field of the same name elsewhere",
        ),
    ],
)
def test_the_usage_frame_is_shown_to_those_who_asked(request_, asked):
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    batches = decoded(CODEC, request_, sse(chunk({"content": "Hello"}), STOP, usage))
    assert UsageSeen(Usage(1, 2)) in events_of(batches)
    assert (b"prompt_tokens" in shown(batches)) is asked


@pytest.mark.parametrize(
    ("total", "output"),
    [
        pytest.param(135, 103, id="beside it, as the sum tells"),
        pytest.param(41, 9, id="in it"),
        pytest.param(None, 9, id="no sum tells"),
        pytest.param(200, 9, id="the sum is that of something else"),
    ],
)
def test_thinking_counts_as_output_wherever_the_provider_counts_it(total, output):
    usage = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": total,
        "completion_tokens_details": {"reasoning_tokens": 94},
    }
    batches = decoded(CODEC, ASKED, sse(chunk({"content": "Hello"}), STOP, {"choices": [], "usage": usage}))
    assert UsageSeen(Usage(32, output, thinking=94)) in events_of(batches)


@pytest.mark.parametrize("asked", [True, False], ids=["asked for usage", "did not ask"])
def test_empty_usage_is_shown_to_those_who_asked(asked):
    """OpenAI adds it to each chunk because we asked; a text that looks like it stays."""
    request = evolve(ASKED, extra={"openai.chat": {"stream_options": {"include_usage": asked}}})
    said = chunk({"content": ',"usage":null'})
    for separators in ((",", ":"), (", ", ": ")):
        bare = [json.dumps(document, separators=separators) for document in (said, STOP)]
        full = [json.dumps({**document, "usage": None}, separators=separators) for document in (said, STOP)]
        assert shown(decoded(CODEC, request, sse(*full))) == sse(*(full if asked else bare))


def test_each_hidden_frame_is_cut_out_of_its_place():
    usage = {"choices": [], "usage": {"prompt_tokens": 1}}
    body = sse(usage, chunk({"content": "Hello"}), usage, STOP, usage)
    expected = sse(chunk({"content": "Hello"}), STOP)
    assert shown(decoded(CODEC, ASKED, body)) == expected
    assert shown(decoded(CODEC, ASKED, *(body[at : at + 100] for at in range(0, len(body), 100)))) == expected


def test_a_comment_stays_before_a_last_frame_without_its_end():
    body = b": wait\n\n" + sse(chunk({"content": "Hello"}, finish="stop"), done=False).rstrip()
    assert shown(decoded(CODEC, ASKED, body)) == body + b"\n\ndata: [DONE]\n\n"


def test_a_document_behind_frames_is_none():
    body = b"data:\n\n" + json.dumps({"choices": [{"message": {"content": "Hello"}}]}).encode()
    (failed,) = events_of(decoded(CODEC, ASKED, body))
    assert failed.problem.kind is Kind.GARBLED


def test_nothing_comes_after_the_end():
    state = CODEC.fresh(ASKED)
    state, first = CODEC.decode(state, sse(STOP) + b"data: more\n\n")
    assert first.events[-1] == Finished("stop")
    assert first.verbatim.data == sse(STOP)
    state, second = CODEC.decode(state, sse(STOP))
    assert (second.events, second.verbatim, CODEC.finish(state).events) == ((), None, ())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            {"content": None, "tool_calls": [call(None, "a", "f", "{}"), call(None, "a", "g", "{}")]},
            [ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "a", "g", "{}"), Finished("tool_calls")],
            id="two calls of one id are two calls",
        ),
        pytest.param(
            {
                "content": "Hello",
                "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}],
            },
            [
                HELLO,
                ExtraDelta(
                    "openai.chat",
                    {
                        "tool_calls": [
                            {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}, "index": 0}
                        ]
                    },
                ),
                Finished("stop"),
            ],
            id="a call of another kind",
        ),
        pytest.param({"content": ""}, [Finished("stop")], id="an empty answer"),
    ],
)
def test_a_whole_reply_is_read(message, expected):
    body = {"id": "c1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    events = events_of(decoded(CODEC, WHOLE, json.dumps(body).encode()))
    assert list(events) == [Started("m", "c1"), *expected]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"<html>", Kind.GARBLED, id="a page"),
        pytest.param(b"null", Kind.GARBLED, id="null"),
        pytest.param(b"[]", Kind.GARBLED, id="a list"),
        pytest.param(b"{}", Kind.GARBLED, id="an object of nothing"),
        pytest.param(b'{"choices": []}', Kind.GARBLED, id="no choices"),
        pytest.param(b'{"choices": 7}', Kind.GARBLED, id="no list of choices"),
        pytest.param(b'{"error": {"code": 503, "message": "overloaded"}}', Kind.OVERLOADED, id="an error"),
        pytest.param(
            b'{"choices": [{"error": {"code": 502}, "message": {"content": "a"}}]}',
            Kind.SERVER,
            id="an error in a choice",
        ),
    ],
)
def test_a_whole_reply_that_is_none(body, kind):
    events = events_of(decoded(CODEC, WHOLE, body))
    assert grammatical(events)
    assert events[-1].problem.kind is kind


EMBEDDED = {"embedding": [1, 2.5], "index": 0}


@pytest.mark.parametrize(
    ("data", "vectors"),
    [
        pytest.param(
            [{"embedding": [3, 4], "index": 1}, EMBEDDED], ([1.0, 2.5], [3.0, 4.0]), id="out of order"
        ),
        pytest.param([{"embedding": [1]}, {"embedding": [2]}], ([1.0], [2.0]), id="without indexes"),
        pytest.param([{"embedding": "AACAPw=="}, {"embedding": "AAAAQA=="}], ([1.0], [2.0]), id="base64"),
        pytest.param([EMBEDDED], None, id="too few"),
        pytest.param([EMBEDDED, EMBEDDED, EMBEDDED], None, id="too many"),
        pytest.param([EMBEDDED, {"embedding": ["x"]}], None, id="a text for a number"),
        pytest.param([EMBEDDED, {"embedding": "AAA"}], None, id="broken base64"),
        pytest.param([EMBEDDED, {"embedding": "AAAA"}], None, id="base64 of three bytes"),
        pytest.param([EMBEDDED, 5], None, id="no object"),
        pytest.param(None, None, id="no data"),
    ],
)
def test_vectors_are_read_in_the_order_of_the_inputs(data, vectors):
    body = json.dumps({"data": data, "model": "m"}).encode()
    events = events_of(decoded(CODEC, EmbedRequest("asked", ("a", "b")), body))
    assert grammatical(events)
    if vectors is None:
        assert events[-1].problem.kind is Kind.GARBLED
    else:
        assert events[1].vectors == vectors


@pytest.mark.parametrize(
    ("body", "names"),
    [
        pytest.param(b"<html>", [], id="no JSON"),
        pytest.param(b"[]", [], id="no object"),
        pytest.param(b'{"data": 5}', [], id="no list"),
        pytest.param(
            b'{"data": [5, {}, {"id": ""}, {"id": 3}, {"id": "a"}]}', ["a"], id="entries that are none"
        ),
    ],
)
def test_a_model_list_is_read_as_far_as_it_goes(body, names):
    assert [model.name for model in CODEC.models(body)] == names


def test_a_context_length_is_read_where_a_server_tells_it():
    body = json.dumps({"data": [{"id": "a", "max_model_len": 4096, "created": 0}]}).encode()
    (model,) = CODEC.models(body)
    assert (model.context_length, model.modified_at) == (4096, None)
