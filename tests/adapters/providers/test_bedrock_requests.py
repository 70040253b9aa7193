"""Requests in the form of Converse, compared whole: what each line of models is told, and what is lost."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.framing.eventstream import message
from adapters.providers.bedrock import CODEC
from pipeline.values.events import ToolCallDelta
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Format,
    Image,
    Message,
    Opaque,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, Provider, Target

BASE = "https://bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE_3 = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE_4_5 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_4_6 = "us.anthropic.claude-opus-4-6-v1"
CLAUDE_4_7 = "us.anthropic.claude-opus-4-7"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
NOVA = "amazon.nova-micro-v1:0"
LLAMA = "meta.llama3-1-8b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
TITAN = "amazon.titan-text-express-v1"
GPT_OSS = "openai.gpt-oss-20b-1:0"
R1 = "us.deepseek.r1-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
OPEN = {"type": "object", "additionalProperties": True}
WEATHER = Tool("weather", "Tells it", {"type": "object", "properties": {"city": {"type": "string"}}})
SPEC = {
    "toolSpec": {
        "name": "weather",
        "description": "Tells it",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
}
NOARGS = Tool("noargs")
HI = Message(Role.USER, (Text("hi"),))
SAID_HI = {"role": "user", "content": [{"text": "hi"}]}
CALLED = Message(Role.ASSISTANT, (ToolCall("c1", "weather", '{"city":"Paris"}'),))
USED = {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Paris"}}}
RESULT = Message(Role.TOOL, (ToolResult("c1", "weather", "22"),))
GIVEN = {"toolResult": {"toolUseId": "c1", "content": [{"text": "22"}]}}


def target(model=CLAUDE_3, settings=None, base=BASE, **facts):
    return Target(
        Provider("p", "aws_bedrock", base, Secret("s"), settings=settings or {}), ModelFacts(model, **facts)
    )


def sent(request, model=CLAUDE_3, **facts):
    """The body, and what was lost, by name."""
    encoded = CODEC.encode(request, target(model, **facts))
    assert not isinstance(encoded, Problem), encoded
    return json.loads(encoded.http.body), {loss.field: loss.how for loss in encoded.losses}


def chat(*messages, **fields):
    return ChatRequest("asked", messages or (HI,), **fields)


@pytest.mark.parametrize(
    ("request_", "model", "body", "lost"),
    [
        pytest.param(chat(), CLAUDE_3, {"messages": [SAID_HI]}, {}, id="a word"),
        pytest.param(
            chat(
                Message(Role.SYSTEM, (Text("be kind"),)),
                HI,
                Message(Role.ASSISTANT, (Text("hello"),)),
                Message(Role.USER, (Text("more"),)),
                Message(Role.USER, (Text("and more"),)),
            ),
            LLAMA,
            {
                "messages": [
                    SAID_HI,
                    {"role": "assistant", "content": [{"text": "hello"}]},
                    {"role": "user", "content": [{"text": "more"}, {"text": "and more"}]},
                ],
                "system": [{"text": "be kind"}],
            },
            {},
            id="system and turns, two of one speaker made one",
        ),
        pytest.param(
            chat(Message(Role.SYSTEM, (Text("be kind"),)), HI),
            TITAN,
            {"messages": [{"role": "user", "content": [{"text": "be kind"}, {"text": "hi"}]}]},
            {"system": How.EMULATED},
            id="a model without system texts is told them first",
        ),
        pytest.param(
            ChatRequest("asked", prompt=Prompt("once", system="be kind")),
            CLAUDE_3,
            {"messages": [{"role": "user", "content": [{"text": "once"}]}], "system": [{"text": "be kind"}]},
            {},
            id="a prompt",
        ),
        pytest.param(
            chat(sampling=Sampling(max_tokens=5, temperature=0.5, top_p=0.9, top_k=7, stop=("x", "\n"))),
            CLAUDE_3,
            {
                "messages": [SAID_HI],
                "inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
                "additionalModelRequestFields": {"top_k": 7},
            },
            {"stop": How.APPROXIMATED},
            id="sampling",
        ),
        pytest.param(
            chat(sampling=Sampling(temperature=0.5, top_p=0.9, seed=1, min_p=0.1, presence_penalty=1.0)),
            CLAUDE_4_5,
            {"messages": [SAID_HI], "inferenceConfig": {"temperature": 0.5}},
            {
                "top_p": How.DROPPED,
                "seed": How.DROPPED,
                "min_p": How.DROPPED,
                "presence_penalty": How.DROPPED,
            },
            id="one of two samplers",
        ),
        pytest.param(
            chat(sampling=Sampling(temperature=0.5, top_k=4)),
            CLAUDE_4_7,
            {"messages": [SAID_HI]},
            {"temperature": How.DROPPED, "top_k": How.DROPPED},
            id="a model without sampling",
        ),
        pytest.param(
            chat(sampling=Sampling(temperature=1.5, top_k=4, stop=("a", "b", "c", "d", "e"))),
            NOVA,
            {
                "messages": [SAID_HI],
                "inferenceConfig": {"temperature": 1.0, "stopSequences": ["a", "b", "c", "d"]},
                "additionalModelRequestFields": {"inferenceConfig": {"topK": 4}},
            },
            {"temperature": How.APPROXIMATED, "stop": How.APPROXIMATED},
            id="Nova's own top_k, and four stop texts",
        ),
        pytest.param(
            chat(sampling=Sampling(top_k=4)),
            LLAMA,
            {"messages": [SAID_HI]},
            {"top_k": How.DROPPED},
            id="no top_k",
        ),
        pytest.param(
            chat(Message(Role.USER, (Text("what?"), Image(PIXEL)))),
            CLAUDE_3,
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"text": "what?"},
                            {"image": {"format": "png", "source": {"bytes": PIXEL}}},
                        ],
                    }
                ]
            },
            {},
            id="a picture",
        ),
        pytest.param(
            chat(
                Message(
                    Role.USER,
                    (
                        Opaque(
                            "openai.chat",
                            {
                                "type": "file",
                                "file": {
                                    "filename": "my file!.pdf",
                                    "file_data": "data:application/pdf;base64,JVBERg==",
                                },
                            },
                        ),
                    ),
                )
            ),
            CLAUDE_3,
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "document": {
                                    "format": "pdf",
                                    "name": "my file",
                                    "source": {"bytes": "JVBERg=="},
                                }
                            },
                            {"text": "(See the document.)"},
                        ],
                    }
                ]
            },
            {"messages": How.APPROXIMATED},
            id="a document, and the words it needs beside it",
        ),
        pytest.param(
            chat(
                Message(
                    Role.USER, (Text("x"), Opaque("bedrock.converse", {"cachePoint": {"type": "default"}}))
                )
            ),
            CLAUDE_3,
            {"messages": [{"role": "user", "content": [{"text": "x"}, {"cachePoint": {"type": "default"}}]}]},
            {},
            id="a part that only this form knows",
        ),
        pytest.param(
            chat(
                Message(
                    Role.USER,
                    (
                        Opaque(
                            "anthropic.messages",
                            {
                                "type": "text",
                                "text": "long",
                                "cache_control": {"type": "ephemeral", "ttl": "1h"},
                            },
                        ),
                    ),
                )
            ),
            CLAUDE_4_5,
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"text": "long"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
                    }
                ]
            },
            {},
            id="a cache mark becomes a cache point",
        ),
        pytest.param(
            chat(Message(Role.USER, (Text("long", cache={"type": "ephemeral", "ttl": "5m"}),))),
            "amazon.nova-pro-v1:0",
            {
                "messages": [
                    {"role": "user", "content": [{"text": "long"}, {"cachePoint": {"type": "default"}}]}
                ]
            },
            {},
            id="a mark for the usual time says no time",
        ),
        pytest.param(
            chat(Message(Role.USER, (Text("long", cache={"type": "ephemeral"}),))),
            CLAUDE_3,
            {"messages": [{"role": "user", "content": [{"text": "long"}]}]},
            {},
            id="a model that does not cache is told no mark",
        ),
        pytest.param(
            chat(extra={"anthropic.messages": {"cache_control": {"type": "ephemeral"}}}),
            CLAUDE_4_5,
            {
                "messages": [
                    {"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]}
                ]
            },
            {},
            id="a mark on the request stands behind its end",
        ),
        pytest.param(
            chat(tools=(Tool("f", None, {"type": "object"}, cache={"type": "ephemeral"}),)),
            CLAUDE_4_5,
            {
                "messages": [SAID_HI],
                "toolConfig": {
                    "tools": [
                        {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}},
                        {"cachePoint": {"type": "default"}},
                    ]
                },
            },
            {},
            id="a mark on a tool",
        ),
        pytest.param(
            chat(
                extra={
                    "bedrock.converse": {
                        "guardrailConfig": {"guardrailIdentifier": "g"},
                        "inferenceConfig": {"topP": 0.5},
                    }
                },
                sampling=Sampling(max_tokens=4),
            ),
            CLAUDE_3,
            {
                "guardrailConfig": {"guardrailIdentifier": "g"},
                "messages": [SAID_HI],
                "inferenceConfig": {"topP": 0.5, "maxTokens": 4},
            },
            {},
            id="fields that only this form knows",
        ),
        pytest.param(
            chat(
                extra={"openai.chat": {"logit_bias": {}}, "ollama": {"options": {"num_ctx": 5}}},
                user="u",
                logprobs=1,
                choices=2,
            ),
            CLAUDE_3,
            {"messages": [SAID_HI]},
            {
                "logit_bias": How.DROPPED,
                "num_ctx": How.MOOT,
                "user": How.DROPPED,
                "logprobs": How.DROPPED,
                "choices": How.DROPPED,
            },
            id="what has no place is told",
        ),
    ],
)
def test_a_request_is_said_in_this_form(request_, model, body, lost):
    assert sent(request_, model) == (body, lost)


@pytest.mark.parametrize(
    ("choice", "model", "config", "lost"),
    [
        pytest.param(None, CLAUDE_3, {"tools": [SPEC]}, {}, id="unsaid"),
        pytest.param(
            ToolChoice("auto"), LLAMA, {"tools": [SPEC]}, {}, id="auto is the default, which all take"
        ),
        pytest.param(
            ToolChoice("required"), CLAUDE_3, {"tools": [SPEC], "toolChoice": {"any": {}}}, {}, id="required"
        ),
        pytest.param(
            ToolChoice("named", "weather"),
            NOVA,
            {"tools": [SPEC], "toolChoice": {"tool": {"name": "weather"}}},
            {},
            id="named",
        ),
        pytest.param(
            ToolChoice("named", "weather"),
            MISTRAL,
            {"tools": [SPEC], "toolChoice": {"any": {}}},
            {},
            id="the only one",
        ),
        pytest.param(ToolChoice("none"), CLAUDE_3, None, {"tool_choice": How.APPROXIMATED}, id="none"),
    ],
)
def test_tools_and_the_choice_among_them(choice, model, config, lost):
    body, losses = sent(chat(tools=(WEATHER,), tool_choice=choice), model)
    assert (body.get("toolConfig"), losses) == (config, lost)


def test_a_choice_that_cannot_be_said_is_said_in_words():
    body, lost = sent(chat(tools=(WEATHER,), tool_choice=ToolChoice("required")), LLAMA)
    assert body["toolConfig"] == {"tools": [SPEC]}
    assert "Call one of the tools" in body["system"][0]["text"]
    assert lost == {"tool_choice": How.APPROXIMATED}


def test_no_calls_while_earlier_ones_are_shown():
    body, lost = sent(chat(HI, CALLED, RESULT, tools=(WEATHER,), tool_choice=ToolChoice("none")))
    assert body["toolConfig"] == {"tools": [SPEC]}
    assert body["system"] == [{"text": "Do not call any tool now."}]
    assert lost == {"tool_choice": How.APPROXIMATED}


def test_one_call_at_a_time_cannot_be_asked_for():
    assert sent(chat(tools=(WEATHER,), parallel_tools=False))[1] == {"parallel_tools": How.DROPPED}


@pytest.mark.parametrize(
    ("model", "more"), [(CLAUDE_3, 0), (NOVA, 0), (CLAUDE_4_6, 1), (LLAMA, 1), (MISTRAL, 1)]
)
def test_words_to_go_on_with_are_sent_to_those_who_can(model, more):
    body, lost = sent(chat(HI, Message(Role.ASSISTANT, (Text("It is "),))), model)
    assert body["messages"][1]["content"] == [{"text": "It is " if more else "It is"}]
    assert len(body["messages"]) == 2 + more
    assert lost == ({"messages": How.APPROXIMATED} if more else {})


def test_a_tool_without_words_or_parameters():
    body, lost = sent(chat(tools=(Tool("noargs", ""),)))
    (tool,) = body["toolConfig"]["tools"]
    assert tool == {
        "toolSpec": {"name": "noargs", "inputSchema": {"json": {"type": "object", "properties": {}}}}
    }
    assert lost == {}


@pytest.mark.parametrize(
    ("turns", "said", "lost"),
    [
        pytest.param((HI, CALLED, RESULT), [[USED], [GIVEN]], {}, id="a call and its result"),
        pytest.param(
            (HI, CALLED, Message(Role.USER, (Text("well?"),)), RESULT),
            [[USED], [GIVEN, {"text": "well?"}]],
            {},
            id="results stand first",
        ),
        pytest.param(
            (HI, CALLED),
            [
                [USED],
                [
                    {
                        "toolResult": {
                            "toolUseId": "c1",
                            "content": [{"text": "The tool gave no result."}],
                            "status": "error",
                        }
                    }
                ],
            ],
            {"messages.tool_results": How.APPROXIMATED},
            id="a call that nobody answered",
        ),
        pytest.param(
            (HI, CALLED, Message(Role.TOOL, (ToolResult("c1", "weather", " "),))),
            [
                [USED],
                [{"toolResult": {"toolUseId": "c1", "content": [{"text": "(The tool gave no output.)"}]}}],
            ],
            {},
            id="a result of nothing",
        ),
    ],
)
def test_calls_and_results_are_paired(turns, said, lost):
    body, losses = sent(chat(*turns, tools=(WEATHER,)))
    assert [message["content"] for message in body["messages"][1:]] == said
    assert losses == lost


def test_tools_that_were_called_are_shown_though_none_is_offered():
    body, lost = sent(chat(HI, CALLED, RESULT))
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]
    }
    assert lost == {"tools": How.EMULATED}


SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1"}
SEALED = {"type": "reasoning.encrypted", "data": "EuYB", "format": "anthropic-claude-v1"}
NOVAS = {**SIGNED, "format": "amazon-nova-v1"}


@pytest.mark.parametrize(
    ("thought", "model", "blocks", "lost"),
    [
        pytest.param(
            Reasoning("hm", {"reasoning_details": [SIGNED]}),
            CLAUDE_4_5,
            [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}],
            {},
            id="with its signature",
        ),
        pytest.param(
            Reasoning("", {"reasoning_details": [SEALED]}),
            CLAUDE_4_5,
            [{"reasoningContent": {"redactedContent": base64.b64encode(b"EuYB").decode()}}],
            {},
            id="sealed",
        ),
        pytest.param(
            Reasoning("hm"), CLAUDE_4_5, [], {"messages.thinking": How.DROPPED}, id="without a signature"
        ),
        pytest.param(
            Reasoning("hm", {"reasoning_details": [SIGNED]}),
            NOVA_2,
            [],
            {"messages.thinking": How.DROPPED},
            id="for another model",
        ),
        pytest.param(
            Reasoning("hm", {"reasoning_details": [NOVAS]}),
            NOVA_2,
            [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}],
            {},
            id="Nova's own",
        ),
        pytest.param(
            Reasoning("", {"reasoning_details": [{**SEALED, "format": "amazon-nova-v1"}]}),
            NOVA_2,
            [{"reasoningContent": {"redactedContent": "EuYB"}}],
            {},
            id="what Nova keeps to itself",
        ),
        pytest.param(
            Reasoning("hm", {"reasoning_details": [NOVAS]}),
            CLAUDE_4_5,
            [],
            {"messages.thinking": How.DROPPED},
            id="Nova's for a Claude",
        ),
        pytest.param(
            Reasoning("hm", {"reasoning_details": [NOVAS]}),
            NOVA,
            [],
            {"messages.thinking": How.DROPPED},
            id="for a Nova that does not think",
        ),
        pytest.param(
            Reasoning("hm", {"reasoning_details": [{**SIGNED, "format": "bedrock-converse-v1"}]}),
            "openai.gpt-oss-120b-1:0",
            [],
            {"messages.thinking": How.DROPPED},
            id="of a model of which nobody knows that it wants it back",
        ),
    ],
)
def test_thinking_is_given_back(thought, model, blocks, lost):
    said = Message(Role.ASSISTANT, (thought, Text("hello")))
    body, losses = sent(chat(HI, said, HI), model)
    assert body["messages"][1]["content"] == [*blocks, {"text": "hello"}]
    assert losses == lost


def test_thoughts_at_the_end_of_a_turn_are_not_given_back():
    said = Message(Role.ASSISTANT, (Text("hello"), Reasoning("hm", {"reasoning_details": [NOVAS]})))
    body, losses = sent(chat(HI, said, HI), NOVA_2)
    assert body["messages"][1]["content"] == [{"text": "hello"}]
    assert losses == {"messages.thinking": How.DROPPED}


ON = Thinking(True)
ADAPTIVE = {"type": "adaptive"}


@pytest.mark.parametrize(
    ("thinking", "model", "fields", "lost"),
    [
        pytest.param(Thinking(True, budget=2000), CLAUDE_4_5,
                     {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {}, id="a budget"),
        pytest.param(Thinking(True, "low"), CLAUDE_4_5,
                     {"thinking": {"type": "enabled", "budget_tokens": 2048}}, {}, id="a step as a budget"),
        pytest.param(Thinking(True, "high"), CLAUDE_4_6,
                     {"thinking": ADAPTIVE, "output_config": {"effort": "high"}}, {}, id="a step as an effort"),
        pytest.param(Thinking(True, "low"), CLAUDE_4_7,
                     {"thinking": {**ADAPTIVE, "display": "summarized"}, "output_config": {"effort": "low"}},
                     {}, id="its words must be asked for"),
        pytest.param(ON, CLAUDE_3, None, {"thinking": How.DROPPED}, id="one that never thinks"),
        pytest.param(Thinking(False), CLAUDE_4_5, None, {}, id="off, which is Claude's default"),
        pytest.param(ON, NOVA_2,
                     {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, {}, id="Nova"),
        pytest.param(Thinking(True, budget=1500), NOVA_2,
                     {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
                     {"thinking": How.APPROXIMATED}, id="Nova, a budget"),
        pytest.param(Thinking(False), NOVA_2, {"reasoningConfig": {"type": "disabled"}}, {}, id="Nova, off"),
        pytest.param(ON, NOVA, None, {"thinking": How.DROPPED}, id="an older Nova"),
        pytest.param(Thinking(True, "high"), GPT_OSS, {"reasoning_effort": "high"}, {}, id="a word"),
        pytest.param(Thinking(False), GPT_OSS, {"reasoning_effort": "low"}, {"thinking": How.APPROXIMATED}, id="a word, off"),
        pytest.param(ON, R1, None, {}, id="one that always thinks"),
        pytest.param(Thinking(False), R1, None, {"thinking": How.DROPPED}, id="one that cannot but think"),
    ],
)  # fmt: skip
def test_thinking_is_asked_for(thinking, model, fields, lost):
    body, losses = sent(chat(thinking=thinking), model)
    assert (body.get("additionalModelRequestFields"), losses) == (fields, lost)


def test_a_budget_is_below_the_limit_that_is_sent():
    body, _ = sent(chat(thinking=Thinking(True, "max"), sampling=Sampling(max_tokens=4000)), CLAUDE_4_5)
    budget = body["additionalModelRequestFields"]["thinking"]["budget_tokens"]
    assert 1024 <= budget < body["inferenceConfig"]["maxTokens"] == 4000


def test_at_its_highest_effort_nova_takes_no_limits():
    sampling = Sampling(max_tokens=5, temperature=0.1, top_p=0.2, top_k=3)
    body, lost = sent(chat(thinking=Thinking(True, "high"), sampling=sampling), NOVA_2)
    fields = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}
    assert body == {"messages": [SAID_HI], "additionalModelRequestFields": fields}
    assert lost == dict.fromkeys(("max_tokens", "temperature", "top_p", "top_k"), How.DROPPED)


def test_thinking_while_calls_are_answered_needs_the_thinking_that_led_to_them():
    """Clients without signatures would otherwise be refused in the second turn of every tool's use."""
    body, lost = sent(chat(HI, CALLED, RESULT, tools=(WEATHER,), thinking=ON), CLAUDE_4_5)
    assert "additionalModelRequestFields" not in body
    assert lost == {"thinking": How.DROPPED}


def native(schema):
    structure = {"jsonSchema": {"schema": json.dumps(schema, separators=(",", ":")), "name": "response"}}
    return {"textFormat": {"type": "json_schema", "structure": structure}}


@pytest.mark.parametrize("model", [CLAUDE_4_5, GPT_OSS])
def test_a_schema_is_said_where_the_model_takes_one(model):
    body, lost = sent(chat(format=Format(SCHEMA)), model)
    assert body["outputConfig"] == native({**SCHEMA, "additionalProperties": False})
    assert "toolConfig" not in body
    assert lost == {}


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        pytest.param(CLAUDE_3, SCHEMA, id="an older model"),
        pytest.param(CLAUDE_4_7, SCHEMA, id="a line that takes none"),
        pytest.param(CLAUDE_4_5, OPEN, id="a schema that cannot be said"),
        pytest.param(NOVA, SCHEMA, id="another maker"),
    ],
)
def test_a_schema_is_else_that_of_a_call(model, schema):
    body, lost = sent(chat(format=Format(schema)), model)
    (tool,) = body["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"] == {"json": schema}
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": tool["toolSpec"]["name"]}}
    assert lost == {"format": How.EMULATED}


def test_a_schema_is_else_told_in_words():
    body, lost = sent(chat(format=Format(SCHEMA)), LLAMA)
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["system"][0]["text"]
    assert lost == {"format": How.APPROXIMATED}


def test_json_without_a_schema_is_asked_for_in_words():
    body, lost = sent(chat(format=Format()), CLAUDE_4_5)
    assert "JSON" in body["system"][0]["text"]
    assert lost == {"format": How.EMULATED}


def test_a_model_of_unknown_name_that_thinks_is_asked_as_claude():
    facts = {"capabilities": frozenset({"completion", "thinking"})}
    body, lost = sent(chat(thinking=Thinking(True, "low")), "my.model", **facts)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    assert lost == {}


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        (CLAUDE_3, False, "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"),
        (CLAUDE_4_6, True, "/model/us.anthropic.claude-opus-4-6-v1/converse-stream"),
    ],
)
def test_the_model_is_one_segment_of_the_path(model, stream, path):
    http = CODEC.encode(chat(stream=stream), target(model)).http
    assert (http.method, http.url) == ("POST", BASE + path)
    assert http.headers["accept"] == ("application/vnd.amazon.eventstream" if stream else "application/json")


def test_an_arn_that_is_listed_may_be_called():
    http = CODEC.encode(chat(), target(ARN, {"arns": (ARN,), "region": "us-east-1"})).http
    encoded = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123"
    assert http.url == f"{BASE}/model/{encoded}/converse"


@pytest.mark.parametrize("request_", [chat(), EmbedRequest("asked", ("a",))], ids=["chat", "embed"])
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        pytest.param(ARN, {}, id="an ARN that is not listed"),
        pytest.param(ARN, {"arns": (ARN,), "region": "eu-west-1"}, id="an ARN of another region"),
        pytest.param("ARN:aws:x", {"arns": ("ARN:aws:x",)}, id="an ARN that is none"),
        pytest.param(
            "arn:aws:s3:us-east-1:1:x", {"arns": ("arn:aws:s3:us-east-1:1:x",)}, id="an ARN of something else"
        ),
        pytest.param("a/../b", {}, id="a path"),
        pytest.param("a b", {}, id="a blank"),
        pytest.param("", {}, id="no name"),
        pytest.param("x" * 256, {}, id="a name too long"),
    ],
)
def test_other_models_are_not_ours_to_call(request_, model, settings):
    problem = CODEC.encode(request_, target(model, settings))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.target) == (Kind.NOT_FOUND, f"p/{model}")


@pytest.mark.parametrize(
    ("request_", "subject"),
    [
        pytest.param(
            chat(Message(Role.USER, (Image(url="https://x/y.png"),))), "image url", id="a picture by address"
        ),
        pytest.param(
            ChatRequest("asked", prompt=Prompt("x", images=(Image(url="https://x/y.png"),))),
            "image url",
            id="in a prompt",
        ),
        pytest.param(ChatRequest("asked", prompt=Prompt("a", suffix="b")), "insert", id="a gap"),
        pytest.param(chat(Message(Role.USER, (Text(" "),))), "empty messages", id="nothing said"),
        pytest.param(EmbedRequest("asked", ("a",)), "embedding", id="vectors of a model of words"),
    ],
)
def test_what_cannot_be_said_is_refused(request_, subject):
    problem = CODEC.encode(request_, target())
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.subject) == (Kind.UNSUPPORTED, subject)


TITAN_2, TITAN_1, COHERE_3, COHERE_4 = (
    "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1", "cohere.embed-english-v3", "us.cohere.embed-v4:0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "texts", "dimensions", "body", "lost"),
    [
        (TITAN_2, ("a",), None, {"inputText": "a"}, {}),
        (TITAN_2, ("a",), 256, {"inputText": "a", "dimensions": 256}, {}),
        (TITAN_1, ("a",), 256, {"inputText": "a"}, {"dimensions": How.DROPPED}),
        ("amazon.titan-embed-image-v1", ("a",), 256, {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 256}}, {}),
        (COHERE_3, ("a", "b"), None, {"texts": ["a", "b"], "input_type": "search_document"}, {}),
        (COHERE_3, ("a",), 256, {"texts": ["a"], "input_type": "search_document"}, {"dimensions": How.DROPPED}),
        (
            COHERE_4, ("a", "b"), 256,
            {"texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"], "output_dimension": 256}, {},
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0", ("a",), 256,
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 256,
                    "text": {"truncationMode": "END", "value": "a"},
                },
            }, {},
        ),
    ],
)  # fmt: skip
def test_vectors_are_asked_for_in_each_makers_form(model, texts, dimensions, body, lost):
    assert sent(EmbedRequest("asked", texts, dimensions), model) == (body, lost)
    http = CODEC.encode(EmbedRequest("asked", texts), target(model)).http
    assert http.url == f"{BASE}/model/{model.replace(':', '%3A')}/invoke"


@pytest.mark.parametrize(
    ("model", "inputs", "subject"),
    [
        pytest.param(TITAN_2, ("a", "b"), "number of inputs", id="two texts where one is taken"),
        pytest.param(COHERE_3, ("a",) * 97, "number of inputs", id="one more than is taken"),
        pytest.param(COHERE_3, ((1, 2),), "token input", id="tokens"),
    ],
)
def test_inputs_that_cannot_be_sent_are_refused(model, inputs, subject):
    problem = CODEC.encode(EmbedRequest("asked", inputs), target(model))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.subject) == (Kind.UNSUPPORTED, subject)


@pytest.mark.parametrize(
    ("base", "settings", "url"),
    [
        (BASE, {}, "https://bedrock.us-east-1.amazonaws.com/foundation-models"),
        (
            "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com", {},
            "https://bedrock.eu-west-1.amazonaws.com/foundation-models",
        ),
        ("https://bedrock-runtime.us-west-2.api.aws", {}, "https://bedrock.us-west-2.api.aws/foundation-models"),
        ("http://127.0.0.1:9000/aws_bedrock/", {}, "http://127.0.0.1:9000/aws_bedrock/foundation-models"),
        ("https://amazonaws.com.evil.example", {}, "https://amazonaws.com.evil.example/foundation-models"),
    ],
)  # fmt: skip
def test_the_list_is_where_aws_has_it(base, settings, url):
    assert CODEC.list_models(Provider("p", "aws_bedrock", base, settings=settings)).url == url


def test_models_are_listed_under_the_names_they_are_called_by():
    def summary(id, ways, outputs=("TEXT",), region="us-east-1"):
        arn = f"arn:aws:bedrock:{region}::foundation-model/{id}"
        return {
            "modelId": id,
            "modelArn": arn,
            "outputModalities": list(outputs),
            "inferenceTypesSupported": list(ways),
        }

    listed = [
        summary("a.demand", ("ON_DEMAND",)),
        summary("a.both", ("ON_DEMAND", "INFERENCE_PROFILE")),
        summary("a.profile", ("INFERENCE_PROFILE",), region="eu-west-1"),
        summary("a.far", ("INFERENCE_PROFILE",), region="sa-east-1"),
        summary("a.rented", ("PROVISIONED",)),
        summary("a.vectors", ("ON_DEMAND",), ("EMBEDDING",)),
        summary("a.pictures", ("ON_DEMAND",), ("IMAGE",)),
        {"modelId": 5},
        "nonsense",
    ]
    found = CODEC.models(json.dumps({"modelSummaries": listed}).encode())
    assert [facts.name for facts in found] == [
        "a.demand",
        "a.both",
        "us.a.both",
        "eu.a.profile",
        "global.a.far",
        "a.vectors",
    ]
    assert [facts.capabilities for facts in found] == [None] * 5 + [frozenset({"embedding"})]


SAID = {"max_tokens": 5, "temperature": 0.25, "top_p": 0.75, "top_k": 7, "min_p": 0.125, "seed": 9, "stop": ("halt",),
        "presence_penalty": 0.5, "frequency_penalty": 0.5, "repeat_penalty": 1.5}  # fmt: skip
WHERE = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
OWN_K = {"top_k", "topK", "k"}


@given(
    names=st.sets(st.sampled_from(sorted(SAID))),
    model=st.sampled_from([CLAUDE_3, CLAUDE_4_5, CLAUDE_4_6, CLAUDE_4_7, NOVA, NOVA_2, LLAMA, MISTRAL, TITAN, GPT_OSS, R1]),
    thinking=st.sampled_from([None, ON, Thinking(False), Thinking(True, "high"), Thinking(True, budget=3000)]),
    format=st.sampled_from([None, Format(), Format(SCHEMA), Format(OPEN)]),
    choice=st.sampled_from([None, ToolChoice("auto"), ToolChoice("none"), ToolChoice("required"), ToolChoice("named", "weather")]),
    parallel=st.sampled_from([None, False]),
)  # fmt: skip
@settings(deadline=None)
def test_nothing_is_lost_unseen(names, model, thinking, format, choice, parallel):
    asked = chat(
        sampling=Sampling(**{name: SAID[name] for name in names}), thinking=thinking, format=format,
        tools=(WEATHER,), tool_choice=choice, parallel_tools=parallel,
    )  # fmt: skip
    body, lost = sent(asked, model)
    inference, own = body.get("inferenceConfig", {}), body.get("additionalModelRequestFields", {})
    for name in names:
        if name == "top_k":
            found = bool(OWN_K & (own.keys() | own.get("inferenceConfig", {}).keys()))
        else:
            found = WHERE.get(name) in inference
        assert found or name in lost
    if thinking is not None and thinking.on and model != R1:
        assert own.keys() & {"thinking", "reasoningConfig", "reasoning_effort"} or "thinking" in lost
    if format is not None:
        assert "outputConfig" in body or "format" in lost
    if choice is not None and choice.mode != "auto":
        assert "toolChoice" in body.get("toolConfig", {}) or "tool_choice" in lost
    if parallel is False and not (choice and choice.mode == "none"):
        assert "parallel_tools" in lost


def test_names_and_ids_too_long_for_this_form_are_shortened_and_given_back():
    long, id = "x" * 65, "call_" + "y" * 80
    called = Message(Role.ASSISTANT, (ToolCall(id, long, "{}"), ToolCall(id + "z", "weather", "{}")))
    results = Message(Role.TOOL, (ToolResult(id + "z", "", "2"), ToolResult(id, "", "1")))
    request = chat(HI, called, results, tools=(Tool(long), WEATHER), stream=True)
    body, lost = sent(request)
    name = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    uses = [block["toolUse"] for block in body["messages"][1]["content"]]
    given = [block["toolResult"] for block in body["messages"][2]["content"]]
    assert [use["name"] for use in uses] == [name, "weather"]
    assert [result["content"] for result in given] == [[{"text": "1"}], [{"text": "2"}]]
    assert [result["toolUseId"] for result in given] == [use["toolUseId"] for use in uses]
    assert len({use["toolUseId"] for use in uses}) == 2
    assert all(len(short) <= 64 for short in (name, *(use["toolUseId"] for use in uses)))
    assert lost == {}
    start = {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "i", "name": name}}}
    frame = message(
        {":message-type": "event", ":event-type": "contentBlockStart"}, json.dumps(start).encode()
    )
    _, batch = CODEC.decode(CODEC.fresh(request), frame)
    assert batch.events[-1] == ToolCallDelta(0, "i", long)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        pytest.param(CLAUDE_3, True, id="Claude"),
        pytest.param(NOVA, True, id="Nova"),
        pytest.param(LLAMA, False, id="who refuses to hear of it"),
        pytest.param(MISTRAL, False, id="another who does"),
    ],
)
def test_that_a_tool_failed_is_told_to_those_who_take_it(model, told):
    body, _ = sent(chat(HI, CALLED, tools=(WEATHER,)), model)
    (result,) = body["messages"][-1]["content"]
    assert ("status" in result["toolResult"]) is told


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        pytest.param({"$schema": "x", "title": "T", "additionalProperties": False}, {}, id="nothing lost"),
        pytest.param({"minProperties": 1}, {"tools": How.APPROXIMATED}, id="something lost"),
    ],
)
def test_nova_takes_of_a_tools_schema_its_properties_alone(more, lost):
    tool = Tool("weather", "Tells it", {**WEATHER.parameters, **more})
    body, losses = sent(chat(tools=(tool,)), NOVA)
    assert (body["toolConfig"]["tools"], losses) == ([SPEC], lost)


def test_a_picture_of_a_kind_that_is_not_taken_is_for_another_model():
    bmp = Image(base64.b64encode(b"BM" + b"0" * 30).decode())
    found = CODEC.encode(chat(Message(Role.USER, (bmp,))), target())
    assert (found.kind, found.subject) == (Kind.UNSUPPORTED, "image type")
