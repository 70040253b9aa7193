"""LangChain through the proxy, over each kind of provider: langchain-ollama on /api, langchain-openai on /v1."""

import asyncio
import gc

import httpx
import langchain_ollama
import langchain_openai
import ollama
import openai
import pytest
import tiktoken
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from tests.e2e.conftest import Over

# LangChain never closes its connections.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def connections():
    """What is left open is gone before the tests of others begin."""
    yield
    gc.collect()


@tool
def get_weather(city: str, n: int) -> str:
    """Weather for a city."""
    return f"22 in {city}, for {n} days"


@tool
def noargs() -> str:
    """Nothing to say."""
    return "ok"


TOOLS = {"get_weather": get_weather, "noargs": noargs}


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


def of_ollama(over: Over, model="chat", **options):
    return langchain_ollama.ChatOllama(model=model, base_url=over.url, validate_model_on_init=True, **options)


def of_openai(over: Over, model="chat", **options):
    return langchain_openai.ChatOpenAI(
        model=model, base_url=f"{over.url}/v1", api_key="unused", max_retries=0, **options
    )


def of_responses(over: Over, model="chat", **options):
    return of_openai(over, model, use_responses_api=True, **options)


EACH = pytest.mark.parametrize("made", [of_ollama, of_openai, of_responses])


@EACH
def test_invoke(over, made):
    reply = made(over).invoke("hi")
    assert reply.text == "Hello world!"
    assert (reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"]) == (11, 3)


@EACH
def test_stream(over, made):
    chunks = list(made(over).stream("hi"))
    assert "".join(chunk.text for chunk in chunks) == "Hello world!"
    assert len(chunks) >= 3


@EACH
def test_ainvoke(over, made):
    async def asked():
        # LangChain's own is shared by all loops there will ever be.
        async with httpx.AsyncClient() as connections:
            options = {} if made is of_ollama else {"http_async_client": connections}
            return await made(over, **options).ainvoke("hi")

    assert asyncio.run(asked()).text == "Hello world!"


@EACH
def test_a_loop_with_tools(over, made):
    model = made(over, "tools").bind_tools(list(TOOLS.values()))
    reply = model.invoke("@@TOOL2")
    assert [(call["name"], call["args"]) for call in reply.tool_calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]
    results = [TOOLS[call["name"]].invoke(call) for call in reply.tool_calls]
    assert all(isinstance(result, ToolMessage) for result in results)
    assert model.invoke([HumanMessage("weather?"), reply, *results]).text == "Hello world!"


@EACH
def test_tools_in_a_stream(over, made):
    first, *others = made(over, "tools").bind_tools([get_weather]).stream("@@TOOL")
    for chunk in others:
        first += chunk
    assert [(call["name"], call["args"]) for call in first.tool_calls] == [
        ("get_weather", {"city": "Paris", "n": 2})
    ]


@EACH
def test_structured_output(over, made):
    assert made(over).with_structured_output(Person).invoke("json") == Person(name="x", age=3)


def test_reasoning(over):
    reply = of_ollama(over, "think", reasoning=True).invoke("hi")
    assert (reply.additional_kwargs["reasoning_content"], reply.text) == ("Let me think.", "Hello world!")
    again = of_ollama(over, "think", reasoning=False).invoke(
        [HumanMessage("hi"), reply, HumanMessage("and?")]
    )
    assert "reasoning_content" not in again.additional_kwargs


def test_reasoning_of_responses(over):
    asked = {"effort": "medium", "summary": "auto"}
    reply = of_responses(over, "think", reasoning=asked).invoke("hi")
    # Gemini's signature stands behind the answer, in an item of its own.
    thought = next(block for block in reply.content if block["type"] == "reasoning")
    assert thought["summary"][0]["text"] == "Let me think."
    again = of_responses(over, "think", reasoning=asked).invoke(
        [HumanMessage("hi"), reply, HumanMessage("and?")]
    )
    assert again.text == "Hello world!"


def test_the_text_model(over):
    model = langchain_ollama.OllamaLLM(model="chat", base_url=over.url, validate_model_on_init=True)
    assert model.invoke("hi") == "Hello world!"
    assert "".join(model.stream("hi")) == "Hello world!"


def test_a_model_that_is_missing(over):
    with pytest.raises(ValueError, match="not found"):
        of_ollama(over, "no-such-model-zz")
    with pytest.raises(openai.NotFoundError):
        of_openai(over, "no-such-model-zz").invoke("hi")


@pytest.mark.parametrize("made", [of_ollama, of_openai])
def test_a_provider_that_limits(over, made):
    with pytest.raises((ollama.ResponseError, openai.RateLimitError)) as raised:
        made(over).invoke("@@ERR429")
    assert raised.value.status_code == 429


def embedders(over, **options):
    yield langchain_ollama.OllamaEmbeddings(model="embed", base_url=over.url)
    yield langchain_openai.OpenAIEmbeddings(
        model="embed", base_url=f"{over.url}/v1", api_key="unused", max_retries=0, **options
    )


def test_embeddings(over):
    for embedder in embedders(over, check_embedding_ctx_length=False):
        if over.embeds:
            assert sum(x * x for x in embedder.embed_query("a")) == pytest.approx(1)
        else:
            with pytest.raises((ollama.ResponseError, openai.BadRequestError)):
                embedder.embed_query("a")


def test_embeddings_of_several_texts(over):
    for embedder in embedders(over, check_embedding_ctx_length=False):
        if over.kind in ("openai", "google", "ollama"):
            assert len(embedder.embed_documents(["a", "b c"])) == 2
        else:
            # Titan takes one text a call, Claude none.
            with pytest.raises((ollama.ResponseError, openai.BadRequestError)):
                embedder.embed_documents(["a", "b c"])


def test_embeddings_of_tokens(over, monkeypatch):
    """By default texts are sent as tokens of OpenAI's models, which other providers cannot read."""
    # The real vocabularies are loaded from the network.
    ranks = {bytes([number]): number for number in range(256)}
    letters = tiktoken.Encoding("letters", pat_str=r"(?s).", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda model: letters)
    _, embedder = embedders(over)
    if over.kind == "openai":
        assert len(embedder.embed_documents(["a", "b c"])) == 2
    else:
        with pytest.raises(openai.BadRequestError):
            embedder.embed_documents(["a"])
