"""Counting tokens at the fake providers: always the same number, and as strict as theirs."""

import pytest

from tests.adapters.simulator.kit import document, post, user

KEYS = {
    "x-api-key": "k",
    "anthropic-version": "2023-06-01",
    "authorization": "Bearer k",
    "x-goog-api-key": "k",
}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "one two"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "one two"}]}]}
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
ANTHROPIC = "/anthropic/v1/messages/count_tokens"
GOOGLE = "/google/v1beta/models/chat:countTokens"
BEDROCK = "/aws_bedrock/model/{}/count-tokens"


def ask(path, body):
    played = post(path, body, **KEYS)
    return played.head.status, document(played)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        pytest.param(
            ANTHROPIC, {"model": "chat", "messages": user("one two")}, {"input_tokens": 10}, id="Anthropic"
        ),
        pytest.param(
            ANTHROPIC,
            {"model": "chat", "messages": user("one two"), "system": "three"},
            {"input_tokens": 11},
            id="with a system",
        ),
        pytest.param(
            GOOGLE,
            CONTENTS,
            {"totalTokens": 7, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]},
            id="Google",
        ),
        pytest.param(
            GOOGLE,
            {"generateContentRequest": {"model": "models/chat", **CONTENTS}},
            {"totalTokens": 7, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]},
            id="a whole request of Google's",
        ),
        pytest.param(
            BEDROCK.format(CLAUDE), {"input": {"converse": CONVERSE}}, {"inputTokens": 8}, id="Bedrock"
        ),
    ],
)
def test_counts(path, body, expected):
    assert ask(path, body) == (200, expected)
    assert ask(path, body) == (200, expected)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param(
            ANTHROPIC,
            {"model": "chat", "messages": user("a"), "max_tokens": 9},
            400,
            id="a field of the answer",
        ),
        pytest.param(ANTHROPIC, {"model": "chat"}, 400, id="nothing to count"),
        pytest.param(ANTHROPIC, {"model": "zz", "messages": user("a")}, 404, id="no such model"),
        pytest.param(ANTHROPIC, {"model": "chat", "messages": []}, 400, id="no messages"),
        pytest.param(GOOGLE, {**CONTENTS, "generationConfig": {}}, 400, id="Google's fields beside contents"),
        pytest.param(
            GOOGLE, {"generateContentRequest": {"model": "models/b", **CONTENTS}}, 400, id="another model"
        ),
        pytest.param(GOOGLE, {"contents": [{"role": "x", "parts": []}]}, 400, id="a strange role"),
        pytest.param(
            BEDROCK.format("chat"), {"input": {"converse": CONVERSE}}, 400, id="a model not counted for"
        ),
        pytest.param(BEDROCK.format(CLAUDE), {"input": {"invokeModel": {}}}, 400, id="the other form"),
        pytest.param(
            BEDROCK.format(CLAUDE),
            {"input": {"converse": {**CONVERSE, "inferenceConfig": {}}}},
            400,
            id="what says nothing of the input",
        ),
        pytest.param(BEDROCK.format(CLAUDE), {"input": {"converse": {"messages": []}}}, 400, id="no turns"),
    ],
)
def test_refusals(path, body, status):
    assert ask(path, body)[0] == status


@pytest.mark.parametrize(
    ("betas", "status"),
    [
        pytest.param({"anthropic-beta": "a-1, context-management-2025-06-27"}, 200, id="named"),
        pytest.param({"anthropic-beta": "a-1"}, 400, id="another one named"),
        pytest.param({}, 400, id="not named"),
    ],
)
def test_fields_of_a_beta_are_taken_where_it_is_named(betas, status):
    body = {"model": "chat", "max_tokens": 9, "messages": user("a"), "context_management": {"edits": []}}
    assert post("/anthropic/v1/messages", body, **KEYS, **betas).head.status == status
