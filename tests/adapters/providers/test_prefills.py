"""Who goes on with words that are put into the model's mouth, and that these reach it as its own."""

import orjson
import pytest

from adapters.providers import CODECS
from pipeline.ports import Encoded
from pipeline.values.messages import ChatRequest, Message, Role, Text
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, Provider, Target

ADDRESSES = {"aws_bedrock": "https://bedrock-runtime.us-east-1.amazonaws.com"}
SAID = "Once upon a time"
ASKED = ChatRequest(
    "m",
    (Message(Role.USER, (Text("tell"),)), Message(Role.ASSISTANT, (Text(SAID),))),
    stream=True,
)


def target(kind, model):
    address = ADDRESSES.get(kind, "https://host.test")
    return Target(
        Provider(kind, kind, address, Secret("k"), settings={"region": "us-east-1"}), ModelFacts(model)
    )


TAKE = [
    pytest.param("ollama", "llama3.2", id="every model of Ollama's"),
    pytest.param("anthropic", "claude-3-haiku-20240307", id="an old Claude"),
    pytest.param("anthropic", "claude-sonnet-4-5-20250929", id="the last Claude that does"),
    pytest.param(
        "aws_bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", id="by a profile of Bedrock's"
    ),
    pytest.param("aws_bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", id="at Bedrock"),
    pytest.param("openrouter", "anthropic/claude-3.5-sonnet", id="at OpenRouter"),
]


@pytest.mark.parametrize(("kind", "model"), TAKE)
def test_who_takes_a_prefill(kind, model):
    assert CODECS[kind].prefills(target(kind, model))


@pytest.mark.parametrize(("kind", "model"), TAKE)
def test_the_words_are_the_last_that_it_is_told(kind, model):
    encoded = CODECS[kind].encode(ASKED, target(kind, model))
    assert isinstance(encoded, Encoded)
    last = orjson.loads(encoded.http.body)["messages"][-1]
    assert last["role"] == "assistant"
    content = last["content"]
    assert (content if isinstance(content, str) else content[0]["text"]) == SAID


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        pytest.param("anthropic", "claude-sonnet-4-6", id="Claude since 4.6"),
        pytest.param("anthropic", "claude-opus-5", id="and later"),
        pytest.param("anthropic", "minimax-m2", id="somebody else behind its form"),
        pytest.param("aws_bedrock", "global.anthropic.claude-opus-4-6-v1", id="Claude since 4.6 at Bedrock"),
        pytest.param("aws_bedrock", "amazon.nova-pro-v1:0", id="another model at Bedrock"),
        pytest.param("openrouter", "anthropic/claude-sonnet-4.6", id="Claude since 4.6 at OpenRouter"),
        pytest.param("openrouter", "openai/gpt-4o", id="another model at OpenRouter"),
        pytest.param("openrouter", "someone/claude-3.5-sonnet", id="a Claude of nobody knows whom"),
        pytest.param("openai", "gpt-4o", id="OpenAI"),
        pytest.param("azure", "gpt-4o", id="Azure"),
        pytest.param("google", "gemini-2.5-flash", id="Google"),
    ],
)
def test_who_takes_none(kind, model):
    assert not CODECS[kind].prefills(target(kind, model))
