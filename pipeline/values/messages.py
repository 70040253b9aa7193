"""What a client may ask, in no vendor's form.

A request is one frozen value. What only one wire format can say travels in `extra`, keyed by that format's name, and is
never dropped unseen: the codec of the same format gives it back, every other codec reports it as a loss.

`cache` of a part or a tool: the client's mark that all up to here may be kept for later requests, as Anthropic writes it.
It changes no answer, so who knows no such mark loses nothing without it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from attrs import evolve, field, frozen


class Role(StrEnum):
    """Who speaks. `developer` of OpenAI is `SYSTEM`; unknown roles are read as `USER` by the dialects."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@frozen
class Text:
    """A piece of plain text."""

    text: str
    cache: Mapping[str, Any] | None = field(default=None, kw_only=True)


@frozen
class Image:
    """A picture: `data` is standard base64 without a prefix, or else `url` says where it is.

    `media_type` is None where nobody said and the bytes do not tell; `detail` is OpenAI's hint, if given.
    """

    data: str | None = None
    url: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: Mapping[str, Any] | None = field(default=None, kw_only=True)


@frozen
class Reasoning:
    """Thinking of an earlier turn, given back to the model. `extra` holds signatures and the like by wire format."""

    text: str
    extra: Mapping[str, Any] = field(factory=dict)


@frozen
class ToolCall:
    """A call the model made in an earlier turn. `arguments` is JSON text of an object; `id` is never empty."""

    id: str
    name: str
    arguments: str
    cache: Mapping[str, Any] | None = field(default=None, kw_only=True)


@frozen
class ToolResult:
    """The answer to one call; `call_id` ties it to its `ToolCall`. `name` is empty where nobody knows it.

    `failed`: the tool did not work out, and the text says why.
    """

    call_id: str
    name: str
    text: str
    failed: bool = False
    cache: Mapping[str, Any] | None = field(default=None, kw_only=True)


@frozen
class Opaque:
    """A part that only `format` can carry (audio, files ...), kept as that format's own JSON."""

    format: str
    value: Mapping[str, Any]
    cache: Mapping[str, Any] | None = field(default=None, kw_only=True)


Part: TypeAlias = Text | Image | Reasoning | ToolCall | ToolResult | Opaque


@frozen
class Message:
    """One turn. `parts` in the order they were said; `name` is the speaker's, if given."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        """All text of the turn, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@frozen
class Tool:
    """A function offered to the model. `parameters` is its JSON schema as the client wrote it, key order kept."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    cache: Mapping[str, Any] | None = field(default=None, kw_only=True)


@frozen
class ToolChoice:
    """How tools are to be used; `name` only with mode `named`."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


@frozen
class Sampling:
    """Options of generation. None means: the model's own default. `max_tokens` limits the answer, in tokens."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repeat_penalty: float | None = None


@frozen
class Format:
    """The form the answer must have: any JSON (`schema` None) or JSON that fits `schema`."""

    schema: Mapping[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None


Effort: TypeAlias = Literal["minimal", "low", "medium", "high", "max"]


@frozen
class Thinking:
    """Whether the model shall think before it answers: `on`, and how much where the client said so.

    `effort` is the common scale, `budget` a number of tokens; both None: the model's own default amount. `wish`: a model
    that cannot think shall answer all the same; not `on` it is a wish that was not granted.
    """

    on: bool
    effort: Effort | None = None
    budget: int | None = None
    wish: bool = False


@frozen
class Prompt:
    """A bare text to complete, without turns (`/api/generate`, `/v1/completions`).

    `suffix`: the text after the gap (fill in the middle). `raw`: no template around it. `template` and `context` are
    Ollama's. `images` belong to the text.
    """

    text: str
    suffix: str | None = None
    system: str | None = None
    raw: bool = False
    template: str | None = None
    context: tuple[int, ...] | None = None
    images: tuple[Image, ...] = ()


@frozen
class Source:
    """The client's own JSON, for the verbatim lane. `format`: its wire format (`openai.chat`, `ollama.chat` ...).

    `headers`: those in which the format itself says something, such as its version.
    """

    format: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(factory=dict)


@frozen
class ChatRequest:
    """A conversation or a prompt to be continued. Exactly one of `messages` and `prompt` is used.

    `thinking` None: the client did not say. `logprobs`: 0 asks for the chosen tokens only, n for n alternatives each.
    `choices`: how many answers. `source` is what the client sent, and None once a stage has rewritten the request.
    `stateful`: the provider is to keep something of it or to do something by itself, so two of it are more than one.
    """

    model: str
    messages: tuple[Message, ...] = ()
    prompt: Prompt | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = Sampling()
    thinking: Thinking | None = None
    format: Format | None = None
    logprobs: int | None = None
    choices: int = 1
    stream: bool = False
    user: str | None = None
    extra: Mapping[str, Any] = field(factory=dict)
    source: Source | None = field(default=None, repr=False)
    stateful: bool = False

    operation = "chat"

    def rewritten(self, **changes: Any) -> "ChatRequest":
        """The request with `changes`; the client's own JSON no longer stands for it."""
        return evolve(self, source=None, **changes)


@frozen
class EmbedRequest:
    """Texts (or, from OpenAI clients, lists of tokens) to be embedded. `dimensions` None: the model's own."""

    model: str
    input: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    user: str | None = None
    extra: Mapping[str, Any] = field(factory=dict)
    source: Source | None = field(default=None, repr=False)

    operation = "embed"
    stream = False
    stateful = False

    def rewritten(self, **changes: Any) -> "EmbedRequest":
        """The request with `changes`; the client's own JSON no longer stands for it."""
        return evolve(self, source=None, **changes)


@frozen
class LoadRequest:
    """Ollama's request without messages: make a model ready (`unload` False) or let it go. No provider is called."""

    model: str
    unload: bool = False
    stream: bool = False

    operation = "load"
    source = None
    stateful = True

    def rewritten(self, **changes: Any) -> "LoadRequest":
        """The request with `changes`."""
        return evolve(self, **changes)


Request: TypeAlias = ChatRequest | EmbedRequest | LoadRequest
