"""The proxy in front of OpenRouter: ollama-python and openai-python see what they see everywhere."""

from collections.abc import Iterator

import ollama
import openai
import pytest

from tests import processes
from tests.e2e.provider_form import OllamaClient, OpenAIClient, user
from tests.processes import Process


@pytest.fixture(scope="module")
def running(simulator: Process) -> Iterator[Process]:
    with processes.gateway(simulator, "openrouter") as process:
        yield process


@pytest.fixture(scope="module")
def ollama_client(running: Process) -> Iterator[ollama.Client]:
    with ollama.Client(running.url) as client:
        yield client


@pytest.fixture(scope="module")
def openai_client(running: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0) as client:
        yield client


class TestOllama(OllamaClient):
    """ollama-python."""


class TestOpenAI(OpenAIClient):
    """openai-python."""

    def test_openrouters_own_fields_are_passed(self, openai_client):
        reply = openai_client.chat.completions.create(
            model="think",
            messages=user("hi"),
            extra_body={"reasoning": {"effort": "low"}, "provider": {"only": ["x"]}},
        )
        message = reply.choices[0].message
        assert message.reasoning == "Let me think."
        assert message.reasoning_details[0]["text"] == "Let me think."
        assert reply.provider == "Simulator"

    def test_details_are_told_to_those_who_take_another_way(self, openai_client):
        """A client that asks in OpenAI's own form by a name of its own."""
        reply = openai_client.chat.completions.create(
            model="deepseek/deepseek-r1:free", messages=user("hi"), reasoning_effort="low"
        )
        assert reply.choices[0].message.reasoning_details
