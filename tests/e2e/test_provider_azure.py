"""The proxy in front of Azure: ollama-python and openai-python see what they see everywhere."""

from collections.abc import Iterator

import httpx
import ollama
import openai
import pytest

from tests import processes
from tests.e2e.provider_form import OllamaClient, OpenAIClient, user
from tests.processes import Process

DEPLOYMENTS = "chat,basic,tools,think,embed,insert"


@pytest.fixture(scope="module")
def running(simulator: Process) -> Iterator[Process]:
    with processes.gateway(simulator, "azure", AZURE_DEPLOYMENTS=DEPLOYMENTS) as process:
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

    def test_verdicts_are_passed(self, openai_client):
        reply = openai_client.chat.completions.create(model="chat", messages=user("hi"))
        assert reply.prompt_filter_results[0]["content_filter_results"]["hate"]["filtered"] is False
        first, *_ = openai_client.chat.completions.create(model="chat", messages=user("hi"), stream=True)
        assert first.prompt_filter_results

    def test_the_filter_is_a_refusal(self, openai_client):
        with pytest.raises(openai.BadRequestError) as error:
            openai_client.chat.completions.create(model="chat", messages=user("@@FILTER"))
        assert "content" in str(error.value)


def test_another_resource_is_never_answered_by_ours(running):
    """A deployment that is named with its host is asked for there, whatever else is known by that name."""
    with httpx.Client(base_url=running.url) as client:
        said = {"model": "chat@other.openai.azure.com", "messages": user("hi")}
        assert client.post("/api/chat", json=said).status_code == 404
        known = {"model": "gpt-4o@other.openai.azure.com", "messages": user("hi")}
        assert client.post("/v1/chat/completions", json=known).status_code == 404
