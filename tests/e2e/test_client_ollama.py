"""ollama-python through the proxy, plain and asynchronous, over each kind of provider."""

import asyncio
import base64

import httpx
import ollama
import pytest
from pydantic import BaseModel

from tests.e2e.conftest import slow, somebody_left

PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def get_weather(city: str, n: int = 1) -> str:
    """Weather for a city.

    Args:
      city: the city
      n: how many days
    """
    return f"22 in {city}, for {n} days"


def noargs() -> str:
    """Nothing to say."""
    return "ok"


class Person(BaseModel):
    name: str
    age: int


class Asynchronous:
    """AsyncClient, each call in a loop of its own; what streams is gathered."""

    def __init__(self, url):
        self.url = url

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            async with ollama.AsyncClient(self.url) as client:
                reply = await getattr(client, name)(*args, **kwargs)
                return [part async for part in reply] if kwargs.get("stream") else reply

        return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


KINDS = ("openai", "anthropic", "google", "aws_bedrock", "ollama")
WAYS = [(client, kind) for client in (ollama.Client, Asynchronous) for kind in KINDS]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0].__name__} over {way[1]}")
def way(request):
    return request.param


@pytest.fixture(scope="module")
def over(way, over_kind):
    return over_kind(way[1])


@pytest.fixture(scope="module")
def client(way, over):
    with way[0](over.url) as found:
        yield found


def user(text, **more):
    return [{"role": "user", "content": text, **more}]


def parts_of(reply, stream):
    """All parts of a reply, however it came; only the last of them is done."""
    parts = list(reply) if stream else [reply]
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    return parts


def chatted(client, model, messages, stream, **asked):
    """Text, thinking, calls and last part of a reply."""
    parts = parts_of(client.chat(model, messages, stream=stream, **asked), stream)
    text = "".join(part.message.content or "" for part in parts)
    thinking = "".join(part.message.thinking or "" for part in parts)
    return text, thinking, [call for part in parts for call in part.message.tool_calls or ()], parts[-1]


def generated(client, model, prompt, stream, **asked):
    """Text and last part of a reply."""
    parts = parts_of(client.generate(model, prompt, stream=stream, **asked), stream)
    return "".join(part.response for part in parts), parts[-1]


@BOTH
def test_chat(client, stream):
    text, _, _, last = chatted(client, "chat", user("hi"), stream, options={"seed": 1}, keep_alive="5m")
    assert text == "Hello world!"
    assert (last.model, last.done_reason, last.prompt_eval_count, last.eval_count) == ("chat", "stop", 11, 3)
    assert last.total_duration > 0


@BOTH
def test_an_answer_that_is_cut(client, stream):
    assert chatted(client, "chat", user("hi"), stream, options={"num_predict": 2})[3].done_reason == "length"


@BOTH
def test_a_turn_with_two_tools(client, stream):
    tools = {"get_weather": get_weather, "noargs": noargs}
    asked = {"tools": list(tools.values())}
    parts = parts_of(client.chat("tools", user("@@TOOL2"), stream=stream, **asked), stream)
    messages = user("weather?") + [part.message for part in parts]
    calls = [call.function for part in parts for call in part.message.tool_calls or ()]
    assert [(call.name, dict(call.arguments)) for call in calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]
    for call in calls:
        result = tools[call.name](**call.arguments)
        messages.append({"role": "tool", "tool_name": call.name, "content": result})
    assert chatted(client, "tools", messages, stream, **asked)[0] == "Hello world!"


@BOTH
@pytest.mark.parametrize("think", [True, "high"])
def test_thinking(client, stream, think):
    parts = parts_of(client.chat("think", user("hi"), think=think, stream=stream), stream)
    assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
    messages = [*user("hi"), *(part.message for part in parts), *user("and?")]
    text, thinking, _, _ = chatted(client, "think", messages, stream, think=False)
    assert (text, thinking) == ("Hello world!", "")


def test_a_picture(client, over):
    shown = [PICTURE, ollama.Image(value=base64.b64encode(PICTURE).decode())]
    assert client.chat(over.seeing, user("what is this?", images=shown)).message.content == "Hello world!"
    assert client.generate(over.seeing, "what is this?", images=shown).response == "Hello world!"


@BOTH
def test_a_schema_of_pydantic(client, stream):
    schema = Person.model_json_schema()
    text = chatted(client, "chat", user("json"), stream, format=schema)[0]
    assert Person.model_validate_json(text) == Person(name="x", age=3)
    text, _ = generated(client, "chat", "json", stream, format=schema)
    assert Person.model_validate_json(text) == Person(name="x", age=3)


@BOTH
def test_generate(client, stream):
    text, last = generated(client, "chat", "hi", stream, system="be kind", options={"temperature": 0.5})
    assert text == "Hello world!"
    assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("stop", 11, 3)
    assert all(type(number) is int and 0 <= number < 2**31 for number in last.context)


@BOTH
def test_a_conversation_by_context(client, over, stream):
    context = None
    for prompt in ("My name is Ada.", "And yours?", "What is mine?"):
        text, last = generated(client, "chat", prompt, stream, system="be kind", context=context)
        assert text == "Hello world!"
        context = last.context
    told = str(over.asked())
    if over.kind == "ollama":
        assert "'context': [" in told
    else:
        assert "My name is Ada." in told
        assert "And yours?" in told
        assert told.count("Hello world!") == 2
        assert told.count("be kind") == 1


@BOTH
def test_a_bare_prompt(client, stream):
    text, last = generated(client, "chat", "Once upon", stream, raw=True)
    assert text == "Hello world!"
    assert last.context is None


@BOTH
def test_a_gap_to_fill(client, over, stream):
    if over.inserts:
        assert generated(client, "insert", "def f(", stream, suffix="return x")[0] == "Hello world!"
        return
    with pytest.raises(ollama.ResponseError) as raised:
        generated(client, "insert", "def f(", stream, suffix="return x")
    assert (raised.value.status_code, raised.value.error) == (
        400,
        "registry.ollama.ai/library/insert:latest does not support insert",
    )


@BOTH
def test_thinking_before_a_generated_text(client, stream):
    parts = parts_of(client.generate("think", "hi", think=True, stream=stream), stream)
    assert "".join(part.thinking or "" for part in parts) == "Let me think."
    assert "".join(part.response for part in parts) == "Hello world!"


@BOTH
@pytest.mark.parametrize("call", ["chat", "generate"])
def test_logprobs(client, over, call, stream):
    asked = {"messages": user("hi")} if call == "chat" else {"prompt": "hi"}
    reply = getattr(client, call)("chat", stream=stream, logprobs=True, top_logprobs=2, **asked)
    entries = [entry for part in parts_of(reply, stream) for entry in part.logprobs or ()]
    if over.kind in ("anthropic", "aws_bedrock", "google"):
        assert entries == []
    else:
        assert [entry.token for entry in entries] == ["Hello", " world", "!"]
        assert all(len(entry.top_logprobs) == 2 for entry in entries)


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        pytest.param({"template": "{{ .Prompt }}"}, "template", id="a template"),
        pytest.param({"context": [1000, 1001]}, "context", id="an engine's tokens"),
        pytest.param({"raw": True}, "raw~", id="a bare prompt is a turn"),
    ],
)
def test_what_is_lost_is_told(over, fields, lost):
    asked = {"model": "chat", "prompt": "hi", "stream": False, **fields}
    reply = httpx.post(f"{over.url}/api/generate", json=asked)
    assert reply.json()["response"] == "Hello world!"
    assert reply.headers.get("x-proxy-lossy", "") == ("" if over.kind == "ollama" else lost)
    strict = httpx.post(f"{over.url}/api/generate", json=asked, headers={"x-proxy-strict": "true"})
    assert strict.status_code == (200 if over.kind == "ollama" else 400)


def test_loading_and_unloading(client):
    assert client.generate("chat").done_reason == "load"
    assert client.chat("chat").done_reason == "load"
    assert client.generate("chat", keep_alive=0).done_reason == "unload"


def test_embeddings(client, over):
    if not over.embeds:
        with pytest.raises(ollama.ResponseError, match="does not support embedding"):
            client.embed("embed", "a")
        return
    # Titan takes one text a call.
    texts = ["a"] if over.kind == "aws_bedrock" else ["a", "b c"]
    reply = client.embed("embed", texts)
    assert len(reply.embeddings) == len(texts)
    assert all(sum(x * x for x in vector) == pytest.approx(1) for vector in reply.embeddings)
    assert list(client.embeddings("embed", "a").embedding)


def test_lists(client, over):
    assert {"chat:latest", "think:latest"} <= {model.model for model in client.list().models}
    shown = client.show("think")
    assert "thinking" in shown.capabilities
    assert shown.modelinfo["general.architecture"]
    assert shown.details.family
    assert client.ps().models is not None


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda c: c.pull("no-such-model-zz"), id="pull"),
        pytest.param(lambda c: c.copy("chat", "other"), id="copy"),
        pytest.param(lambda c: c.delete("chat"), id="delete"),
    ],
)
def test_models_are_managed_elsewhere(client, call):
    with pytest.raises(ollama.ResponseError) as raised:
        call(client)
    assert raised.value.status_code == 501
    assert raised.value.error


@BOTH
@pytest.mark.parametrize(
    ("model", "text", "asked", "status", "words"),
    [
        pytest.param(
            "no-such-model-zz", "hi", {}, 404, "model 'no-such-model-zz' not found", id="a missing model"
        ),
        pytest.param("basic", "hi", {"think": True}, 400, '"basic" does not support thinking', id="thinking"),
        pytest.param(
            "basic",
            "hi",
            {"tools": [noargs]},
            400,
            "registry.ollama.ai/library/basic:latest does not support tools",
            id="tools",
        ),
        pytest.param("chat", "@@ERR400", {}, 400, "", id="a request that is called invalid"),
        pytest.param("chat", "@@ERR429", {}, 429, "", id="too many requests"),
        pytest.param("chat", "@@ERR500", {}, 502, "", id="a provider that fails"),
        pytest.param(
            "chat", "hi", {"options": {"seed": "x"}}, 500, 'option "seed"', id="an option of a wrong type"
        ),
    ],
)
def test_errors(client, model, text, asked, status, words, stream):
    with pytest.raises(ollama.ResponseError) as raised:
        chatted(client, model, user(text), stream, **asked)
    assert raised.value.status_code == status
    assert words in raised.value.error
    assert raised.value.error


def test_an_error_in_the_middle_of_a_stream(over):
    text = ""
    with ollama.Client(over.url) as client, pytest.raises(ollama.ResponseError) as raised:
        for part in client.chat("chat", user("@@MID"), stream=True):
            text += part.message.content
    assert text == "Hello world"
    assert raised.value.error


@pytest.mark.parametrize("whole", [True, False], ids=["before the answer", "in the middle of the stream"])
@pytest.mark.parametrize("kind", ["openai", "google", "ollama"])
def test_a_task_that_is_cancelled_ends_the_call(kind, whole):
    async def leave(url):
        async with ollama.AsyncClient(url) as client:
            task = asyncio.create_task(_begun(client, not whole))
            await asyncio.sleep(0.2 if whole else 1.0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with slow(kind) as (running, upstream):
        asyncio.run(leave(running.url))
        assert somebody_left(upstream)


async def _begun(client, stream):
    reply = await client.chat("chat", user("hi"), stream=stream)
    async for _ in reply:
        pass
