"""Requests in Anthropic's form: the whole body for a canonical request, and what is told as lost."""

import base64
import json

import pytest
from attrs import evolve

from adapters.providers.anthropic import CODEC
from adapters.providers.anthropic_messages import BEGINNING, CONTINUE, NO_RESULT
from adapters.providers.thoughts import CLAUDE, FORMAT, GEMINI
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
    Source,
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

BASE = "https://api.example"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()


def user(*parts):
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def model(*parts):
    return Message(Role.ASSISTANT, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def system(text):
    return Message(Role.SYSTEM, (Text(text),))


def tool(*results):
    return Message(Role.TOOL, results)


def text(said):
    return {"type": "text", "text": said}


ASK = ChatRequest("asked", (user("hi"),))
ASKED = [{"role": "user", "content": [text("hi")]}]


def encoded(request, name="claude-sonnet-4-5", base=BASE, **facts):
    """URL, body and losses."""
    found = CODEC.encode(request, Target(Provider("p", "anthropic", base), ModelFacts(name, **facts)))
    assert not isinstance(found, Problem), found
    return found.http.url, json.loads(found.http.body), {loss.field: loss.how for loss in found.losses}


def added(name="claude-sonnet-4-5", facts=None, **changes):
    """What `changes` add to the body of a plain request, and what they lose."""
    _, plain, _ = encoded(ASK, name, **(facts or {}))
    _, body, losses = encoded(evolve(ASK, **changes), name, **(facts or {}))
    return {key: value for key, value in body.items() if value != plain.get(key)}, losses


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1/", "https://api.anthropic.com/v1/messages"),
        ("https://other.example/anthropic", "https://other.example/anthropic/v1/messages"),
    ],
)
def test_the_version_is_said_once(base, url):
    assert encoded(ASK, base=base)[0] == url


def test_a_plain_request():
    http = CODEC.encode(ASK, Target(Provider("p", "anthropic", BASE), ModelFacts("claude-sonnet-4-5"))).http
    assert json.loads(http.body) == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64_000,
        "messages": ASKED,
        "stream": False,
    }
    assert http.headers["anthropic-version"] == "2023-06-01"
    assert CODEC.sign(http, Secret("s"), 0.0).headers["x-api-key"] == "s"
    assert CODEC.sign(http, Secret(), 0.0) == http


CALL = ToolCall("a", "f", '{"x": 1}')
OTHER = ToolCall("b", "g", "")
CALLED = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
CALLED_TOO = {"type": "tool_use", "id": "b", "name": "g", "input": {}}


def result(id, said="ok", **beside):
    return {"type": "tool_result", "tool_use_id": id, "content": said, **beside}


ANSWERED = [
    {"role": "user", "content": [text("go")]},
    {"role": "assistant", "content": [CALLED, CALLED_TOO]},
    {"role": "user", "content": [result("a"), result("b")]},
]
SIGNED = {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": CLAUDE}
HIDDEN = {"type": "reasoning.encrypted", "data": "d", "format": CLAUDE}
NEAR, GONE, MADE = How.APPROXIMATED, How.DROPPED, How.EMULATED


@pytest.mark.parametrize(
    ("turns", "said", "losses"),
    [
        pytest.param(
            [user("a"), user("b", "  "), model("c"), user("d")],
            [
                {"role": "user", "content": [text("a"), text("b")]},
                {"role": "assistant", "content": [text("c")]},
                {"role": "user", "content": [text("d")]},
            ],
            {},
            id="neighbours are one turn, and white space is none",
        ),
        pytest.param(
            [
                user("go"),
                model(CALL, OTHER),
                tool(ToolResult("b", "g", "ok")),
                tool(ToolResult("a", "f", "ok")),
            ],
            ANSWERED,
            {},
            id="results stand in the order of the calls",
        ),
        pytest.param(
            [
                user("go"),
                model(CALL, OTHER),
                user("and?"),
                tool(ToolResult("a", "f", "ok"), ToolResult("b", "", "ok")),
            ],
            [*ANSWERED[:2], {"role": "user", "content": [result("a"), result("b"), text("and?")]}],
            {},
            id="results stand before words",
        ),
        pytest.param(
            [user("go"), model(CALL, OTHER), tool(ToolResult("b", "g", ""))],
            [
                *ANSWERED[:2],
                {
                    "role": "user",
                    "content": [
                        result("a", NO_RESULT, is_error=True),
                        {"type": "tool_result", "tool_use_id": "b"},
                    ],
                },
            ],
            {"messages.tool_results": NEAR},
            id="a result that is missing is told as missing",
        ),
        pytest.param(
            [user("go"), model(CALL)],
            [
                ANSWERED[0],
                {"role": "assistant", "content": [CALLED]},
                {"role": "user", "content": [result("a", NO_RESULT, is_error=True)]},
            ],
            {"messages.tool_results": NEAR},
            id="calls at the end have no results",
        ),
        pytest.param(
            [user("go"), tool(ToolResult("z", "f", "22"))],
            [{"role": "user", "content": [text("go"), text("Result of a tool: 22")]}],
            {"messages.tool_results": NEAR},
            id="a result of no call is told in words",
        ),
        pytest.param(
            [
                user("go"),
                model(ToolCall("f:0", "f", "{}")),
                tool(ToolResult("f:0", "f", "ok")),
                model(ToolCall("f:0", "f", "{}"), ToolCall("f:0", "f", "{}")),
                tool(ToolResult("f:0", "f", "1"), ToolResult("f:0", "f", "2")),
            ],
            [
                ANSWERED[0],
                {"role": "assistant", "content": [{**CALLED, "id": "f_0", "input": {}}]},
                {"role": "user", "content": [result("f_0")]},
                {
                    "role": "assistant",
                    "content": [
                        {**CALLED, "id": "f_0_", "input": {}},
                        {**CALLED, "id": "f_0__", "input": {}},
                    ],
                },
                {"role": "user", "content": [result("f_0_", "1"), result("f_0__", "2")]},
            ],
            {},
            id="ids that cannot be sent, or come again, are made anew",
        ),
        pytest.param(
            [user("go"), model(ToolCall("a", "f", '{"x": 1')), tool(ToolResult("a", "f", "ok"))],
            [
                ANSWERED[0],
                {"role": "assistant", "content": [{**CALLED, "input": {"INVALID_JSON": '{"x": 1'}}]},
                {"role": "user", "content": [result("a")]},
            ],
            {"messages.tool_calls.arguments": NEAR},
            id="arguments that are no object are wrapped",
        ),
        pytest.param(
            [
                user("go"),
                model(ToolCall("a", "f", '{"n": 123456789012345678901234567890}')),
                tool(ToolResult("a", "f", "ok")),
            ],
            [
                ANSWERED[0],
                {
                    "role": "assistant",
                    "content": [{**CALLED, "input": {"n": 123456789012345678901234567890}}],
                },
                {"role": "user", "content": [result("a")]},
            ],
            {},
            id="no digit of the arguments is lost",
        ),
        pytest.param(
            [model("Welcome."), user("hi")],
            [
                {"role": "user", "content": [text(BEGINNING)]},
                {"role": "assistant", "content": [text("Welcome.")]},
                {"role": "user", "content": [text("hi")]},
            ],
            {"messages": NEAR},
            id="the user speaks first",
        ),
        pytest.param(
            [user("hi"), model("Once upon ")],
            [ASKED[0], {"role": "assistant", "content": [text("Once upon")]}],
            {},
            id="words to go on with do not end in white space",
        ),
        pytest.param(
            [user("hi"), model(Reasoning("Hm", {FORMAT: [SIGNED, HIDDEN]}), "Hello"), user("more")],
            [
                ASKED[0],
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm", "signature": "s"},
                        {"type": "redacted_thinking", "data": "d"},
                        text("Hello"),
                    ],
                },
                {"role": "user", "content": [text("more")]},
            ],
            {},
            id="signed thinking is given back",
        ),
        pytest.param(
            [user("hi"), model(Reasoning("Hm"), "Hello"), user("more")],
            [
                ASKED[0],
                {"role": "assistant", "content": [text("Hello")]},
                {"role": "user", "content": [text("more")]},
            ],
            {"messages.thinking": GONE},
            id="thinking without a signature is left out",
        ),
        pytest.param(
            [
                user("hi"),
                model(Reasoning("Hm", {FORMAT: [{**HIDDEN, "format": GEMINI}]}), "Hello"),
                user("x"),
            ],
            [
                ASKED[0],
                {"role": "assistant", "content": [text("Hello")]},
                {"role": "user", "content": [text("x")]},
            ],
            {"messages.thinking": GONE},
            id="and so is that of another vendor",
        ),
        pytest.param(
            [
                user(
                    "look",
                    Image(PNG, media_type="image/jpeg"),
                    Image(url="https://x.example/a.jpg", detail="high"),
                )
            ],
            [
                {
                    "role": "user",
                    "content": [
                        text("look"),
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                        },
                        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.jpg"}},
                    ],
                }
            ],
            {"messages.images.detail": GONE},
            id="pictures, of the kind that their bytes tell",
        ),
        pytest.param(
            [
                user(
                    Opaque(
                        "openai.chat",
                        {
                            "type": "file",
                            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                        },
                    ),
                    Opaque(
                        "openai.chat",
                        {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,aGk="}},
                    ),
                )
            ],
            [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                            "title": "a.pdf",
                        },
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
                        },
                    ],
                }
            ],
            {},
            id="files are documents",
        ),
        pytest.param(
            [
                user(
                    Opaque("anthropic.messages", {**text("hi"), "cache_control": {"type": "ephemeral"}}),
                    Opaque("openai.chat", {"type": "input_audio", "input_audio": {"data": "x"}}),
                )
            ],
            [{"role": "user", "content": [{**text("hi"), "cache_control": {"type": "ephemeral"}}]}],
            {"input_audio": GONE},
            id="blocks of this form are kept, those of others lost",
        ),
        pytest.param(
            [evolve(user("hi"), name="ada"), model("x", Image(PNG)), user("y")],
            [
                ASKED[0],
                {"role": "assistant", "content": [text("x")]},
                {"role": "user", "content": [text("y")]},
            ],
            {"messages.name": GONE, "messages.images": GONE},
            id="names, and pictures by the model",
        ),
        pytest.param(
            [system("be kind")],
            [{"role": "user", "content": [text("be kind")]}],
            {"messages.role": NEAR},
            id="a conversation needs a user",
        ),
    ],
)
def test_conversations(turns, said, losses):
    _, body, lost = encoded(ChatRequest("asked", tuple(turns)))
    assert body["messages"] == said
    assert "system" not in body
    assert lost == losses


def test_system_words_stand_apart():
    _, body, losses = encoded(ChatRequest("asked", (system("a"), user("hi"), system("b"), user("ho"))))
    assert body["system"] == [text("a"), text("b")]
    assert body["messages"] == [{"role": "user", "content": [text("hi"), text("ho")]}]
    assert losses == {"messages.role": NEAR}


def test_a_model_that_does_not_go_on_with_its_own_words_is_asked_to():
    turns = (user("hi"), model("Once upon "))
    _, body, losses = encoded(ChatRequest("asked", turns), "claude-opus-4-6")
    assert body["messages"][1:] == [
        {"role": "assistant", "content": [text("Once upon ")]},
        {"role": "user", "content": [text(CONTINUE)]},
    ]
    assert losses == {"messages": NEAR}


@pytest.mark.parametrize(
    "turns", [(), (user(" "),), (model(" "),)], ids=["none", "of the user", "of the model"]
)
def test_a_conversation_that_says_nothing_cannot_be_answered(turns):
    target = Target(Provider("p", "anthropic", BASE), ModelFacts("claude-opus-4-6"))
    assert CODEC.encode(ChatRequest("asked", turns), target).kind is Kind.UNSUPPORTED


@pytest.mark.parametrize(
    ("request_", "subject"),
    [
        pytest.param(EmbedRequest("asked", ("a",)), "embedding", id="embeddings"),
        pytest.param(ChatRequest("asked", prompt=Prompt("def f(", suffix="return x")), "insert", id="a gap"),
    ],
)
def test_what_is_not_offered(request_, subject):
    target = Target(Provider("p", "anthropic", BASE), ModelFacts("m"))
    problem = CODEC.encode(request_, target)
    assert (problem.kind, problem.subject) == (Kind.UNSUPPORTED, subject)


def test_a_prompt_is_a_conversation_of_one_turn():
    prompt = Prompt("hi", system="be kind", images=(Image(PNG),), raw=True, template="t", context=(1,))
    _, body, losses = encoded(ChatRequest("asked", prompt=prompt))
    assert body["system"] == [text("be kind")]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    assert body["messages"] == [{"role": "user", "content": [text("hi"), image]}]
    assert losses == {"raw": MADE, "template": GONE, "context": GONE}


@pytest.mark.parametrize(
    ("name", "facts", "asked", "expected", "losses"),
    [
        pytest.param("claude-3-haiku-20240307", {}, None, 4096, {}, id="the line's own limit"),
        pytest.param("claude-opus-4-6", {}, None, 128_000, {}, id="that of a later line"),
        pytest.param(
            "claude-opus-4-6", {"output_limit": 9000}, None, 9000, {}, id="what is known comes first"
        ),
        pytest.param("somebody-elses", {}, None, 4096, {}, id="nothing is known"),
        pytest.param("claude-opus-4-6", {}, 5, 5, {}, id="asked for"),
        pytest.param("claude-opus-4-6", {}, 0, 1, {}, id="at least one"),
        pytest.param(
            "claude-3-haiku-20240307", {}, 9000, 4096, {"max_tokens": NEAR}, id="more than there is"
        ),
        pytest.param("somebody-elses", {}, 9000, 9000, {}, id="more than nobody knows"),
    ],
)
def test_the_length_of_an_answer_is_always_said(name, facts, asked, expected, losses):
    _, body, lost = encoded(evolve(ASK, sampling=Sampling(max_tokens=asked)), name, **facts)
    assert (body["max_tokens"], lost) == (expected, losses)


ALL = Sampling(temperature=1.5, top_p=0.9, top_k=40, stop=("x", "\n"), seed=1, presence_penalty=0.5)
NONE = Sampling(temperature=1.0, top_p=1.0, presence_penalty=0.0, frequency_penalty=0.0, repeat_penalty=1.0)


@pytest.mark.parametrize(
    ("name", "changes", "expected", "losses"),
    [
        pytest.param(
            "claude-sonnet-4-0",
            {"sampling": ALL},
            {"temperature": 1.0, "top_p": 0.9, "top_k": 40, "stop_sequences": ["x"]},
            {"temperature": NEAR, "stop": NEAR, "seed": GONE, "presence_penalty": GONE},
            id="a line that takes all",
        ),
        pytest.param(
            "claude-sonnet-4-5",
            {"sampling": Sampling(temperature=0.2, top_p=0.9)},
            {"temperature": 0.2},
            {"top_p": GONE},
            id="a line that takes one of two",
        ),
        pytest.param(
            "claude-opus-4-7",
            {"sampling": Sampling(temperature=0.2, top_p=0.9, top_k=3, stop=("x",))},
            {"stop_sequences": ["x"]},
            {"temperature": GONE, "top_p": GONE, "top_k": GONE},
            id="a line that takes none",
        ),
        pytest.param("claude-opus-4-7", {"sampling": NONE}, {}, {}, id="what is usual is no loss"),
        pytest.param(
            "claude-sonnet-4-5",
            {"sampling": Sampling(temperature=0.0, top_k=0, min_p=0.0, stop=(" ",))},
            {"temperature": 0.0},
            {"stop": GONE},
            id="nothing is nothing",
        ),
        pytest.param(
            "claude-sonnet-4-5",
            {
                "sampling": Sampling(min_p=0.1, frequency_penalty=1.0, repeat_penalty=1.1),
                "logprobs": 0,
                "choices": 2,
            },
            {},
            dict.fromkeys(["min_p", "frequency_penalty", "repeat_penalty", "logprobs", "choices"], GONE),
            id="what does not exist",
        ),
        pytest.param(
            "claude-sonnet-4-5",
            {"sampling": Sampling(temperature=0.5, top_p=0.96, top_k=3), "thinking": Thinking(True, "low")},
            {"top_p": 0.96, "thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"temperature": GONE, "top_k": GONE},
            id="while thinking nearly nothing steers",
        ),
    ],
)
def test_sampling(name, changes, expected, losses):
    assert added(name, **changes) == (expected, losses)


ON, OFF = Thinking(True), Thinking(False)


def budget(tokens):
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def adaptive(effort=None, quiet=True):
    thinking = {"type": "adaptive", "display": "summarized"} if quiet else {"type": "adaptive"}
    return {"thinking": thinking, **({"output_config": {"effort": effort}} if effort else {})}


@pytest.mark.parametrize(
    ("name", "thinking", "expected", "losses"),
    [
        pytest.param("claude-sonnet-4-5", None, {}, {}, id="nobody said"),
        pytest.param("claude-sonnet-4-5", OFF, {}, {}, id="off, where it is off anyway"),
        pytest.param("claude-sonnet-4-5", ON, budget(8192), {}, id="on"),
        pytest.param(
            "claude-sonnet-4-5", Thinking(True, "high"), budget(16_384), {}, id="a step, as a budget"
        ),
        pytest.param("claude-sonnet-4-5", Thinking(True, None, 5000), budget(5000), {}, id="a budget"),
        pytest.param(
            "claude-sonnet-4-5", Thinking(True, None, 9), budget(1024), {"thinking": NEAR}, id="too little"
        ),
        pytest.param(
            "claude-sonnet-4-5",
            Thinking(True, None, 99_999),
            budget(63_999),
            {"thinking": NEAR},
            id="too much",
        ),
        pytest.param("claude-opus-4-1", Thinking(True, "max"), budget(25_600), {}, id="words are left"),
        pytest.param("claude-3-5-haiku-latest", ON, {}, {"thinking": GONE}, id="on, at a model that cannot"),
        pytest.param("claude-3-5-haiku-latest", OFF, {}, {}, id="off, at a model that cannot"),
        pytest.param("claude-opus-4-6", ON, adaptive(quiet=False), {}, id="on, as the model sees fit"),
        pytest.param(
            "claude-opus-4-6", Thinking(True, None, 5000), budget(5000), {}, id="a budget, still taken"
        ),
        pytest.param("claude-opus-4-7", ON, adaptive(), {}, id="on, and told in words"),
        pytest.param("claude-opus-4-7", Thinking(True, "max"), adaptive("max"), {}, id="the most"),
        pytest.param(
            "claude-opus-4-7", Thinking(True, "minimal"), adaptive("low"), {"thinking": NEAR}, id="the least"
        ),
        pytest.param(
            "claude-opus-4-7",
            Thinking(True, None, 9000),
            adaptive("medium"),
            {"thinking": NEAR},
            id="a budget, as a step",
        ),
        pytest.param("claude-opus-4-7", OFF, {}, {}, id="off, where it is off unless asked for"),
        pytest.param("claude-opus-5", OFF, {"thinking": {"type": "disabled"}}, {}, id="off, where it is on"),
        pytest.param(
            "claude-sonnet-5-5",
            OFF,
            {"thinking": {"type": "between_tools"}},
            {},
            id="off, under another name",
        ),
        pytest.param(
            "claude-opus-5-5",
            OFF,
            {"output_config": {"effort": "low"}},
            {"thinking": NEAR},
            id="off, where it cannot be",
        ),
        pytest.param("claude-opus-5-5", None, {}, {}, id="nobody said, where it is on"),
        pytest.param(
            "somebody-elses", ON, {**budget(8192), "max_tokens": 12_288}, {}, id="a model of somebody else"
        ),
    ],
)
def test_thinking(name, thinking, expected, losses):
    assert added(name, thinking=thinking) == (expected, losses)


@pytest.mark.parametrize(
    ("most", "thinking", "expected", "losses"),
    [
        (1024, ON, {}, {"thinking": GONE}),
        (2000, ON, budget(1600), {}),
        (2000, Thinking(True, None, 8000), budget(1999), {"thinking": NEAR}),
    ],
)
def test_a_budget_is_part_of_the_answer(most, thinking, expected, losses):
    sampling = Sampling(max_tokens=most)
    assert added(thinking=thinking, sampling=sampling) == ({**expected, "max_tokens": most}, losses)


@pytest.mark.parametrize(
    ("name", "extra", "expected", "losses"),
    [
        pytest.param(
            "claude-sonnet-4-5", {}, None, {"messages.thinking": GONE, "thinking": GONE}, id="not given back"
        ),
        pytest.param("claude-sonnet-4-5", {FORMAT: [SIGNED]}, budget(8192)["thinking"], {}, id="given back"),
        pytest.param(
            "claude-opus-4-6",
            {},
            {"type": "adaptive"},
            {"messages.thinking": GONE},
            id="a line that does not mind",
        ),
    ],
)
def test_a_model_thinks_on_only_with_its_own_thoughts(name, extra, expected, losses):
    turns = (user("go"), model(Reasoning("Hm", extra), CALL), tool(ToolResult("a", "f", "ok")))
    _, body, lost = encoded(ChatRequest("asked", turns, thinking=ON), name)
    assert (body.get("thinking"), lost) == (expected, losses)


WEATHER = Tool("get_weather", "Weather", {"type": "object", "properties": {"city": {"type": "string"}}})
OFFERED = {"name": "get_weather", "description": "Weather", "input_schema": WEATHER.parameters}
BARE = {"type": "object", "properties": {}}


def test_tools_in_the_clients_order():
    found, losses = added(tools=(WEATHER, Tool("f"), Tool("g", parameters={"properties": {"a": {}}})))
    assert found == {
        "tools": [
            OFFERED,
            {"name": "f", "input_schema": BARE},
            {"name": "g", "input_schema": {"properties": {"a": {}}, "type": "object"}},
        ]
    }
    assert losses == {}


@pytest.mark.parametrize(
    ("name", "choice", "parallel", "expected", "losses"),
    [
        pytest.param("claude-sonnet-4-5", None, None, None, {}, id="nobody said"),
        pytest.param("claude-sonnet-4-5", "auto", True, None, {}, id="as usual"),
        pytest.param(
            "claude-sonnet-4-5",
            None,
            False,
            {"type": "auto", "disable_parallel_tool_use": True},
            {},
            id="one by one",
        ),
        pytest.param("claude-sonnet-4-5", "none", False, {"type": "none"}, {}, id="none"),
        pytest.param("claude-sonnet-4-5", "required", None, {"type": "any"}, {}, id="any"),
        pytest.param(
            "claude-sonnet-4-5",
            "named",
            False,
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
            {},
            id="this one",
        ),
        pytest.param("claude-opus-5-5", "required", None, None, {"tool_choice": NEAR}, id="any, in words"),
        pytest.param("claude-opus-5-5", "named", None, None, {"tool_choice": NEAR}, id="this one, in words"),
    ],
)
def test_choices(name, choice, parallel, expected, losses):
    chosen = choice and ToolChoice(choice, "get_weather" if choice == "named" else None)
    found, lost = added(name, tools=(WEATHER,), tool_choice=chosen, parallel_tools=parallel)
    assert (found.get("tool_choice"), lost) == (expected, losses)
    assert ("system" in found) is bool(losses)


def test_a_choice_without_tools_is_none():
    assert added(tool_choice=ToolChoice("required"), parallel_tools=False) == ({}, {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claude-sonnet-4-5", None),
        ("claude-sonnet-5", {"type": "disabled"}),
        ("claude-fable-5", {"type": "adaptive", "display": "summarized"}),
    ],
)
def test_no_model_thinks_while_it_is_made_to_call(name, expected):
    found, losses = added(name, tools=(WEATHER,), tool_choice=ToolChoice("required"), thinking=ON)
    assert found.get("thinking") == expected
    assert losses == ({} if expected and expected["type"] == "adaptive" else {"thinking": GONE})


def test_names_that_cannot_be_sent_are_changed_and_given_back():
    request = evolve(ASK, tools=(Tool("web.search"), Tool("web_search"), Tool("füge hinzu")), stream=True)
    _, body, losses = encoded(evolve(request, messages=(user("x"), model(ToolCall("a", "web.search", "{}")))))
    assert [tool["name"] for tool in body["tools"]] == ["web_search_", "web_search", "f_ge_hinzu"]
    assert body["messages"][1]["content"][0]["name"] == "web_search_"
    assert losses == {"messages.tool_results": NEAR}


def test_strict_tools():
    strict = evolve(WEATHER, strict=True)
    found, losses = added(tools=(strict,))
    assert found["tools"][0]["strict"] is True
    assert found["tools"][0]["input_schema"]["additionalProperties"] is False
    assert losses == {}
    found, losses = added("claude-sonnet-4-0", tools=(strict,))
    assert found == {"tools": [OFFERED]}
    assert losses == {"tools.strict": GONE}


PERSON = {"type": "object", "properties": {"name": {"type": "string"}}}
CLOSED = {**PERSON, "additionalProperties": False}
AGED = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}
TOLD_AGED = {
    "type": "object",
    "properties": {"age": {"type": "integer", "description": "(minimum: 0)"}},
    "additionalProperties": False,
}
ANY = {"type": "object"}
LIST = {"type": "array", "items": PERSON}


def formed(schema):
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def answering(schema):
    tool = {"name": "answer", "description": "Give the answer to the user. This is the only way to answer."}
    return {
        "tools": [{**tool, "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "answer"},
    }


@pytest.mark.parametrize(
    ("name", "schema", "expected", "losses"),
    [
        pytest.param("claude-sonnet-4-5", PERSON, formed(CLOSED), {}, id="structured output"),
        pytest.param("claude-sonnet-4-5", AGED, formed(TOLD_AGED), {"format": NEAR}, id="bounds in words"),
        pytest.param(
            "claude-sonnet-4-5", ANY, answering(ANY), {"format": MADE}, id="a schema it cannot hold to"
        ),
        pytest.param(
            "claude-sonnet-4-0", PERSON, answering(PERSON), {"format": MADE}, id="a model without it"
        ),
    ],
)
def test_schemas(name, schema, expected, losses):
    assert added(name, format=Format(schema, "person", True)) == (expected, losses)


@pytest.mark.parametrize(
    ("name", "schema", "how"),
    [
        pytest.param("claude-sonnet-4-0", LIST, NEAR, id="what no tool can answer"),
        pytest.param("claude-opus-5-5", ANY, NEAR, id="a model that cannot be made to call"),
        pytest.param("claude-sonnet-4-5", None, MADE, id="any JSON"),
    ],
)
def test_what_can_only_be_said_in_words(name, schema, how):
    found, losses = added(name, format=Format(schema))
    (block,) = found.pop("system")
    assert "JSON" in block["text"]
    assert schema is None or json.loads(block["text"].split("\n")[1]) == schema
    assert (found, losses) == ({}, {"format": how})


@pytest.mark.parametrize(
    ("choice", "names", "expected"),
    [
        (None, ["get_weather", "answer"], {"type": "any"}),
        ("none", ["get_weather", "answer"], {"type": "tool", "name": "answer"}),
        ("required", ["get_weather"], {"type": "any"}),
        ("named", ["get_weather"], {"type": "tool", "name": "get_weather"}),
    ],
)
def test_an_answer_by_a_tool_beside_others(choice, names, expected):
    chosen = choice and ToolChoice(choice, "get_weather" if choice == "named" else None)
    found, _ = added("claude-sonnet-4-0", tools=(WEATHER,), tool_choice=chosen, format=Format(PERSON))
    assert [tool["name"] for tool in found["tools"]] == names
    assert found["tool_choice"] == expected


def test_fields_of_this_form_and_of_others():
    extra = {
        "anthropic.messages": {
            "service_tier": "auto",
            "metadata": {"user_id": "old", "x": 1},
            "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        },
        "openai.chat": {"store": True, "stream_options": {}},
        "ollama": {"options": {"num_ctx": 5, "mirostat": 1}, "keep_alive": 5},
    }
    found, losses = added(extra=extra, user="ada", tools=(WEATHER,))
    assert found == {
        "service_tier": "auto",
        "metadata": {"user_id": "ada", "x": 1},
        "tools": [OFFERED, {"type": "web_search_20250305", "name": "web_search"}],
    }
    assert losses == {"store": GONE, "num_ctx": How.MOOT, "mirostat": How.MOOT, "keep_alive": How.MOOT}


def test_a_request_of_another_form_is_built_anew():
    request = evolve(ASK, source=Source("openai.chat", {"model": "asked", "messages": []}))
    assert encoded(request)[1]["messages"] == ASKED


def test_a_stream_is_asked_for():
    target = Target(Provider("p", "anthropic", BASE), ModelFacts("m"))
    http = CODEC.encode(evolve(ASK, stream=True), target).http
    assert json.loads(http.body)["stream"] is True
    assert http.headers["accept"] == "text/event-stream"


def test_models_are_listed():
    http = CODEC.list_models(Provider("p", "anthropic", BASE))
    assert (http.method, http.url) == ("GET", f"{BASE}/v1/models?limit=1000")
    assert http.headers["anthropic-version"] == "2023-06-01"


def test_what_newer_lists_tell_is_read():
    entry = {
        "type": "model",
        "id": "claude-opus-5-5",
        "created_at": "2026-09-22T00:00:00Z",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
        "capabilities": {
            "image_input": {"supported": True},
            "thinking": {"supported": True},
            "batch": {"supported": True},
            "citations": None,
        },
    }
    assert CODEC.models(json.dumps({"data": [entry, {"id": 5}, "x"]}).encode()) == (
        ModelFacts(
            "claude-opus-5-5",
            frozenset({"completion", "tools", "vision", "thinking"}),
            1_000_000,
            output_limit=128_000,
            modified_at="2026-09-22T00:00:00Z",
        ),
    )


@pytest.mark.parametrize(
    ("who", "kept"),
    [
        pytest.param("user-1", True, id="a name that tells nobody"),
        pytest.param("123e4567-e89b-12d3-a456-426614174000", True, id="a number of many letters"),
        pytest.param("1234567890", True, id="a plain number"),
        pytest.param("x" * 256, True, id="the longest"),
        pytest.param("x" * 257, False, id="too long"),
        pytest.param("bob@example.com", False, id="an address"),
        pytest.param("Bob <bob@example.com>", False, id="an address with a name"),
        pytest.param("+49 (170) 123-4567", False, id="a telephone number"),
    ],
)
def test_who_asks_is_told_by_a_name_that_is_taken(who, kept):
    found, losses = added(user=who)
    told = found["metadata"]["user_id"]
    assert losses == ({} if kept else {"user": NEAR})
    assert (told == who) if kept else (len(told) == 32 and told == added(user=who)[0]["metadata"]["user_id"])


def test_words_to_go_on_with_are_not_taken_beside_a_form_of_the_answer():
    turns = (user("hi"), model("{"))
    request = ChatRequest("asked", turns, format=Format(CLOSED))
    _, body, losses = encoded(request)
    assert body["messages"][-1] == {"role": "user", "content": [text(CONTINUE)]}
    assert losses == {"messages": NEAR}


def test_the_sampler_that_is_at_its_default_gives_way():
    assert added(sampling=Sampling(temperature=1.0, top_p=0.5)) == ({"top_p": 0.5}, {})


def test_a_result_of_white_space_is_one_of_nothing():
    turns = (user("hi"), model(CALL), tool(ToolResult("a", "f", " \n")))
    _, body, losses = encoded(ChatRequest("asked", turns))
    assert body["messages"][-1]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]
    assert losses == {}


@pytest.mark.parametrize("role", [Role.USER, Role.TOOL])
def test_a_picture_of_a_kind_that_is_not_taken_is_for_another_model(role):
    bmp = Image(base64.b64encode(b"BM" + b"0" * 30).decode(), media_type="image/png")
    request = ChatRequest("asked", (user("hi"), Message(role, (bmp,))))
    found = CODEC.encode(request, Target(Provider("p", "anthropic", BASE), ModelFacts("claude-sonnet-4-5")))
    assert (found.kind, found.subject, found.target) == (
        Kind.UNSUPPORTED,
        "image type",
        "p/claude-sonnet-4-5",
    )


def test_another_word_for_jpeg():
    request = ChatRequest("asked", (Message(Role.USER, (Image("AAAA", media_type="image/JPG"),)),))
    (block,) = encoded(request)[1]["messages"][0]["content"]
    assert block["source"]["media_type"] == "image/jpeg"


SEALED = {"type": "reasoning.text", "text": "hm", "signature": "S", "format": CLAUDE, "index": 0}
THOUGHT = Reasoning("hm", {FORMAT: [SEALED]})


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        pytest.param(
            (user("a"), model(THOUGHT), user("b")),
            [{"role": "user", "content": [text("a"), text("b")]}],
            id="a turn of nothing else is none",
        ),
        pytest.param(
            (user("a"), model("x"), model(THOUGHT), user("b")),
            [
                {"role": "user", "content": [text("a")]},
                {"role": "assistant", "content": [text("x")]},
                {"role": "user", "content": [text("b")]},
            ],
            id="behind words of the same turn",
        ),
        pytest.param(
            (user("a"), model(THOUGHT, Text("x "))),
            [{"role": "user", "content": [text("a")]}, {"role": "assistant", "content": [text("x")]}],
            id="before words to go on with",
        ),
    ],
)
def test_thoughts_that_are_refused_where_they_stand_are_left_out(turns, said):
    _, body, losses = encoded(ChatRequest("asked", turns))
    assert (body["messages"], losses) == (said, {"messages.thinking": GONE})


def test_a_turn_of_thoughts_alone_says_nothing_to_be_answered():
    target = Target(Provider("p", "anthropic", BASE), ModelFacts("claude-sonnet-4-5"))
    found = CODEC.encode(ChatRequest("asked", (model(THOUGHT),)), target)
    assert (found.kind, found.subject) == (Kind.UNSUPPORTED, "empty messages")


@pytest.mark.parametrize("value", [0, -1])
def test_no_limit_of_candidates_is_not_said(value):
    assert added(sampling=Sampling(top_k=value)) == ({}, {})


A, B = (
    {"type": "object", "properties": {name: {"type": "string"}, "z": {}}, "required": [name, "z"]}
    for name in "ab"
)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param(
            {"anyOf": [A, B]},
            {"properties": {"b": {"type": "string"}, "z": {}, "a": {"type": "string"}}, "required": ["z"]},
            id="one of several",
        ),
        pytest.param(
            {"allOf": [A, B], "title": "T"},
            {
                "title": "T",
                "properties": {"b": {"type": "string"}, "z": {}, "a": {"type": "string"}},
                "required": ["a", "b", "z"],
            },
            id="all at once",
        ),
        pytest.param(
            {
                "oneOf": [{"$ref": "#/$defs/A"}, 1, {"$ref": "#/x"}],
                "$defs": {"A": A},
                "properties": {"a": {}},
            },
            {"$defs": {"A": A}, "properties": {"a": {}, "z": {}}},
            id="by reference, and what is none",
        ),
        pytest.param({"anyOf": None}, {"properties": {}}, id="what is no list"),
    ],
)
def test_a_tools_schema_has_no_alternatives_at_its_root(schema, expected):
    found, losses = added(tools=(Tool("f", "Does it.", schema),))
    (sent,) = found["tools"]
    assert sent["input_schema"] == {**expected, "type": "object"}
    words = sent["description"].removeprefix("Does it.\nThe input fits this JSON schema: ")
    assert (json.loads(words), losses) == (schema, {"tools": NEAR})
