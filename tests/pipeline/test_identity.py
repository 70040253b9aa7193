"""identity: which names mean the same model."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity import LONGEST, Identity, identity, same_model


@pytest.mark.parametrize(
    ("name", "model", "variant", "snapshot", "maker"),
    [
        pytest.param("gpt-4o", "gpt-4o", "", "", "", id="a plain name"),
        pytest.param(" GPT-4o:latest ", "gpt-4o", "", "", "", id="however it is spelt"),
        pytest.param("gpt-4o-2024-08-06", "gpt-4o", "", "20240806", "", id="a date with dashes"),
        pytest.param("claude-3-5-sonnet-20241022", "claude-3-5-sonnet", "", "20241022", "", id="without"),
        pytest.param(
            "claude-3-5-sonnet@20240620", "claude-3-5-sonnet", "", "20240620", "", id="behind an at"
        ),
        pytest.param("claude-3-5-haiku-latest", "claude-3-5-haiku", "", "", "", id="latest is no snapshot"),
        pytest.param("claude-opus-4-0", "claude-opus-4", "", "", "", id="nor is point zero"),
        pytest.param("gpt-4-0613", "gpt-4", "", "0613", "", id="month and day"),
        pytest.param("gpt-4-1106-preview", "gpt-4-1106-preview", "", "", "", id="a preview is its own model"),
        pytest.param("gemini-2.0-flash-001", "gemini-2-0-flash", "", "001", "", id="a number"),
        pytest.param(
            "models/gemini-2.5-pro", "gemini-2-5-pro", "", "", "", id="a resource's folder is no maker"
        ),
        pytest.param(
            "text-embedding-004", "text-embedding-004", "", "", "", id="a number that is the version"
        ),
        pytest.param(
            "mistral-large-2411", "mistral-large-2411", "", "", "", id="year and month are a version"
        ),
        pytest.param("gpt-35-turbo-16k", "gpt-3-5-turbo-16k", "", "", "", id="Azure's spelling of 3.5"),
        pytest.param(
            "gpt-4o@mine.openai.azure.com",
            "gpt-4o",
            "@mine.openai.azure.com",
            "",
            "",
            id="a deployment with its host",
        ),
        pytest.param(
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "claude-sonnet-4",
            "",
            "20250514",
            "anthropic",
            id="a region's profile",
        ),
        pytest.param(
            "anthropic.claude-3-5-sonnet-20241022-v2:0:200k",
            "claude-3-5-sonnet",
            "200k",
            "20241022",
            "anthropic",
            id="a variant behind a revision",
        ),
        pytest.param(
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-pro-v1:0",
            "nova-pro",
            "",
            "",
            "amazon",
            id="an ARN",
        ),
        pytest.param(
            "mistral.mistral-7b-instruct-v0:2", "mistral-7b-instruct-v0-2", "", "", "mistral", id="v0:2"
        ),
        pytest.param(
            "amazon.titan-embed-text-v2:0", "titan-embed-text-v2", "", "", "amazon", id="v2 is a model"
        ),
        pytest.param("openai.gpt-oss-120b-1:0", "gpt-oss-120b", "", "", "openai", id="a revision without v"),
        pytest.param("us.deepseek.r1-v1:0", "deepseek-r1", "", "", "", id="a maker who is part of the name"),
        pytest.param("openai/gpt-oss-20b:free", "gpt-oss-20b", "free", "", "openai", id="another offer"),
        pytest.param("ft:gpt-4o-2024-08-06:me::x", "gpt-4o-2024-08-06", "ft:me::x", "", "", id="a tuned one"),
        pytest.param("qwen2.5-coder:7b", "qwen2-5-coder", "7b", "", "", id="a tag"),
        pytest.param("meta.llama3-1-8b-instruct-v1:0", "llama3-1-8b-instruct", "", "", "meta", id="a llama"),
        pytest.param(
            "~google/gemini-pro-latest", "gemini-pro-latest", "", "", "google", id="a pointer at the newest"
        ),
        pytest.param("", "", "", "", "", id="nothing"),
    ],
)
def test_what_a_name_means(name, model, variant, snapshot, maker):
    assert identity(name) == Identity(model, variant, snapshot, maker)


SAME = {
    "claude-3-5-sonnet": [
        "claude-3-5-sonnet-20241022",
        "claude-3-5-sonnet-latest",
        "anthropic/claude-3.5-sonnet",
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "apac.anthropic.claude-3-5-sonnet-20241022-v2:0",
    ],
    "claude-sonnet-4-5": [
        "claude-sonnet-4-5-20250929",
        "anthropic/claude-sonnet-4.5",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
    "claude-opus-4": ["claude-opus-4-0", "claude-opus-4-20250514", "anthropic/claude-opus-4"],
    "gpt-4o": ["openai/gpt-4o", "gpt-4o-2024-11-20", "openai/gpt-4o-2024-11-20"],
    "gpt-3.5-turbo": ["gpt-35-turbo", "openai/gpt-3.5-turbo", "gpt-3.5-turbo-0125"],
    "gemini-2.0-flash": ["models/gemini-2.0-flash", "gemini-2.0-flash-001", "google/gemini-2.0-flash-001"],
    "llama-3.1-8b-instruct": ["meta.llama3-1-8b-instruct-v1:0", "meta-llama/llama-3.1-8b-instruct"],
    "nova-lite": ["amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0", "amazon/nova-lite-v1"],
    "mistral-large-2407": ["mistral.mistral-large-2407-v1:0", "mistralai/mistral-large-2407"],
    "qwen3-32b": ["qwen.qwen3-32b-v1:0", "qwen/qwen3-32b"],
}


@pytest.mark.parametrize("name", SAME)
def test_names_of_one_model(name):
    for one, other in combinations([name, *SAME[name]], 2):
        assert same_model(one, other), (one, other)
        assert same_model(other, one), (other, one)


@pytest.mark.parametrize(("one", "other"), list(combinations(SAME, 2)))
def test_no_name_of_one_is_one_of_the_other(one, other):
    for first in [one, *SAME[one]]:
        assert not [second for second in [other, *SAME[other]] if same_model(first, second)], first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("gpt-4o", "gpt-4o-mini", id="sizes"),
        pytest.param("gpt-4", "gpt-4.1", id="versions"),
        pytest.param("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022", id="two snapshots"),
        pytest.param("gpt-oss-20b", "openai/gpt-oss-20b:free", id="an offer on other terms"),
        pytest.param(
            "claude-3.7-sonnet", "anthropic/claude-3.7-sonnet:thinking", id="one that always thinks"
        ),
        pytest.param(
            "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0", id="vendors' own versions"
        ),
        pytest.param("gpt-4o", "ft:gpt-4o:me::x", id="a tuned one"),
        pytest.param("openai/gpt-4o", "somebody/gpt-4o", id="a namesake by another maker"),
        pytest.param("gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025", id="a preview"),
        pytest.param("llama3.1:8b", "llama3.1:70b", id="tags"),
        pytest.param("chatgpt-4o-latest", "gpt-4o", id="the one behind the web page"),
    ],
)
def test_names_of_two_models(one, other):
    assert not same_model(one, other)
    assert not same_model(other, one)


@given(st.one_of(st.text(max_size=60), st.text("abgptv1420-.:/@ ", max_size=40)))
def test_any_text_is_a_name_that_means_itself(name):
    assert same_model(name, name)
    assert identity(name) == identity(f" {name.lower()} ")


def test_no_length_makes_it_slow():
    for letter in ("a", "-", ".", ":", "a.", "-1", "/"):
        text = letter * 10 * LONGEST
        assert identity(text) == Identity(text)
