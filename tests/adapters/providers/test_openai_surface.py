"""All that OpenAI's chat can be asked and can answer, through our own values and back: nothing of it may get lost.

Each request is read as a client's, rewritten so that the client's own JSON no longer stands for it, and built anew.
"""

import json

import pytest

from adapters.dialects.openai_chat import DIALECT
from adapters.providers.openai import CODEC
from pipeline.values.events import ExtraDelta, Finished, TextDelta
from tests.adapters.dialects.calls import post
from tests.adapters.providers.recorded import decoded, events_of, target

HI = {"role": "user", "content": "hi"}
PLAIN = {"model": "gpt-4o", "messages": [HI], "stream": False}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM = {"id": "c2", "type": "custom", "custom": {"name": "py", "input": "1+1"}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TOOL_OF_TEXT = {"type": "custom", "custom": {"name": "py"}}


def said(*parts, role="user", **fields):
    return {"messages": [{"role": role, "content": list(parts), **fields}]}


def turns(*messages):
    return {"messages": [HI, *messages]}


ASKED = [
    pytest.param({"logprobs": True}, id="log probabilities"),
    pytest.param({"logprobs": True, "top_logprobs": 5}, id="log probabilities of alternatives"),
    pytest.param({"n": 3}, id="several answers"),
    pytest.param(
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, id="speech"
    ),
    pytest.param(
        said(
            {"type": "text", "text": "what?"},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        ),
        id="spoken words",
    ),
    pytest.param(
        said(
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            }
        ),
        id="a file",
    ),
    pytest.param(said({"type": "file", "file": {"file_id": "file-1"}}), id="a file that is kept there"),
    pytest.param(
        said({"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}}), id="a picture"
    ),
    pytest.param(
        {"messages": [{"role": "user", "content": "as json"}], "response_format": {"type": "json_object"}},
        id="JSON mode",
    ),
    pytest.param(
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "p", "schema": {"type": "object"}, "strict": True},
            }
        },
        id="a schema",
    ),
    pytest.param({"prediction": {"type": "content", "content": "hi there"}}, id="a prediction"),
    pytest.param(
        {
            "model": "gpt-4o-search-preview",
            "web_search_options": {
                "search_context_size": "low",
                "user_location": {"type": "approximate", "approximate": {"city": "Paris"}},
            },
        },
        id="a search of the web",
    ),
    pytest.param({"service_tier": "flex"}, id="a tier"),
    pytest.param({"store": True, "metadata": {"a": "b"}}, id="what is kept, and under which words"),
    pytest.param({"prompt_cache_key": "k", "prompt_cache_retention": "24h"}, id="a cache"),
    pytest.param({"safety_identifier": "s", "user": "u"}, id="who asks"),
    pytest.param({"verbosity": "low"}, id="few words"),
    pytest.param({"logit_bias": {"50256": -100}}, id="a bias"),
    pytest.param(
        {
            "seed": 7,
            "stop": ["a", "b"],
            "temperature": 0.5,
            "top_p": 0.9,
            "presence_penalty": 0.1,
            "frequency_penalty": -0.1,
            "max_tokens": 9,
        },
        id="sampling",
    ),
    pytest.param(
        {"model": "gpt-5.1", "reasoning_effort": "none", "temperature": 0.5, "max_completion_tokens": 9},
        id="sampling of a model that is told not to think",
    ),
    pytest.param({"model": "o4-mini", "reasoning_effort": "high"}, id="thinking"),
    pytest.param(
        {
            "tools": [FUNCTION],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False,
        },
        id="tools",
    ),
    pytest.param(
        {"tools": [FUNCTION, TOOL_OF_TEXT], "tool_choice": {"type": "custom", "custom": {"name": "py"}}},
        id="tools of two kinds",
    ),
    pytest.param(
        turns(
            {"role": "assistant", "content": None, "tool_calls": [CALL, CUSTOM]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
        ),
        id="calls of two kinds and their results",
    ),
    pytest.param(
        turns({"role": "assistant", "content": "", "audio": {"id": "audio_1"}}), id="what was spoken before"
    ),
]


@pytest.mark.parametrize("fields", ASKED)
def test_a_request_is_built_anew_without_loss(fields):
    body = {**PLAIN, **fields}
    read = DIALECT.read(post("/v1/chat/completions", body))
    encoded = CODEC.encode(read.rewritten(), target("openai", body["model"]))
    built = json.loads(encoded.http.body)
    assert normal(built) == normal(body)
    assert encoded.losses == ()


def normal(body):
    """A content of one text is the same as that text."""
    return {
        **body,
        "messages": [{**message, "content": short(message["content"])} for message in body["messages"]],
    }


def short(content):
    return (
        content[0]["text"]
        if isinstance(content, list) and [p["type"] for p in content] == ["text"]
        else content
    )


def choice(index=0, **message):
    return {"index": index, "message": {"role": "assistant", **message}, "finish_reason": "stop"}


ENTRY = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
AUDIO = {"id": "audio_1", "data": "UklGRg==", "expires_at": 1, "transcript": "hi"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            {"choices": [choice(content=None, audio=AUDIO)]},
            [ExtraDelta("openai.chat", {"audio": AUDIO}), Finished("stop")],
            id="speech",
        ),
        pytest.param(
            {"choices": [{**choice(content="a"), "logprobs": {"content": [ENTRY]}}]},
            [TextDelta("a", 0, (ENTRY,)), Finished("stop")],
            id="log probabilities",
        ),
        pytest.param(
            {"choices": [choice(content="a"), choice(1, content="b"), choice(2, content="c")]},
            [TextDelta("a"), TextDelta("b", 1), TextDelta("c", 2), Finished("stop", ("stop", "stop"))],
            id="several answers",
        ),
        pytest.param(
            {"choices": [choice(content=None, tool_calls=[CUSTOM])]},
            [ExtraDelta("openai.chat", {"tool_calls": [{**CUSTOM, "index": 0}]}), Finished("stop")],
            id="a call of a tool that takes plain text",
        ),
        pytest.param(
            {"choices": [choice(content="a")], "service_tier": "flex"},
            [TextDelta("a"), Finished("stop", extra={"openai.chat": {"service_tier": "flex"}})],
            id="a tier",
        ),
    ],
)
def test_an_answer_is_told_whole(document, expected):
    request = DIALECT.read(post("/v1/chat/completions", PLAIN))
    whole = {"id": "c1", "object": "chat.completion", "model": "m", **document}
    assert list(events_of(decoded(CODEC, request, json.dumps(whole).encode())))[1:] == expected


def test_speech_comes_in_pieces():
    pieces = [{"id": "audio_1", "transcript": "h"}, {"data": "UklG"}, {"expires_at": 1}]
    chunks = [
        {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"audio": piece}}]} for piece in pieces
    ]
    chunks.append({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    request = DIALECT.read(post("/v1/chat/completions", {**PLAIN, "stream": True}))
    events = events_of(decoded(CODEC, request, body.encode()))
    assert [event.value for event in events if isinstance(event, ExtraDelta)] == [
        {"audio": piece} for piece in pieces
    ]
