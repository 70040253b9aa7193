"""What becomes of each thing a client can ask, at each kind of provider: asked of the codecs, not written down.

Each feature is one request that asks for nothing else. A codec encodes it for a model of its kind, and what it reports
and what it sends tell the verdict. `page` renders docs/fidelity.md.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import orjson
from attrs import evolve, field, frozen

from pipeline.ports import Codec, Encoded
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
from pipeline.values.problems import Problem
from pipeline.values.targets import Capability, ModelFacts, Provider, Target


class Verdict(StrEnum):
    """What becomes of a feature, best first.

    `KEPT`: said as the client said it; `MAPPED`: said whole in other words. `IMPLIED`: not said, as it is so anyway.
    `MOOT`: it is about an engine the provider does not show. `REFUSED`: the provider is not asked.
    """

    KEPT = "kept"
    MAPPED = "mapped"
    IMPLIED = "implied"
    MOOT = "moot"
    EMULATED = "emulated"
    APPROXIMATED = "approximated"
    DROPPED = "dropped"
    REFUSED = "refused"


_OF_LOSS: Mapping[How, Verdict] = {
    How.MOOT: Verdict.MOOT,
    How.EMULATED: Verdict.EMULATED,
    How.APPROXIMATED: Verdict.APPROXIMATED,
    How.DROPPED: Verdict.DROPPED,
}
_WORST_LAST = tuple(Verdict)

# A model of each kind, or several where its lines take different things. The first that embeds is named apart.
TALKERS: Mapping[str, tuple[str, ...]] = {
    "ollama": ("qwen3",),
    "openai": ("gpt-4.1", "gpt-5.1", "gpt-5-codex"),
    "anthropic": ("claude-sonnet-4-5",),
    "google": ("gemini-2.5-flash",),
    "openrouter": ("anthropic/claude-sonnet-4.5",),
    "azure": ("gpt-4.1",),
    "aws_bedrock": ("anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"),
}
EMBEDDERS: Mapping[str, str] = {
    "ollama": "nomic-embed-text",
    "openai": "text-embedding-3-small",
    "google": "gemini-embedding-001",
    "openrouter": "openai/text-embedding-3-small",
    "azure": "text-embedding-3-small",
    "aws_bedrock": "amazon.titan-embed-text-v2:0",
}
_ANY = "model"
_TALKS: frozenset[Capability] = frozenset(("completion", "tools", "vision", "thinking"))
_EMBEDS: frozenset[Capability] = frozenset(("embedding",))
_SETTINGS = {"region": "us-east-1"}

_PICTURE = "iVBORw0KGgoAAAANSUhEUgAA"
_ADDRESS = "https://example.com/picture.png"
_SCHEMA = {"type": "object", "properties": {"marked": {"type": "string"}}, "required": ["marked"]}
_HI = Message(Role.USER, (Text("hi"),))
_PLAIN = ChatRequest("asked", (_HI,))
_TOOLS = (Tool("first", "the first", _SCHEMA), Tool("second", "the second", {"type": "object"}))
_OFFERED = evolve(_PLAIN, tools=_TOOLS)
_CALLED = (
    _HI,
    Message(Role.ASSISTANT, (ToolCall("call_marked", "first", '{"marked":"a"}'),)),
    Message(Role.TOOL, (ToolResult("call_marked", "first", "the answer"),)),
)
_EMBED = EmbedRequest("asked", ("a text",))

Asked = ChatRequest | EmbedRequest


@frozen
class Feature:
    """One thing to ask for. `without`: the same request without it. `marks`: its own words, which tell that it was kept."""

    name: str
    request: Asked
    without: Asked
    marks: tuple[Any, ...] = ()


@frozen
class Group:
    """Features that are shown together."""

    name: str
    features: tuple[Feature, ...]


@frozen
class Column:
    """A model of a kind of provider, and what becomes of each feature there."""

    kind: str
    model: str
    verdicts: Mapping[str, Verdict] = field(factory=dict)


def _told(name: str, *marks: Any, **changes: Any) -> Feature:
    return Feature(name, evolve(_PLAIN, **changes), _PLAIN, marks)


def _turn(name: str, *marks: Any, turns: tuple[Message, ...]) -> Feature:
    return Feature(name, ChatRequest("asked", turns), _PLAIN, marks)


def _said(name: str, part: Any, *marks: Any) -> Feature:
    return _turn(name, *marks, turns=(Message(Role.USER, (Text("hi"), part)),))


def _tool(name: str, *marks: Any, **changes: Any) -> Feature:
    return Feature(name, evolve(_OFFERED, **changes), _OFFERED, marks)


def _sampled(name: str, **option: Any) -> Feature:
    ((_, value),) = option.items()
    marks = tuple(value) if isinstance(value, tuple) else (value,)
    return _told(name, *marks, sampling=Sampling(**option))


def _chat_field(name: str, value: Any) -> Feature:
    return _told(f"`{name}` (OpenAI)", value, extra={"openai.chat": {name: value}})


def _ollama_option(name: str, value: Any) -> Feature:
    return _told(f"`{name}` (Ollama)", value, extra={"ollama": {"options": {name: value}}})


CONVERSATION = Group(
    "Conversation",
    (
        _turn("system", "be kind", turns=(Message(Role.SYSTEM, (Text("be kind"),)), _HI)),
        _turn(
            "system in the middle",
            "be brief",
            turns=(
                _HI,
                Message(Role.ASSISTANT, (Text("Hello"),)),
                Message(Role.SYSTEM, (Text("be brief"),)),
                _HI,
            ),
        ),
        _turn("several turns", "Hello", turns=(_HI, Message(Role.ASSISTANT, (Text("Hello"),)), _HI)),
        _turn("names of speakers", "eve", turns=(evolve(_HI, name="eve"),)),
        _said("picture by data", Image(_PICTURE, media_type="image/png"), _PICTURE),
        _said("picture by address", Image(url=_ADDRESS), _ADDRESS),
        _said(
            "file",
            Opaque(
                "openai.chat",
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                },
            ),
            "JVBERg==",
        ),
        _said(
            "spoken words",
            Opaque(
                "openai.chat", {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
            ),
            "UklGRg==",
        ),
        _turn(
            "bare thinking of an earlier turn",
            "I thought",
            turns=(_HI, Message(Role.ASSISTANT, (Reasoning("I thought"), Text("Hello"))), _HI),
        ),
    ),
)
TOOLS = Group(
    "Tools",
    (
        _told("functions", "first", "the second", tools=_TOOLS),
        _told("strict functions", True, tools=(Tool("first", None, _SCHEMA, True),)),
        _tool("choice: auto", "auto", tool_choice=ToolChoice("auto")),
        _tool("choice: none", "none", tool_choice=ToolChoice("none")),
        _tool("choice: required", "required", tool_choice=ToolChoice("required")),
        _tool("choice: one by name", tool_choice=ToolChoice("named", "second")),
        _tool("one call at a time", parallel_tools=False),
        Feature(
            "calls and results", evolve(_OFFERED, messages=_CALLED), _OFFERED, ("call_marked", "the answer")
        ),
        Feature(
            "failure of a tool (`is_error`)",
            evolve(
                _OFFERED,
                messages=(
                    *_CALLED[:-1],
                    Message(Role.TOOL, (ToolResult("call_marked", "first", "the answer", failed=True),)),
                ),
            ),
            evolve(_OFFERED, messages=_CALLED),
        ),
        Feature(
            "picture in a result",
            evolve(
                _OFFERED,
                messages=(
                    *_CALLED[:-1],
                    Message(Role.TOOL, (*_CALLED[-1].parts, Image(_PICTURE, media_type="image/png"))),
                ),
            ),
            evolve(_OFFERED, messages=_CALLED),
            (_PICTURE,),
        ),
    ),
)
THINKING = Group(
    "Thinking",
    (
        _told("on", thinking=Thinking(True)),
        _told("off", thinking=Thinking(False)),
        *(
            _told(step, step, thinking=Thinking(True, step))
            for step in ("minimal", "low", "medium", "high", "max")
        ),
        _told("budget of tokens", 5000, thinking=Thinking(True, budget=5000)),
    ),
)
ANSWER = Group(
    "Form of the answer",
    (
        _told("JSON", "json_object", format=Format()),
        _told("JSON schema", "marked", format=Format(_SCHEMA)),
        _told("strict JSON schema", True, format=Format(_SCHEMA, "form", True)),
        _told("several answers", 3, choices=3),
        _told("log probabilities", 5, logprobs=5),
        _told("stream", True, stream=True),
    ),
)
SAMPLING = Group(
    "Length and sampling",
    (
        _sampled("`max_tokens`", max_tokens=321),
        _sampled("`max_tokens` of 5", max_tokens=5),
        _sampled("`temperature`", temperature=0.37),
        _sampled("`temperature` above 1", temperature=1.37),
        _sampled("`top_p`", top_p=0.73),
        _sampled("`top_k`", top_k=37),
        _sampled("`min_p`", min_p=0.07),
        _sampled("`seed`", seed=4242),
        _sampled("one stop text", stop=("<end>",)),
        _sampled("six stop texts", stop=("<a>", "<b>", "<c>", "<d>", "<e>", "<f>")),
        _sampled("`presence_penalty`", presence_penalty=0.31),
        _sampled("`frequency_penalty`", frequency_penalty=0.41),
        _sampled("`repeat_penalty`", repeat_penalty=1.13),
    ),
)
PROMPTS = Group(
    "Prompts without turns",
    (
        Feature("prompt", ChatRequest("asked", prompt=Prompt("go on")), _PLAIN, ("go on",)),
        Feature(
            "with a system",
            ChatRequest("asked", prompt=Prompt("go on", system="be kind")),
            ChatRequest("asked", prompt=Prompt("go on")),
            ("be kind",),
        ),
        Feature(
            "text after a gap (`suffix`)",
            ChatRequest("asked", prompt=Prompt("go on", suffix="the end")),
            ChatRequest("asked", prompt=Prompt("go on")),
            ("the end",),
        ),
        Feature(
            "without a template (`raw`)",
            ChatRequest("asked", prompt=Prompt("go on", raw=True)),
            ChatRequest("asked", prompt=Prompt("go on")),
            (True,),
        ),
        Feature(
            "`template` (Ollama)",
            ChatRequest("asked", prompt=Prompt("go on", template="{{ .Prompt }}")),
            ChatRequest("asked", prompt=Prompt("go on")),
            ("{{ .Prompt }}",),
        ),
    ),
)
BESIDE = Group(
    "What else clients send",
    (
        _told("`user`", "marked-user", user="marked-user"),
        _told(
            "`cache_control` (Anthropic)",
            messages=(Message(Role.USER, (Text("hi", cache={"type": "ephemeral"}),)),),
            extra={"anthropic.beside": {"cache_control": True}},
        ),
        _chat_field("metadata", {"a": "marked"}),
        _chat_field("service_tier", "flex"),
        _chat_field("store", True),
        _chat_field("prompt_cache_key", "marked-key"),
        _chat_field("verbosity", "low"),
        _chat_field("logit_bias", {"50256": -100}),
        _chat_field("prediction", {"type": "content", "content": "marked"}),
        _chat_field("modalities", ["text", "audio"]),
        _chat_field("web_search_options", {"search_context_size": "low"}),
        _ollama_option("num_ctx", 8191),
        _ollama_option("typical_p", 0.77),
        _told("`keep_alive` (Ollama)", "7m", extra={"ollama": {"keep_alive": "7m"}}),
    ),
)
EMBEDDING = Group(
    "Embeddings",
    (
        Feature(
            "texts",
            EmbedRequest("asked", ("first text", "second text")),
            _EMBED,
            ("first text", "second text"),
        ),
        Feature("tokens in place of texts", EmbedRequest("asked", ((11, 22),)), _EMBED, ([11, 22],)),
        Feature("`dimensions`", evolve(_EMBED, dimensions=256), _EMBED, (256,)),
        Feature("`user`", evolve(_EMBED, user="marked-user"), _EMBED, ("marked-user",)),
        Feature(
            "`truncate` (Ollama)", evolve(_EMBED, extra={"ollama": {"truncate": False}}), _EMBED, (False,)
        ),
    ),
)
TALK = (CONVERSATION, TOOLS, THINKING, ANSWER, SAMPLING, PROMPTS, BESIDE)


def verdict(codec: Codec, target: Target, feature: Feature) -> Verdict:
    """What becomes of a feature at a target."""
    encoded = codec.encode(feature.request, target)
    if isinstance(encoded, Problem):
        return Verdict.REFUSED
    plain = codec.encode(feature.without, target)
    usual = plain.losses if isinstance(plain, Encoded) else ()
    lost = [_OF_LOSS[loss.how] for loss in encoded.losses if loss not in usual]
    if lost:
        return max(lost, key=_WORST_LAST.index)
    sent = _document(encoded)
    if isinstance(plain, Encoded) and sent == _document(plain):
        return Verdict.IMPLIED
    kept = feature.marks and all(_holds(sent, mark) for mark in feature.marks)
    return Verdict.KEPT if kept else Verdict.MAPPED


def talkers(codecs: Mapping[str, Codec]) -> tuple[Column, ...]:
    """What becomes of each feature of a conversation, by kind and model."""
    return tuple(
        _column(codecs[kind], model, _TALKS, TALK)
        for kind in sorted(codecs)
        for model in TALKERS.get(kind, (_ANY,))
    )


def embedders(codecs: Mapping[str, Codec]) -> tuple[Column, ...]:
    """What becomes of each feature of an embedding, by kind and model."""
    return tuple(
        _column(codecs[kind], EMBEDDERS.get(kind, _ANY), _EMBEDS, (EMBEDDING,)) for kind in sorted(codecs)
    )


def _column(
    codec: Codec, model: str, capabilities: frozenset[Capability], groups: tuple[Group, ...]
) -> Column:
    provider = Provider(codec.kind, codec.kind, "https://provider.example", settings=_SETTINGS)
    facts = ModelFacts(model, capabilities=capabilities, context_length=200_000, output_limit=64_000)
    target = Target(provider, facts)
    told = {
        f"{group.name}/{feature.name}": verdict(codec, target, feature)
        for group in groups
        for feature in group.features
    }
    return Column(codec.kind, model, told)


def _document(encoded: Encoded) -> tuple[str, Any]:
    """What is sent: the address, which may say something as well, and the body."""
    return encoded.http.url, orjson.loads(encoded.http.body)


def _holds(sent: Any, mark: Any) -> bool:
    """Whether a value, or a text that has it inside, stands anywhere in what is sent."""
    return any(_is(value, mark) for value in _values(sent))


def _is(value: Any, mark: Any) -> bool:
    if isinstance(mark, str) and isinstance(value, str):
        return mark in value
    return type(value) is type(mark) and bool(value == mark)


def _values(sent: Any) -> Iterator[Any]:
    yield sent
    if isinstance(sent, Mapping):
        for key, value in sent.items():
            yield key
            yield from _values(value)
    elif isinstance(sent, list | tuple):
        for value in sent:
            yield from _values(value)


HEAD = """# Fidelity

What becomes of each thing a client can ask for, at each kind of provider. The page is computed: every codec was given
each request, and what it reported and what it would have sent is told here. To write it anew:
`python -m scripts.write_fidelity`.

What is emulated, approximated or dropped is told with the answer, in `X-Proxy-Lossy`; with `X-Proxy-Strict: true` the
provider is not asked at all. A client of the provider's own form is not translated: its request goes out as it came.

| word | meaning |
|---|---|
| kept | said as the client said it |
| mapped | said whole, in the provider's own words |
| implied | not said, as it is so there anyway |
| moot | about an engine the provider does not show, or about its cache: no answer changes |
| emulated | brought about by other means |
| approximated | said as nearly as the provider can be told |
| dropped | left out, and told as lost |
| refused | this provider is not asked |
"""


def page(codecs: Mapping[str, Codec]) -> str:
    """docs/fidelity.md."""
    talk, embed = talkers(codecs), embedders(codecs)
    tables = [*(_table(group, talk) for group in TALK), _table(EMBEDDING, embed)]
    return "\n".join([HEAD, *tables])


def _title(column: Column) -> str:
    return f"`{column.kind}`" if column.model == _ANY else f"`{column.kind}` {column.model}"


def _table(group: Group, columns: tuple[Column, ...]) -> str:
    head = ["", *map(_title, columns)]
    rows = [
        [feature.name, *(column.verdicts[f"{group.name}/{feature.name}"].value for column in columns)]
        for feature in group.features
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join([f"## {group.name}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])
