"""Requests to /responses: who is asked there, each field as it is said there, and each loss named."""

import json

import pytest
from attrs import evolve

from adapters.providers.azure import CODEC as AZURE
from adapters.providers.openai import CODEC
from adapters.providers.thoughts import RESPONSES as THOUGHTS
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    Format,
    Image,
    Message,
    Opaque,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.providers.recorded import target

PNG = "iVBORw0KGgoAAAANSUhEUgAA"
HI = Message(Role.USER, (Text("hi"),))
ASK = ChatRequest("asked", (HI,))
ENCRYPTED = ["reasoning.encrypted_content"]
PLAIN = {
    "model": "gpt-5-codex",
    "input": [{"role": "user", "content": "hi"}],
    "store": False,
    "stream": False,
    "include": ENCRYPTED,
}
NOTHING = {"type": "object", "properties": {}}
SEALED = {"type": "reasoning.encrypted", "data": "e", "id": "rs_1", "format": THOUGHTS, "index": 0}


def encoded(request, model="gpt-5-codex"):
    """URL, body and losses."""
    found = CODEC.encode(request, target("openai", model))
    losses = {loss.field: loss.how for loss in found.losses}
    assert len(losses) == len(found.losses)
    return found.http.url, json.loads(found.http.body), losses


def items(*turns, model="gpt-5-codex"):
    _, body, losses = encoded(ChatRequest("asked", turns), model)
    return body.get("instructions"), body["input"], losses


def added(model="gpt-5-codex", /, **changes):
    """What these changes add to the plain request, and the losses."""
    _, body, losses = encoded(evolve(ASK, **changes), model)
    return {key: value for key, value in body.items() if PLAIN.get(key) != value and key != "model"}, losses


def test_the_plain_request():
    http = CODEC.encode(ASK, target("openai", "gpt-5-codex")).http
    assert (http.method, http.url) == ("POST", "https://api.example/v1/responses")
    assert json.loads(http.body) == PLAIN
    assert http.headers["accept"] == "application/json"


def test_a_stream_asks_for_nothing_more():
    http = CODEC.encode(evolve(ASK, stream=True), target("openai", "gpt-5-codex")).http
    assert http.headers["accept"] == "text/event-stream"
    assert json.loads(http.body) == {**PLAIN, "stream": True}


RESPONDING = [
    *("gpt-5-codex", "gpt-5.1-codex-mini", "gpt-5.1-codex-max", "gpt-5.3-codex", "codex-mini-latest"),
    *("gpt-5-pro", "gpt-5-pro-2025-10-06", "gpt-5.2-pro", "o1-pro", "o3-pro", "o3-deep-research"),
    *("o4-mini-deep-research", "computer-use-preview", "ft:gpt-5-codex:house::id"),
]
TALKING = [
    *(
        "gpt-4o",
        "gpt-5",
        "gpt-5-mini",
        "gpt-5.1",
        "o3",
        "o4-mini",
        "gpt-4o-search-preview",
        "chatgpt-4o-latest",
    ),
    *(
        "gpt-5-chat-latest",
        "openai/gpt-5-codex",
        "qwen3-pro",
        "llama-4-codex",
        "gpt-oss:20b",
        "gpt-5-process",
    ),
]


@pytest.mark.parametrize("model", RESPONDING)
def test_models_that_answer_nowhere_else_are_asked_there(model):
    own = Source("openai.chat", {"model": "asked", "messages": [{"role": "user", "content": "hi"}]})
    for request in (ASK, evolve(ASK, source=own), ChatRequest("asked", prompt=Prompt("hi", raw=True))):
        url, body, _ = encoded(request, model)
        assert url.endswith("/v1/responses")
        assert body["input"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("model", TALKING)
def test_all_others_are_asked_in_a_chat(model):
    assert encoded(ASK, model)[0].endswith("/v1/chat/completions")


def test_a_gap_cannot_be_filled():
    for model in RESPONDING:
        problem = CODEC.encode(ChatRequest("asked", prompt=Prompt("a", suffix="b")), target("openai", model))
        assert isinstance(problem, Problem)
        assert (problem.kind, problem.subject) == (Kind.UNSUPPORTED, "insert")


THOUGHT = Message(
    Role.ASSISTANT, (Reasoning("hm", {"reasoning_details": [SEALED]}), ToolCall("a", "f", "{}"))
)
RESULT = Message(Role.TOOL, (ToolResult("a", "f", "1"),))


@pytest.mark.parametrize(
    ("model", "source", "path"),
    [
        pytest.param("gpt-5", None, "/responses", id="thinking of this form goes where it can be given back"),
        pytest.param("gpt-4o", None, "/chat/completions", id="but not to a model that does not think"),
        pytest.param("openai/gpt-5", None, "/chat/completions", id="nor to a gateway"),
        pytest.param("qwen3", None, "/chat/completions", id="nor to a model of somebody else"),
        pytest.param(
            "gpt-5", "openai.chat", "/chat/completions", id="nor where the client speaks chat itself"
        ),
        pytest.param(
            "gpt-4o", "openai.responses", "/responses", id="a client of this form is answered in it"
        ),
        pytest.param(
            "qwen3", "openai.responses", "/chat/completions", id="unless nobody knows whether the server can"
        ),
    ],
)
def test_the_way_to_go(model, source, path):
    source = source and Source(source, {"model": "asked", "messages": [], "input": []})
    assert encoded(ChatRequest("asked", (HI, THOUGHT, RESULT), source=source), model)[0].endswith(
        "/v1" + path
    )


OWN = {"model": "asked", "input": "x", "unheard_of": {"a": 1}, "store": True}


def test_a_request_in_the_same_form_goes_out_as_it_came():
    request = evolve(ASK, stream=True, source=Source("openai.responses", OWN), sampling=Sampling(top_k=5))
    assert encoded(request, "gpt-5")[1:] == ({**OWN, "model": "gpt-5"}, {})


def test_a_wish_to_think_is_not_told_to_a_model_that_cannot():
    included = ["reasoning.encrypted_content", "message.output_text.logprobs"]
    wished = {**OWN, "reasoning": {"summary": "auto"}, "include": included}
    request = evolve(ASK, source=Source("openai.responses", wished), thinking=Thinking(True, wish=True))
    assert encoded(request, "gpt-4o")[1] == {**wished, "model": "gpt-4o"}
    request = evolve(request, thinking=Thinking(False, wish=True))
    assert encoded(request, "gpt-4o")[1] == {**OWN, "model": "gpt-4o", "include": included[1:]}


@pytest.mark.parametrize(
    ("turns", "instructions", "expected", "losses"),
    [
        pytest.param(
            [Message(Role.SYSTEM, (Text("be kind"),)), HI, Message(Role.ASSISTANT, (Text("Hello"),)), HI],
            "be kind",
            [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "hi"},
            ],
            {},
            id="the first words of the system are instructions",
        ),
        pytest.param(
            [HI, Message(Role.SYSTEM, (Text("be brief"),)), HI],
            None,
            [
                {"role": "user", "content": "hi"},
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": "hi"},
            ],
            {},
            id="later ones stand where they were said",
        ),
        pytest.param(
            [Message(Role.USER, (Text("a"), Text("b")), name="eve")],
            None,
            [
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
                }
            ],
            {"messages.name": How.DROPPED},
            id="two texts and a name",
        ),
        pytest.param(
            [Message(Role.USER, (Text("what?"), Image(PNG), Image(url="https://x/y.png", detail="low")))],
            None,
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "what?"},
                        {
                            "type": "input_image",
                            "image_url": f"data:image/png;base64,{PNG}",
                            "detail": "auto",
                        },
                        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                    ],
                }
            ],
            {},
            id="pictures by data and by address",
        ),
        pytest.param(
            [
                Message(
                    Role.USER,
                    (
                        Opaque("openai.chat", {"type": "file", "file": {"file_data": "d", "filename": "n"}}),
                        Opaque("openai.responses", {"type": "input_file", "file_id": "f"}),
                        Opaque("openai.chat", {"type": "input_audio", "input_audio": {}}),
                        Opaque("anthropic.messages", {"type": "document"}),
                    ),
                )
            ],
            None,
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_file", "file_data": "d", "filename": "n"},
                        {"type": "input_file", "file_id": "f"},
                    ],
                }
            ],
            {"input_audio": How.DROPPED, "document": How.DROPPED},
            id="files, and what has no place",
        ),
        pytest.param(
            [
                HI,
                Message(
                    Role.ASSISTANT,
                    (
                        Reasoning("hm", {"reasoning_details": [SEALED]}),
                        Text("Calling."),
                        ToolCall("a", "f", "{}"),
                        ToolCall("b", "g", '{"x":1}'),
                    ),
                ),
                Message(Role.TOOL, (ToolResult("a", "f", "1"),)),
                Message(Role.USER, (Text("and?"), ToolResult("b", "", "2"))),
            ],
            None,
            [
                {"role": "user", "content": "hi"},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
                {"role": "assistant", "content": "Calling."},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "b", "name": "g", "arguments": '{"x":1}'},
                {"type": "function_call_output", "call_id": "a", "output": "1"},
                {"type": "function_call_output", "call_id": "b", "output": "2"},
                {"role": "user", "content": "and?"},
            ],
            {},
            id="thinking, calls and their results",
        ),
        pytest.param(
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Reasoning(
                            "hm",
                            {
                                "reasoning_details": [
                                    {
                                        "type": "reasoning.summary",
                                        "summary": "s",
                                        "id": "rs_1",
                                        "format": THOUGHTS,
                                    },
                                    SEALED,
                                    {"type": "reasoning.encrypted", "data": "e2", "format": THOUGHTS},
                                    {
                                        "type": "reasoning.encrypted",
                                        "data": "x",
                                        "format": "google-gemini-v1",
                                    },
                                ]
                            },
                        ),
                        Text("Hello"),
                    ),
                )
            ],
            None,
            [
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "s"}],
                    "encrypted_content": "e",
                },
                {"type": "reasoning", "summary": [], "encrypted_content": "e2"},
                {"role": "assistant", "content": "Hello"},
            ],
            {},
            id="several thoughts, of which only this form's are given back",
        ),
        pytest.param(
            [Message(Role.ASSISTANT, (Reasoning("hm"), Image(PNG), Text("Hello"), Text("!")))],
            None,
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "Hello"},
                        {"type": "output_text", "text": "!"},
                    ],
                }
            ],
            {"messages.thinking": How.DROPPED, "messages.images": How.DROPPED},
            id="what cannot be given back",
        ),
        pytest.param(
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Opaque(
                            "openai.chat",
                            {
                                "tool_calls": [
                                    {"id": "c", "type": "custom", "custom": {"name": "py", "input": "1"}}
                                ]
                            },
                        ),
                    ),
                ),
                Message(Role.TOOL, (ToolResult("c", "py", "1"),)),
            ],
            None,
            [
                {"type": "custom_tool_call", "call_id": "c", "name": "py", "input": "1"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
            ],
            {},
            id="a call of a tool that takes plain text",
        ),
        pytest.param(
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Opaque("openai.responses", {"type": "web_search_call", "id": "w"}),
                        Opaque("openai.responses", {"type": "refusal", "refusal": "No."}),
                    ),
                )
            ],
            None,
            [
                {"type": "web_search_call", "id": "w"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            ],
            {},
            id="items and parts that only this form knows",
        ),
        pytest.param(
            [Message(Role.TOOL, (ToolResult("a", "f", "see"), Image(PNG, detail="high")))],
            None,
            [
                {
                    "type": "function_call_output",
                    "call_id": "a",
                    "output": [
                        {"type": "input_text", "text": "see"},
                        {
                            "type": "input_image",
                            "image_url": f"data:image/png;base64,{PNG}",
                            "detail": "high",
                        },
                    ],
                }
            ],
            {},
            id="a picture in a result",
        ),
        pytest.param(
            [Message(Role.USER, ()), Message(Role.ASSISTANT, (Text(""),))],
            None,
            [{"role": "user", "content": ""}],
            {},
            id="a model that said nothing is not heard",
        ),
    ],
)
def test_items(turns, instructions, expected, losses):
    assert items(*turns) == (instructions, expected, losses)


def test_a_model_that_moves_a_mouse_is_told_to_cut_what_is_too_long():
    assert added("computer-use-preview") == ({"truncation": "auto"}, {})


CHAT_TOOLS = [
    {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}},
    {
        "type": "custom",
        "custom": {
            "name": "py",
            "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "d"}},
        },
    },
]


@pytest.mark.parametrize(
    ("changes", "expected", "losses"),
    [
        pytest.param(
            {"tools": (Tool("weather", "the sky", {"type": "object", "properties": {"z": {}, "a": {}}}),)},
            {
                "tools": [
                    {
                        "type": "function",
                        "name": "weather",
                        "description": "the sky",
                        "parameters": {"type": "object", "properties": {"z": {}, "a": {}}},
                        "strict": False,
                    }
                ]
            },
            {},
            id="a tool, which is not strict unless the client says so",
        ),
        pytest.param(
            {
                "tools": (Tool("f", strict=True),),
                "tool_choice": ToolChoice("required"),
                "parallel_tools": False,
            },
            {
                "tools": [{"type": "function", "name": "f", "parameters": NOTHING, "strict": True}],
                "tool_choice": "required",
                "parallel_tool_calls": False,
            },
            {},
            id="a bare tool that must be called, alone",
        ),
        pytest.param(
            {"tools": (Tool("f"),), "tool_choice": ToolChoice("named", "f")},
            {
                "tools": [{"type": "function", "name": "f", "parameters": NOTHING, "strict": False}],
                "tool_choice": {"type": "function", "name": "f"},
            },
            {},
            id="a tool that is named",
        ),
        pytest.param(
            {"tool_choice": ToolChoice("auto"), "parallel_tools": True}, {}, {}, id="a choice among none"
        ),
        pytest.param(
            {
                "tools": (Tool("f"),),
                "extra": {
                    "openai.chat": {
                        "tools": CHAT_TOOLS,
                        "tool_choice": {
                            "type": "allowed_tools",
                            "allowed_tools": {
                                "mode": "auto",
                                "tools": [{"type": "function", "function": {"name": "f"}}],
                            },
                        },
                    }
                },
            },
            {
                "tools": [
                    {"type": "function", "name": "f", "strict": True, "parameters": {"type": "object"}},
                    {
                        "type": "custom",
                        "name": "py",
                        "format": {"type": "grammar", "syntax": "lark", "definition": "d"},
                    },
                ],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "f"}],
                },
            },
            {},
            id="tools of other kinds, in the words of this form",
        ),
        pytest.param(
            {
                "extra": {
                    "openai.chat": {
                        "web_search_options": {
                            "search_context_size": "low",
                            "user_location": {"type": "approximate", "approximate": {"city": "Paris"}},
                        }
                    }
                }
            },
            {
                "tools": [
                    {
                        "type": "web_search",
                        "search_context_size": "low",
                        "user_location": {"type": "approximate", "city": "Paris"},
                    }
                ]
            },
            {},
            id="a search of the web",
        ),
        pytest.param(
            {"format": Format({"type": "object"}, "person", True)},
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "person",
                        "schema": {"type": "object"},
                        "strict": True,
                    }
                }
            },
            {},
            id="a schema with a name, to be held strictly",
        ),
        pytest.param(
            {"format": Format({"type": "object"}), "extra": {"openai.chat": {"verbosity": "low"}}},
            {
                "text": {
                    "verbosity": "low",
                    "format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}},
                }
            },
            {},
            id="a schema, in few words",
        ),
        pytest.param(
            {"format": Format()},
            {
                "input": [
                    {"role": "developer", "content": "Answer in JSON."},
                    {"role": "user", "content": "hi"},
                ],
                "text": {"format": {"type": "json_object"}},
            },
            {"format": How.EMULATED},
            id="JSON mode, asked for in words where nobody did",
        ),
        pytest.param(
            {
                "sampling": Sampling(
                    max_tokens=50,
                    temperature=0.5,
                    top_p=0.5,
                    top_k=4,
                    min_p=0.1,
                    seed=7,
                    stop=("a",),
                    presence_penalty=0.1,
                    frequency_penalty=0.2,
                    repeat_penalty=1.1,
                ),
                "choices": 2,
                "logprobs": 3,
            },
            {"max_output_tokens": 50},
            dict.fromkeys(
                [
                    *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty"),
                    *("frequency_penalty", "repeat_penalty", "choices", "logprobs"),
                ],
                How.DROPPED,
            ),
            id="sampling, which a model that thinks does not take",
        ),
        pytest.param(
            {"sampling": Sampling(max_tokens=5, temperature=1.0, top_p=1.0, presence_penalty=0.0)},
            {"max_output_tokens": 16},
            {"max_tokens": How.APPROXIMATED},
            id="a limit below the least, and defaults",
        ),
        pytest.param(
            {
                "user": "u",
                "extra": {
                    "openai.chat": {
                        "metadata": {"a": "b"},
                        "service_tier": "flex",
                        "prompt_cache_key": "k",
                        "safety_identifier": "s",
                        "store": True,
                        "modalities": ["text"],
                        "stream_options": {"include_usage": True},
                        "logit_bias": {"5": 1},
                        "prediction": {},
                    },
                    "openai.responses": {"max_tool_calls": 3},
                    "ollama": {"options": {"num_ctx": 8192}},
                },
            },
            {
                "user": "u",
                "metadata": {"a": "b"},
                "service_tier": "flex",
                "prompt_cache_key": "k",
                "safety_identifier": "s",
                "store": True,
                "max_tool_calls": 3,
            },
            {"logit_bias": How.DROPPED, "prediction": How.DROPPED, "num_ctx": How.MOOT},
            id="what only OpenAI's forms hold",
        ),
        pytest.param(
            {"extra": {"openai.chat": {"modalities": ["text", "audio"], "audio": {"voice": "alloy"}}}},
            {},
            {"modalities": How.DROPPED, "audio": How.DROPPED},
            id="speech",
        ),
    ],
)
def test_fields(changes, expected, losses):
    assert added(**changes) == (expected, losses)


def asked(effort=None):
    return {"summary": "auto"} if effort is None else {"effort": effort, "summary": "auto"}


NEAR = {"thinking": How.APPROXIMATED}


@pytest.mark.parametrize(
    ("model", "thinking", "reasoning", "losses"),
    [
        pytest.param("gpt-5-codex", Thinking(True), asked("medium"), {}, id="on"),
        pytest.param("gpt-5-codex", Thinking(True, "high"), asked("high"), {}, id="a step"),
        pytest.param("gpt-5-codex", Thinking(True, "max"), asked("high"), NEAR, id="the most"),
        pytest.param("gpt-5-codex", Thinking(False), {"effort": "low"}, NEAR, id="off"),
        pytest.param("gpt-5-codex", Thinking(True, None, 100), asked("low"), NEAR, id="a budget"),
        pytest.param(
            "gpt-5.1-codex-max", Thinking(True, "max"), asked("xhigh"), {}, id="the most, at a later one"
        ),
        pytest.param(
            "gpt-5.3-codex", Thinking(True, "max"), asked("xhigh"), {}, id="the most, at one of today"
        ),
        pytest.param("gpt-5-pro", Thinking(True), asked(), {}, id="on, where there is but one step"),
        pytest.param(
            "gpt-5-pro", Thinking(True, "low"), asked("high"), NEAR, id="a step, where there is but one"
        ),
        pytest.param(
            "gpt-5.2-pro", Thinking(True, "max"), asked("xhigh"), {}, id="the most of the longest thinker"
        ),
        pytest.param(
            "o3-pro", Thinking(True, "minimal"), asked("low"), NEAR, id="the least, at the o series"
        ),
        pytest.param("codex-mini-latest", Thinking(True), asked("medium"), {}, id="the first of its kind"),
    ],
)
def test_thinking(model, thinking, reasoning, losses):
    assert added(model, thinking=thinking) == ({"reasoning": reasoning}, losses)


def test_who_researches_is_given_the_web_to_search_in():
    web, own = {"type": "web_search_preview"}, {"type": "file_search", "vector_store_ids": ["v"]}
    asking = {"thinking": Thinking(True, "high"), "tools": (Tool("f"),)}
    found, losses = added("o3-deep-research", **asking)
    assert (found["reasoning"], losses) == (asked("medium"), NEAR)
    assert [tool["type"] for tool in found["tools"]] == ["function", "web_search_preview"]
    assert added("o4-mini-deep-research") == ({"tools": [web]}, {})
    given = {"extra": {"openai.responses": {"tools": [own]}}}
    assert added("o3-deep-research", **given) == ({"tools": [own]}, {})


def test_who_does_not_ask_for_thinking_is_given_no_summary():
    assert added(thinking=None) == ({}, {})


def test_a_model_that_is_told_not_to_think_samples():
    asking = ChatRequest(
        "asked",
        (HI, THOUGHT, RESULT),
        thinking=Thinking(False),
        sampling=Sampling(temperature=0.5, top_p=0.5, stop=("a",)),
        logprobs=2,
    )
    url, body, losses = encoded(asking, "gpt-5.1")
    assert url.endswith("/responses")
    assert (body["temperature"], body["top_p"], body["reasoning"]) == (0.5, 0.5, {"effort": "none"})
    assert (body["include"], body["top_logprobs"]) == ([*ENCRYPTED, "message.output_text.logprobs"], 2)
    assert losses == {"stop": How.DROPPED}


@pytest.mark.parametrize("version", [None, "v1", "2024-10-21"], ids=["no version", "v1", "a dated version"])
def test_where_deployments_have_names_they_are_asked_at_the_newer_surface(version):
    settings = {"deployments": ("gpt-5-codex=coder",), "api_version": version}
    provider = Provider("azure", "azure", "https://r.openai.azure.com", settings=settings)
    http = AZURE.encode(ASK, Target(provider, ModelFacts("gpt-5-codex"))).http
    assert http.url == "https://r.openai.azure.com/openai/v1/responses"
    assert json.loads(http.body) == {**PLAIN, "model": "coder"}


LOST_THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
KEPT_THOUGHT = {**LOST_THOUGHT, "encrypted_content": "gAAAA"}


@pytest.mark.parametrize(
    ("model", "body", "expected", "losses"),
    [
        pytest.param("gpt-5", {"store": False}, {"include": ENCRYPTED}, {}, id="thinking comes sealed"),
        pytest.param("gpt-4o", {"store": False}, {}, {}, id="but not of a model that does not think"),
        pytest.param("gpt-5", {}, {}, {}, id="nor where it is stored"),
        pytest.param(
            "gpt-5",
            {"store": False, "include": [*ENCRYPTED, "web_search_call.results"]},
            {},
            {},
            id="what was asked for stays in its order",
        ),
        pytest.param(
            "gpt-4o",
            {
                "store": False,
                "input": [KEPT_THOUGHT, LOST_THOUGHT, {**KEPT_THOUGHT, "encrypted_content": "a.b"}],
            },
            {"input": [KEPT_THOUGHT]},
            {"messages.thinking": How.DROPPED},
            id="thinking that is known nowhere is left out",
        ),
    ],
)
def test_a_body_of_this_form_is_made_fit_for_where_nothing_is_stored(model, body, expected, losses):
    request = evolve(ASK, source=Source("openai.responses", {"input": "hi", **body}))
    _, sent, lost = encoded(request, model)
    assert sent == {"input": "hi", **body, "model": model, **expected}
    assert lost == losses
