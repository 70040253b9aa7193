"""What each client language becomes at each provider, feature by feature, in files that people read.

`GOLDEN=write pytest tests/adapters/providers/test_golden.py` writes them anew; the difference is then for a reviewer's eye.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from adapters.dialects import dialect_at
from adapters.providers import CODECS
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Problem
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, Provider, Target

ROOT = Path(__file__).parents[2] / "golden"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather in a city.", "parameters": WEATHER},
}
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"], "additionalProperties": False}  # fmt: skip
HI = {"role": "user", "content": "Hi."}


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def ollama_call(city: str) -> dict[str, Any]:
    return {"function": {"name": "weather", "arguments": {"city": city}}}


def openai_call(id: str, city: str) -> dict[str, Any]:
    return {
        "id": id,
        "type": "function",
        "function": {"name": "weather", "arguments": json.dumps({"city": city})},
    }


OLLAMA_CHAT: dict[str, dict[str, Any]] = {
    "text": {"messages": [HI]},
    "whole": {"messages": [HI], "stream": False},
    "system and turns": {
        "messages": [said("system", "Be brief."), HI, said("assistant", "Hello."), said("user", "Bye.")]
    },
    "turns of one role in a row": {"messages": [HI, said("user", "Still there?")]},
    "tools": {"messages": [HI], "tools": [TOOL]},
    "parallel tool results": {
        "messages": [
            said("user", "Weather in Bonn and Rome?"),
            {"role": "assistant", "content": "", "tool_calls": [ollama_call("Bonn"), ollama_call("Rome")]},
            {"role": "tool", "tool_name": "weather", "content": "rain"},
            {"role": "tool", "tool_name": "weather", "content": '{"sky": "clear"}'},
        ],
        "tools": [TOOL],
    },
    "thinking on": {"messages": [HI], "think": True},
    "thinking off": {"messages": [HI], "think": False},
    "thinking high": {"messages": [HI], "think": "high"},
    "image": {"messages": [{**HI, "images": [PIXEL]}]},
    "JSON": {"messages": [HI], "format": "json"},
    "schema": {"messages": [HI], "format": PERSON},
    "options": {
        "messages": [HI],
        "options": {"temperature": 0.2, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": 7, "num_predict": 100, "stop": ["\n"], "repeat_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.3, "num_ctx": 4096},
    },
    "logprobs": {"messages": [HI], "logprobs": True, "top_logprobs": 2},
}  # fmt: skip

OLLAMA_GENERATE: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "Hi."},
    "system": {"prompt": "Hi.", "system": "Be brief."},
    "raw": {"prompt": "Hi.", "raw": True},
    "suffix": {"prompt": "def add(", "suffix": "return c"},
    "image": {"prompt": "What is it?", "images": [PIXEL]},
    "schema": {"prompt": "Hi.", "format": PERSON},
}

OPENAI_CHAT: dict[str, dict[str, Any]] = {
    "text": {"messages": [HI]},
    "stream": {"messages": [HI], "stream": True},
    "developer": {"messages": [said("developer", "Be brief."), HI]},
    "tools forced": {"messages": [HI], "tools": [TOOL], "tool_choice": "required"},
    "tool named": {
        "messages": [HI],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
    },
    "tools forbidden": {"messages": [HI], "tools": [TOOL], "tool_choice": "none"},
    "parallel tool results": {
        "messages": [
            said("user", "Weather in Bonn and Rome?"),
            {"role": "assistant", "content": None, "tool_calls": [openai_call("call_1", "Bonn"), openai_call("call_2", "Rome")]},
            {"role": "tool", "tool_call_id": "call_2", "content": "clear"},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            said("user", "Thanks."),
        ],
        "tools": [TOOL],
    },
    "image by URL": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
        ]
    },
    "effort": {"messages": [HI], "reasoning_effort": "low"},
    "JSON": {"messages": [HI], "response_format": {"type": "json_object"}},
    "schema": {
        "messages": [HI],
        "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}},
    },
    "sampling": {
        "messages": [HI],
        "temperature": 1.5, "top_p": 0.9, "max_tokens": 100, "stop": ["a", "b"], "seed": 7, "presence_penalty": 0.5, "frequency_penalty": 0.3, "n": 2, "logprobs": True, "top_logprobs": 3, "user": "u1",
    },
    "only OpenAI's": {"messages": [HI], "logit_bias": {"50256": -100}, "metadata": {"a": "b"}, "store": True, "service_tier": "flex"},
}  # fmt: skip

OPENAI_COMPLETIONS: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "Once upon a time"},
    "limits": {"prompt": "Once", "max_tokens": 20, "stop": ["\n"], "temperature": 0.5},
    "suffix": {"prompt": "def add(", "suffix": "return c"},
}

OPENAI_RESPONSES: dict[str, dict[str, Any]] = {
    "text": {"input": "Hi."},
    "instructions": {"input": [said("user", "Hi.")], "instructions": "Be brief.", "stream": True},
    "tools": {"input": "Hi.", "tools": [{"type": "function", "name": "weather", "parameters": WEATHER}], "tool_choice": "required"},
    "calls and results": {
        "input": [
            said("user", "Weather in Bonn?"),
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": json.dumps({"city": "Bonn"})},
            {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        ]
    },
    "thinking": {"input": "Hi.", "reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 4000},
    "schema": {"input": "Hi.", "text": {"format": {"type": "json_schema", "name": "person", "schema": PERSON}}},
}  # fmt: skip

ANTHROPIC_MESSAGES: dict[str, dict[str, Any]] = {
    "text": {"max_tokens": 100, "messages": [HI]},
    "system": {"max_tokens": 100, "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], "messages": [HI], "stream": True},
    "tools": {"max_tokens": 100, "messages": [HI], "tools": [{"name": "weather", "description": "The weather in a city.", "input_schema": WEATHER}], "tool_choice": {"type": "any"}},
    "calls and results": {
        "max_tokens": 100,
        "messages": [
            said("user", "Weather in Bonn?"),
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bonn"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}]},
        ],
        "tools": [{"name": "weather", "input_schema": WEATHER}],
    },
    "thinking": {"max_tokens": 4000, "messages": [HI], "thinking": {"type": "enabled", "budget_tokens": 2048}},
    "image": {"max_tokens": 100, "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]}]},
    "sampling": {"max_tokens": 100, "messages": [HI], "temperature": 0.2, "top_k": 40, "stop_sequences": ["x"], "metadata": {"user_id": "u1"}},
}  # fmt: skip

GOOGLE_HI = {"role": "user", "parts": [{"text": "Hi."}]}
GOOGLE_GENERATE: dict[str, dict[str, Any]] = {
    "text": {"contents": [GOOGLE_HI]},
    "system": {"contents": [GOOGLE_HI], "systemInstruction": {"parts": [{"text": "Be brief."}]}},
    "tools": {
        "contents": [GOOGLE_HI],
        "tools": [{"functionDeclarations": [{"name": "weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    },
    "calls and results": {
        "contents": [
            GOOGLE_HI,
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Bonn"}}}, {"functionCall": {"name": "weather", "args": {"city": "Rome"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"result": "rain"}}}, {"functionResponse": {"name": "weather", "response": {"error": "unknown"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": WEATHER}]}],
    },
    "thinking": {"contents": [GOOGLE_HI], "generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2048}, "maxOutputTokens": 4000}},
    "image": {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}]}]},
    "schema": {"contents": [GOOGLE_HI], "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": PERSON}},
    "sampling": {
        "contents": [GOOGLE_HI],
        "generationConfig": {"temperature": 0.2, "topP": 0.9, "topK": 40, "maxOutputTokens": 100, "stopSequences": ["x"], "seed": 7, "presencePenalty": 0.5, "frequencyPenalty": 0.3},
    },
    "only Google's": {"contents": [GOOGLE_HI], "tools": [{"googleSearch": {}}], "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}], "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}},
}  # fmt: skip

EMBED: dict[str, dict[str, Any]] = {
    "one": {"input": "Hi."},
    "several": {"input": ["Hi.", "Bye."]},
    "dimensions": {"input": "Hi.", "dimensions": 256},
}

FEATURES = {
    "/api/chat": OLLAMA_CHAT,
    "/api/generate": OLLAMA_GENERATE,
    "/api/embed": EMBED,
    "/v1/chat/completions": OPENAI_CHAT,
    "/v1/completions": OPENAI_COMPLETIONS,
    "/v1/responses": OPENAI_RESPONSES,
    "/v1/messages": ANTHROPIC_MESSAGES,
    "/v1/embeddings": EMBED,
    "/v1beta/models/m:generateContent": GOOGLE_GENERATE,
}

# kind: where, a model that talks, one that embeds, what its accounts have besides.
KINDS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "openai": ("https://api.openai.com/v1", "gpt-4o", "text-embedding-3-small", {}),
    "anthropic": ("https://api.anthropic.com/v1", "claude-sonnet-4-5", "claude-sonnet-4-5", {}),
    "google": ("https://generativelanguage.googleapis.com/v1beta", "gemini-2.5-flash", "gemini-embedding-001", {}),
    "openrouter": ("https://openrouter.ai/api/v1", "anthropic/claude-sonnet-4.5", "openai/text-embedding-3-small", {}),
    "azure": ("https://house.openai.azure.com", "gpt-4o", "text-embedding-3-small", {"api_version": "2024-10-21"}),
    "aws_bedrock": ("https://bedrock-runtime.us-east-1.amazonaws.com", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.titan-embed-text-v2:0", {"region": "us-east-1"}),
    "ollama": ("http://127.0.0.1:11434", "llama3.1", "nomic-embed-text", {}),
}  # fmt: skip


def asked(dialect: Dialect, path: str, body: dict[str, Any]) -> ChatRequest | EmbedRequest:
    request = dialect.read(
        HttpRequest("POST", path, {"content-type": "application/json"}, json.dumps(body).encode())
    )
    assert isinstance(request, ChatRequest | EmbedRequest), request
    return request


def becomes(request: ChatRequest | EmbedRequest, kind: str) -> dict[str, Any]:
    """What goes over the wire, and what is lost."""
    base, talks, embeds, settings = KINDS[kind]
    model = embeds if isinstance(request, EmbedRequest) else talks
    provider = Provider(kind, kind, base, Secret("k"), settings=settings)
    encoded = CODECS[kind].encode(request, Target(provider, ModelFacts(model)))
    if isinstance(encoded, Problem):
        return {"refused": f"{encoded.kind.value}: {encoded.detail or encoded.subject}"}
    lost = {loss.field: loss.how.value for loss in encoded.losses}
    told = {"url": encoded.http.url, "body": json.loads(encoded.http.body)}
    return {**told, "lost": lost} if lost else told


def golden(path: str, kind: str) -> dict[str, Any]:
    dialect = dialect_at(path)
    assert dialect is not None
    return {
        feature: becomes(asked(dialect, path, {"model": "m", **body}), kind)
        for feature, body in FEATURES[path].items()
    }


@pytest.mark.parametrize("kind", sorted(CODECS))
@pytest.mark.parametrize("path", FEATURES)
def test_it_becomes_what_was_reviewed(path, kind):
    file = ROOT / f"{path.strip('/').replace('/', '.').replace(':', '.')}-{kind}.json"
    now = golden(path, kind)
    if os.environ.get("GOLDEN") == "write":
        file.write_text(json.dumps(now, indent=2) + "\n")
    assert now == json.loads(file.read_text()), (
        f"{file.name} says otherwise; GOLDEN=write writes it anew, then review"
    )


def test_every_kind_of_provider_is_reviewed():
    assert set(KINDS) == set(CODECS)
