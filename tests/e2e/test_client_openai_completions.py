"""openai-python's completions through the proxy: where a provider has them, and where the prompt becomes a turn."""

import openai
import pytest

from tests.processes import Process


@pytest.fixture(scope="module", params=["openai", "insert", "anthropic", "google", "aws_bedrock", "ollama"])
def provider(request, over_kind):
    """The proxy over one kind of provider, and its model; `insert` is one that OpenAI serves at /completions."""
    if request.param == "insert":
        return over_kind("openai").url, "insert"
    return over_kind(request.param).url, "chat"


@pytest.fixture(scope="module")
def client(provider):
    with openai.OpenAI(base_url=f"{provider[0]}/v1", api_key="x", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def model(provider):
    return provider[1]


@pytest.mark.parametrize("prompt", ["hi", ["hi"]], ids=["a text", "a list of one"])
def test_whole(client, model, prompt):
    reply = client.completions.create(model=model, prompt=prompt)
    assert (reply.choices[0].text, reply.choices[0].finish_reason) == ("Hello world!", "stop")
    assert reply.id.startswith("cmpl-")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 3)


@pytest.mark.parametrize("asked", [True, False], ids=["with usage", "without"])
def test_streamed(client, model, asked):
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(client.completions.create(model=model, prompt="hi", stream=True, **options))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.text for choice in choices) == "Hello world!"
    assert choices[-1].finish_reason == "stop"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([14] if asked else [])


def test_an_answer_that_is_cut(client, model):
    reply = client.completions.create(model=model, prompt="hi", max_tokens=2)
    assert reply.choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        pytest.param({"model": "no-such-model-zz"}, openai.NotFoundError, None, id="missing"),
        pytest.param({"prompt": ["a", "b"]}, openai.BadRequestError, "prompt", id="several prompts"),
        pytest.param({"best_of": 3}, openai.BadRequestError, "best_of", id="the best of several"),
        pytest.param({"echo": True}, openai.BadRequestError, "echo", id="echo"),
        pytest.param({"prompt": "@@ERR429"}, openai.RateLimitError, None, id="limited"),
    ],
)
def test_errors(client, model, fields, error, param, stream):
    with pytest.raises(error) as caught:
        client.completions.create(**{"model": model, "prompt": "hi", "stream": stream, **fields})
    assert caught.value.body["param"] == param


def test_an_error_in_the_middle_of_a_stream(client, model):
    text = ""
    with pytest.raises(openai.APIError):
        for chunk in client.completions.create(model=model, prompt="@@MID", stream=True):
            text += chunk.choices[0].text
    assert text == "Hello world"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fields", [{}, {"prompt": ""}], ids=["no prompt", "an empty prompt"])
def test_nothing_to_go_on_with_loads_the_model(client, model, fields, stream):
    reply = client.completions.create(**{"model": model, "prompt": None, "stream": stream, **fields})
    (choice,) = [choice for part in (reply if stream else [reply]) for choice in part.choices]
    assert (choice.text, choice.finish_reason) == ("", "load")


def test_a_gap(over_openai: Process):
    with openai.OpenAI(base_url=f"{over_openai.url}/v1", api_key="x", max_retries=0) as client:
        reply = client.completions.create(model="insert", prompt="def f(", suffix="return x")
        assert reply.choices[0].text == "Hello world!"
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model="chat", prompt="def f(", suffix="return x")
    assert "does not support insert" in caught.value.body["message"]
