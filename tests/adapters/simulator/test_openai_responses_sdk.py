"""openai-python, straight at the fake OpenAI: `client.responses`, whole and streamed."""

import openai
import pytest
from attrs import evolve

from adapters.simulator.demo import standard_scenario
from tests.adapters.simulator.test_openai_responses import NOARGS, WEATHER
from tests.adapters.simulator.test_server import serving


@pytest.fixture(scope="module")
def client():
    with (
        serving(evolve(standard_scenario(), key="secret")) as running,
        openai.OpenAI(base_url=f"{running.url}/openai/v1", api_key="secret", max_retries=0) as sdk,
    ):
        yield sdk


def test_whole(client):
    reply = client.responses.create(model="gpt-5-codex", input="hi", store=False)
    assert (reply.output_text, reply.status, reply.usage.total_tokens) == ("Hello world!", "completed", 14)


def test_events(client):
    events = list(client.responses.create(model="gpt-5-codex", input="hi", stream=True))
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta")
        == "Hello world!"
    )
    assert events[-1].response.output_text == "Hello world!"


def test_a_stream_that_is_put_together(client):
    reasoning = {"effort": "low", "summary": "auto"}
    include = ["reasoning.encrypted_content"]
    with client.responses.stream(
        model="gpt-5-codex", input="hi", reasoning=reasoning, include=include
    ) as stream:
        kinds = {event.type for event in stream}
        reply = stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in kinds
    thought, message = reply.output
    assert (thought.summary[0].text, bool(thought.encrypted_content)) == ("Let me think.", True)
    assert message.content[0].text == "Hello world!"


def test_tools_and_their_results(client):
    with client.responses.stream(
        model="gpt-5-codex", input="@@TOOL2", tools=[WEATHER, NOARGS], include=["reasoning.encrypted_content"]
    ) as stream:
        for _ in stream:
            pass
        reply = stream.get_final_response()
    calls = [item for item in reply.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == [
        ("get_weather", '{"city":"Paris","n":2}'),
        ("noargs", "{}"),
    ]
    kept = [item.model_dump(exclude_none=True, include=FIELDS[item.type]) for item in reply.output]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "1"} for call in calls]
    again = client.responses.create(
        model="gpt-5-codex",
        input=[{"role": "user", "content": "w"}, *kept, *results],
        tools=[WEATHER, NOARGS],
    )
    assert again.output_text == "Hello world!"


FIELDS = {
    "reasoning": {"type", "id", "summary", "encrypted_content"},
    "message": {"type", "id", "role", "content", "status"},
    "function_call": {"type", "id", "call_id", "name", "arguments"},
}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"model": "nothing"}, openai.BadRequestError, id="a model that is not there"),
        pytest.param({"input": "@@ERR429"}, openai.RateLimitError, id="a limit"),
        pytest.param({"input": "@@ERR500"}, openai.InternalServerError, id="a failure"),
    ],
)
def test_errors(client, fields, error):
    with pytest.raises(error):
        client.responses.create(**{"model": "chat", "input": "hi", **fields})
