"""AWS's own client library, over a socket, straight at the simulator."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from tests.processes import Process

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
TOOLS = {
    "tools": [
        {"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}},
        {"toolSpec": {"name": "noargs", "inputSchema": {"json": {"type": "object"}}}},
    ]
}


def made(service: str, simulator: Process) -> Any:
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"{simulator.url}/aws_bedrock",
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def client(simulator: Process) -> Iterator[Any]:
    found = made("bedrock-runtime", simulator)
    yield found
    found.close()


def user(text):
    return [{"role": "user", "content": [{"text": text}]}]


def test_whole(client):
    reply = client.converse(modelId="chat", messages=user("hi"), inferenceConfig={"maxTokens": 50})
    assert reply["output"]["message"] == {"role": "assistant", "content": [{"text": "Hello world!"}]}
    assert (reply["stopReason"], reply["usage"]["totalTokens"]) == ("end_turn", 14)


def test_streamed(client):
    events = list(
        client.converse_stream(modelId="us.anthropic.claude-opus-4-6-v1", messages=user("hi"))["stream"]
    )
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert "".join(delta["text"] for delta in deltas) == "Hello world!"
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 3


def test_a_turn_with_tools(client):
    first = client.converse(modelId="tools", messages=user("@@TOOL2"), toolConfig=TOOLS)
    said = first["output"]["message"]
    uses = [block["toolUse"] for block in said["content"] if "toolUse" in block]
    assert [(use["name"], use["input"]) for use in uses] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]
    results = [
        {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "22"}], "status": "success"}}
        for use in uses
    ]
    turns = [*user("weather"), said, {"role": "user", "content": results}]
    second = client.converse(modelId="tools", messages=turns, toolConfig=TOOLS)
    assert second["output"]["message"]["content"][0]["text"] == "Hello world!"


def test_thinking(client):
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    reply = client.converse(modelId="think", messages=user("hi"), additionalModelRequestFields=fields)
    thought = reply["output"]["message"]["content"][0]["reasoningContent"]["reasoningText"]
    assert thought["text"] == "Let me think."


def test_a_schema(client):
    structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "x"}}
    reply = client.converse(
        modelId="us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        messages=user("json"),
        outputConfig={"textFormat": {"type": "json_schema", "structure": structure}},
    )
    assert json.loads(reply["output"]["message"]["content"][0]["text"]) == {"name": "x", "age": 3}


@pytest.mark.parametrize(
    ("model", "text", "name"),
    [
        pytest.param("no.such-model", "hi", "ValidationException", id="no such model"),
        pytest.param("chat", "@@ERR429", "ThrottlingException", id="limited"),
        pytest.param("chat", "@@ERR500", "InternalServerException", id="failed"),
        pytest.param("chat", " ", "ValidationException", id="a blank text"),
    ],
)
def test_errors(client, model, text, name):
    with pytest.raises(ClientError) as error:
        client.converse(modelId=model, messages=user(text))
    assert error.value.response["Error"]["Code"] == name


def test_a_stream_that_breaks(client):
    with pytest.raises(Exception, match=r"(?i)connection|ended|read") as error:
        list(client.converse_stream(modelId="chat", messages=user("@@MID"))["stream"])
    assert not isinstance(error.value, EventStreamError)


def test_vectors(client):
    reply = client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "a b"}))
    assert json.loads(reply["body"].read()) == {"embedding": [3.0, 4.0, 12.0, 0.0], "inputTextTokenCount": 2}


def test_the_list(simulator):
    control = made("bedrock", simulator)
    names = {entry["modelId"] for entry in control.list_foundation_models()["modelSummaries"]}
    assert {"chat", "amazon.nova-micro-v1:0", "anthropic.claude-opus-4-7"} <= names
    control.close()
