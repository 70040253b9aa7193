"""Requests in Anthropic's form: what is read, what is refused, and what goes out again as it came."""

import base64
import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects.anthropic_chat import counted, read_counted
from adapters.dialects.anthropic_details import packed, unpacked
from adapters.providers.anthropic import CODEC
from pipeline.values.messages import (
    ChatRequest,
    Format,
    Image,
    Message,
    Opaque,
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
from pipeline.values.sizes import input_tokens
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.dialects.calls import ID, post, read
from tests.adapters.providers.recorded import EVERY

PATH = "/v1/messages"
FORMAT = "anthropic.messages"
HI = [{"role": "user", "content": "hi"}]
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()
MARK = {"type": "ephemeral"}
CACHED = {"cache_control": MARK}
# The vendor refused a message that is none, and so do we.
SHAPELESS = "anthropic.messages-json-012"
SENT = [found for found in EVERY if found.api == "anthropic.messages" and found.request]
RECORDED = [found for found in SENT if found.id != SHAPELESS]


def body(**fields):
    return {"model": "m", "max_tokens": 99, "messages": HI, **fields}


def asked(**fields):
    request = read(PATH, body(**fields))
    assert isinstance(request, ChatRequest), request
    return request


def said(*blocks, role="user"):
    """The messages that one turn of these blocks is read as."""
    return asked(messages=[{"role": role, "content": list(blocks)}]).messages


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"stream": True}, {"stream": True}, id="a stream"),
        pytest.param(
            {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["a", "b"]},
            {"sampling": Sampling(99, 0.5, 0.9, 5, stop=("a", "b"))},
            id="sampling",
        ),
        pytest.param({"metadata": {"user_id": "u"}}, {"user": "u"}, id="the user"),
        pytest.param(
            {"metadata": {"user_id": "u", "team": "t"}},
            {"user": "u", "extra": {FORMAT: {"metadata": {"team": "t"}}}},
            id="what else the metadata say",
        ),
        pytest.param(
            {"service_tier": "auto", "container": None},
            {"extra": {FORMAT: {"service_tier": "auto"}}},
            id="fields nobody else knows",
        ),
        pytest.param(
            {
                "tools": [
                    {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}
                ]
            },
            {"tools": (Tool("f", "d", {"type": "object"}, True),)},
            id="a tool",
        ),
        pytest.param(
            {"tools": [{"type": "custom", "name": "f", "input_schema": {}, "input_examples": [{}]}]},
            {"tools": (Tool("f", None, {}),), "extra": {"anthropic.beside": {"tools.input_examples": True}}},
            id="what a tool has beside",
        ),
        pytest.param(
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            {
                "extra": {FORMAT: {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}},
                "stateful": True,
            },
            id="a tool of the vendor's",
        ),
        pytest.param({"tool_choice": {"type": "auto"}}, {"tool_choice": ToolChoice("auto")}, id="auto"),
        pytest.param({"tool_choice": {"type": "none"}}, {"tool_choice": ToolChoice("none")}, id="none"),
        pytest.param(
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {"tool_choice": ToolChoice("required"), "parallel_tools": False},
            id="one call at a time",
        ),
        pytest.param(
            {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": False}},
            {"tool_choice": ToolChoice("named", "f"), "parallel_tools": True},
            id="a tool by name",
        ),
        pytest.param(
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"thinking": Thinking(True, None, 2000, wish=True)},
            id="a budget",
        ),
        pytest.param({"thinking": {"type": "disabled"}}, {"thinking": Thinking(False)}, id="no thinking"),
        pytest.param(
            {"thinking": {"type": "adaptive"}}, {"thinking": Thinking(True, wish=True)}, id="as it sees fit"
        ),
        pytest.param(
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
            {"thinking": Thinking(True, "max", wish=True)},
            id="with an effort",
        ),
        pytest.param(
            {"output_config": {"effort": "low"}},
            {"thinking": Thinking(True, "low", wish=True)},
            id="an effort",
        ),
        pytest.param(
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            {"thinking": Thinking(False), "extra": {FORMAT: {"output_config": {"effort": "low"}}}},
            id="an effort without thinking",
        ),
        pytest.param(
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "x": 1}},
            {"format": Format({"type": "object"}), "extra": {FORMAT: {"output_config": {"x": 1}}}},
            id="a schema",
        ),
        pytest.param(
            {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
            {"format": Format({"type": "object"})},
            id="a schema of old",
        ),
    ],
)
def test_fields(fields, expected):
    request = asked(**fields)
    plain = evolve(request, source=None)
    least = ChatRequest("m", (Message(Role.USER, (Text("hi"),)),), sampling=Sampling(99))
    assert plain == evolve(least, **expected)


@pytest.mark.parametrize(
    ("system", "parts"),
    [
        pytest.param("be kind", (Text("be kind"),), id="a text"),
        pytest.param(
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            (Text("a"), Text("b")),
            id="blocks",
        ),
    ],
)
def test_instructions(system, parts):
    assert asked(system=system).messages[0] == Message(Role.SYSTEM, parts)


def test_no_instructions_are_none():
    assert [message.role for message in asked(system="").messages] == [Role.USER]


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        pytest.param({"type": "text", "text": "a", **CACHED}, (Text("a", cache=MARK),), id="text"),
        pytest.param(
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PIXEL}},
            (Image(PIXEL, media_type="image/png"),),
            id="a picture, of the type that its bytes tell",
        ),
        pytest.param(
            {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
            (Image(url="https://x.example/a.png"),),
            id="a picture by address",
        ),
        pytest.param(
            {"type": "image", "source": {"type": "file", "file_id": "f"}},
            (Opaque(FORMAT, {"type": "image", "source": {"type": "file", "file_id": "f"}}),),
            id="a picture that lies at the vendor's",
        ),
        pytest.param(
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            },
            (
                Opaque(
                    "openai.chat",
                    {
                        "type": "file",
                        "file": {
                            "filename": "document.pdf",
                            "file_data": "data:application/pdf;base64,JVBERg==",
                        },
                    },
                ),
            ),
            id="a file",
        ),
        pytest.param(
            {
                "type": "document",
                "title": "T",
                "source": {"type": "text", "media_type": "text/plain", "data": "w"},
            },
            (Text("T\nw"),),
            id="a document of words",
        ),
        pytest.param(
            {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "dw=="}},
            (Text("w"),),
            id="a document of words in base64",
        ),
        pytest.param(
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "w"}]}},
            (Text("w"),),
            id="a document of blocks",
        ),
        pytest.param(
            {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
            (
                Opaque(
                    FORMAT, {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}}
                ),
            ),
            id="a document that the vendor fetches",
        ),
        pytest.param(
            {
                "type": "search_result",
                "title": "T",
                "source": "S",
                "content": [{"type": "text", "text": "w"}],
            },
            (Text("T\n"), Text("S\n"), Text("w")),
            id="what a search found",
        ),
        pytest.param(
            {"type": "container_upload", "file_id": "f"},
            (Opaque(FORMAT, {"type": "container_upload", "file_id": "f"}),),
            id="what nobody else knows",
        ),
    ],
)
def test_blocks(block, parts):
    assert said(block) == (Message(Role.USER, parts),)


def test_thinking_is_read_with_what_proves_it():
    text = {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "anthropic-claude-v1"}
    hidden = {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1"}
    foreign = {"type": "reasoning.encrypted", "data": "g", "id": "c1", "format": "google-gemini-v1"}
    (turn,) = said(
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "redacted_thinking", "data": packed(foreign)},
        {"type": "thinking", "thinking": "bare", "signature": ""},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1.0}},
        role="assistant",
    )
    assert turn.parts == (
        Reasoning("Hm", {"reasoning_details": [text]}),
        Reasoning("", {"reasoning_details": [hidden]}),
        Reasoning("", {"reasoning_details": [foreign]}),
        Reasoning("bare"),
        ToolCall("c1", "f", '{"a":1.0}'),
    )


def test_details_of_another_vendor_belong_to_the_thinking_before_them():
    details = [{"data": str(number), "format": "openai-responses-v1"} for number in range(2)]
    carried = [{"type": "redacted_thinking", "data": packed(detail)} for detail in details]
    (turn,) = said({"type": "thinking", "thinking": "Hm", "signature": ""}, *carried, role="assistant")
    assert turn.parts == (Reasoning("Hm", {"reasoning_details": details}),)


# Nobody could be told what nests so deep.
DEEP = "carried:" + base64.urlsafe_b64encode(b'{"a":' + b"[" * 300 + b"]" * 300 + b"}").decode()


@pytest.mark.parametrize("data", ["carried:", "carried:!!!!", "carried:W10=", "EvgF", DEEP])
def test_what_is_not_carried_is_none_of_ours(data):
    assert unpacked(data) is None


def test_results_stand_before_the_users_words():
    calls = [
        {"type": "tool_use", "id": id, "name": name, "input": {}} for id, name in (("a", "f"), ("b", "g"))
    ]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    texts = [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}, picture]
    request = asked(
        messages=[
            *HI,
            {"role": "assistant", "content": calls},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "b", "content": "no", "is_error": True},
                    {"type": "text", "text": "go on"},
                    {"type": "tool_result", "tool_use_id": "a", "content": texts},
                ],
            },
        ]
    )
    assert request.messages[2:] == (
        Message(Role.TOOL, (ToolResult("b", "g", "no", True),)),
        Message(Role.TOOL, (ToolResult("a", "f", "1\n2"), Image(PIXEL, media_type="image/png"))),
        Message(Role.USER, (Text("go on"),)),
    )
    assert request.extra == {}


def test_marks_of_the_cache_stay_where_they_are():
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    tool = {"name": "f", "input_schema": {}}
    hour = {"type": "ephemeral", "ttl": "1h"}
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}, **CACHED}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "1", **CACHED}
    request = asked(
        system=[{"type": "text", "text": "a", "cache_control": hour}, {"type": "text", "text": "b"}],
        tools=[tool, {**tool, **CACHED}],
        messages=[
            {"role": "user", "content": [{"type": "document", "source": pdf, **CACHED}]},
            {"role": "assistant", "content": [use]},
            {
                "role": "user",
                "content": [result, {"type": "image", "source": {**pdf, "media_type": "x"}, **CACHED}],
            },
        ],
    )
    marks = [part.cache for turn in request.messages for part in turn.parts]
    assert marks == [hour, None, MARK, MARK, MARK, MARK]
    assert [tool.cache for tool in request.tools] == [None, MARK]
    assert request.extra == {"anthropic.beside": {"cache_control": True}}


def test_a_mark_on_the_request_is_a_field_of_its_own():
    assert asked(**CACHED).extra == {FORMAT: CACHED}


def test_a_request_that_was_rewritten_keeps_its_marks():
    system = [{"type": "text", "text": "a", **CACHED}]
    content = [{"type": "text", "text": "b", **CACHED}]
    tools = [{"name": "f", "input_schema": {"type": "object"}, **CACHED}]
    request = asked(system=system, messages=[{"role": "user", "content": content}], tools=tools)
    encoded = CODEC.encode(request.rewritten(), TARGET)
    sent = json.loads(encoded.http.body)
    assert (sent["system"], sent["messages"], sent["tools"]) == (
        system,
        [{"role": "user", "content": content}],
        tools,
    )
    assert "cache_control" not in sent
    assert encoded.losses == ()


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        pytest.param({"model": None}, "model", id="no model"),
        pytest.param({"model": "a//b"}, "model", id="no name"),
        pytest.param({"max_tokens": None}, "max_tokens", id="no limit"),
        pytest.param({"max_tokens": 0}, "max_tokens", id="a limit of nothing"),
        pytest.param({"max_tokens": "1"}, "max_tokens", id="a limit that is no number"),
        pytest.param({"messages": []}, "messages", id="no messages"),
        pytest.param({"messages": "hi"}, "messages", id="messages that are none"),
        pytest.param(
            {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", id="a strange role"
        ),
        pytest.param({"messages": [{"role": "user"}]}, "messages[0].content", id="nothing said"),
        pytest.param(
            {"messages": [{"role": "user", "content": 5}]}, "messages[0].content", id="content of no kind"
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages[0].content[0].type",
            id="a block of no type",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            id="a text of nothing",
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "base64", "data": "?"}}],
                    }
                ]
            },
            "messages[0].content[0].source.data",
            id="a picture that is none",
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "url", "url": "file:x"}}],
                    }
                ]
            },
            "messages[0].content[0].source.url",
            id="a picture on our own disk",
        ),
        pytest.param(
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "input": {}}]}]},
            "messages[0].content[0].name",
            id="a call of nothing",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
            "messages[0].content[0].tool_use_id",
            id="a result of nothing",
        ),
        pytest.param({"tools": [{"input_schema": {}}]}, "tools[0].name", id="a tool without a name"),
        pytest.param({"tool_choice": {"type": "all"}}, "tool_choice.type", id="a strange choice"),
        pytest.param({"thinking": {"type": "on"}}, "thinking.type", id="strange thinking"),
        pytest.param({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", id="no budget"),
        pytest.param({"output_config": {"effort": "huge"}}, "output_config.effort", id="a strange effort"),
        pytest.param(
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema",
            id="no schema",
        ),
        pytest.param({"stop_sequences": "x"}, "stop_sequences", id="stops that are no list"),
        pytest.param({"api_key": "x"}, "api_key", id="what clients may not say"),
    ],
)
def test_faults_name_their_field(fields, subject):
    problem = read(PATH, body(**fields))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.subject) == (Kind.BAD_REQUEST, subject)
    assert problem.detail


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        pytest.param({"anthropic-version": "2020-01-01"}, "anthropic-version", id="a version of nobody's"),
        pytest.param({"anthropic-beta": "a\u00e9"}, "anthropic-beta", id="a beta that is no name"),
    ],
)
def test_headers_are_judged(headers, subject):
    problem = read(PATH, body(), **headers)
    assert isinstance(problem, Problem)
    assert problem.subject == subject


TARGET = Target(Provider("p", "anthropic", "https://api.example"), ModelFacts("claude-sonnet-4-5"))


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_either_version_may_sample(version):
    assert read(PATH, body(top_k=3), **{"anthropic-version": version}).sampling.top_k == 3


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_version_and_betas_go_with_the_body_they_belong_to(version):
    request = read(PATH, body(), **{"anthropic-version": version, "anthropic-beta": "a-1,b-2"})
    sent = CODEC.encode(request, TARGET).http.headers
    assert (sent["anthropic-version"], sent["anthropic-beta"]) == (version, "a-1,b-2")
    sent = CODEC.encode(request.rewritten(), TARGET).http.headers
    assert sent["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in sent


@pytest.mark.parametrize("found", RECORDED, ids=lambda found: found.id)
def test_recorded_requests_go_out_as_they_came(found):
    request = read(PATH, found.request)
    assert isinstance(request, ChatRequest), request
    encoded = CODEC.encode(request, TARGET)
    assert json.loads(encoded.http.body) == {**found.request, "model": "claude-sonnet-4-5"}
    assert encoded.losses == ()


@pytest.mark.parametrize(
    "found", [found for found in RECORDED if found.status == 200], ids=lambda found: found.id
)
def test_recorded_requests_say_the_same_when_they_are_built_anew(found):
    """Without the client's own JSON the codec says it from what was read."""
    request = read(PATH, found.request)
    target = Target(TARGET.provider, ModelFacts(found.request["model"]))
    encoded = CODEC.encode(request.rewritten(), target)
    sent = json.loads(encoded.http.body)
    assert texts(sent["messages"]) == texts(found.request["messages"])
    assert texts([{"content": sent.get("system", [])}]) == texts(
        [{"content": found.request.get("system", [])}]
    )
    assert [tool["name"] for tool in sent.get("tools", [])] == [
        tool["name"] for tool in found.request.get("tools") or []
    ]


SAYS = {"text": "text", "tool_use": "input", "tool_result": "tool_use_id", "thinking": "signature"}


def test_a_recorded_request_that_the_vendor_refused_for_its_shape():
    (found,) = (found for found in SENT if found.id == SHAPELESS)
    assert read(PATH, found.request).subject == "messages[0]"


def texts(messages):
    """What blocks of all turns say, by type."""
    found = []
    for message in messages:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            match block:
                case {"type": "document", "title": title, "source": {"type": "text", "data": words}}:
                    # A document of words is told as these.
                    found.append(("text", f"{title}\n{words}"))
                case {"type": kind}:
                    found.append((kind, block.get(SAYS.get(kind, "type"))))
    return found


def test_thinking_that_no_claude_gave_is_not_given_to_one():
    foreign = {"type": "redacted_thinking", "data": packed({"format": "google-gemini-v1", "data": "x"})}
    bare, text = {"type": "thinking", "thinking": "a", "signature": ""}, {"type": "text", "text": "b"}
    signed = {"type": "thinking", "thinking": "a", "signature": "s"}
    history = [
        *HI,
        {"role": "assistant", "content": [foreign, bare, signed, text]},
        *HI,
        {"role": "assistant", "content": [bare]},
        *HI,
    ]
    request = asked(messages=history)
    sent = json.loads(CODEC.encode(request, TARGET).http.body)
    assert sent["messages"] == [*HI, {"role": "assistant", "content": [signed, text]}, *HI, *HI]
    assert request.source.format == FORMAT


def test_an_error_of_a_tool_is_told_as_one():
    history = [
        *HI,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "a", "content": "no", "is_error": True}],
        },
    ]
    sent = json.loads(CODEC.encode(asked(messages=history).rewritten(), TARGET).http.body)
    assert sent["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, *history[1:]]


def to_be_counted(fields):
    return read_counted(post("/v1/messages/count_tokens", fields))


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        pytest.param({}, 9, id="two letters"),
        pytest.param({"system": "x" * 40}, 27, id="instructions"),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}],
                    }
                ]
            },
            1608,
            id="a picture",
        ),
        pytest.param(
            {"tools": [{"name": "f" * 8, "description": "d" * 8, "input_schema": {}}]}, 13, id="a tool"
        ),
    ],
)
def test_tokens_are_guessed(fields, tokens):
    assert input_tokens(to_be_counted({"model": "m", "messages": HI, **fields})) == tokens


def test_a_count_says_who_counted():
    answer = counted(12, "estimate", ID)
    assert (answer.head.status, answer.head.headers["x-token-count"]) == (200, "estimate")
    assert answer.head.headers["request-id"].startswith("req_")
    assert json.loads(answer.body) == {"input_tokens": 12}


def test_a_count_of_nothing_is_refused():
    problem = to_be_counted({"model": "m"})
    assert (problem.kind, problem.detail) == (Kind.BAD_REQUEST, "messages is required")


def test_what_is_for_who_sends_the_bill_is_told_no_model():
    bill = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2;"}
    request = asked(system=[bill, {"type": "text", "text": "be kind"}])
    assert request.messages[0] == Message(Role.SYSTEM, (Text("be kind"),))
    assert request.source.body["system"][0] == bill


NAMES = [
    *("messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "metadata"),
    *("max_tokens", "stop_sequences", "stream", "temperature", "top_k", "cache_control", "container"),
]
INNER = [
    *(
        "type",
        "role",
        "content",
        "text",
        "source",
        "data",
        "url",
        "media_type",
        "title",
        "citations",
        "id",
        "name",
    ),
    *(
        "input",
        "tool_use_id",
        "is_error",
        "thinking",
        "signature",
        "cache_control",
        "effort",
        "format",
        "schema",
    ),
]
WORDS = [
    *(
        "user",
        "assistant",
        "text",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "thinking",
        "base64",
        "url",
    ),
    *("redacted_thinking", "search_result", "content", "application/pdf", "text/plain", "aGk=", "enabled"),
]
PLAIN = st.none() | st.booleans() | st.integers(-3, 30) | st.floats(allow_nan=False) | st.sampled_from(WORDS)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(INNER), inner, max_size=5),
    max_leaves=10,
)
BLOCKS = st.lists(st.dictionaries(st.sampled_from(INNER), NESTED, max_size=6), max_size=3)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": BLOCKS | NESTED}),
    max_size=3,
)


@settings(max_examples=150)
@given(turns=TURNS, fields=st.dictionaries(st.sampled_from(NAMES), NESTED, max_size=4))
def test_whatever_is_sent_is_read_or_refused(turns, fields):
    value = read(PATH, {**body(**fields), **({"messages": turns} if turns else {})})
    if isinstance(value, Problem):
        assert value.kind is Kind.BAD_REQUEST
        assert value.detail
    else:
        encoded = CODEC.encode(value, TARGET)
        assert isinstance(encoded, Problem) or json.loads(encoded.http.body)["model"] == "claude-sonnet-4-5"
