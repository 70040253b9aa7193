import pytest

from adapters.google_listing import entry, page
from adapters.listing import Model
from pipeline.values.targets import ModelFacts, Provider, Target


def model(name, *capabilities, **facts):
    known = ModelFacts(name, capabilities=frozenset(capabilities), **facts)
    return Model(name, (Target(Provider("p", "openai", "https://x"), known),))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(
            model("gpt-4o", "completion", "tools", context_length=128000, output_limit=16384),
            {
                "name": "models/gpt-4o",
                "version": "001",
                "displayName": "gpt-4o",
                "inputTokenLimit": 128000,
                "outputTokenLimit": 16384,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            },
            id="one that talks",
        ),
        pytest.param(
            model("a/b", "completion", "thinking"),
            {
                "name": "models/a/b",
                "version": "001",
                "displayName": "a/b",
                "supportedGenerationMethods": ["generateContent", "countTokens"],
                "thinking": True,
            },
            id="one that thinks, of whom no limits are known",
        ),
        pytest.param(
            model("e", "embedding"),
            {
                "name": "models/e",
                "version": "001",
                "displayName": "e",
                "supportedGenerationMethods": ["embedContent"],
            },
            id="one that embeds",
        ),
    ],
)
def test_a_model(given, told):
    assert entry(given, given.name) == told


@pytest.mark.parametrize(
    ("size", "token", "names", "following"),
    [
        pytest.param("", "", ["a", "b", "c"], None, id="all on one page"),
        pytest.param("2", "", ["a", "b"], "2", id="the first page"),
        pytest.param("2", "2", ["c"], None, id="the last page"),
        pytest.param("0", "1", ["b", "c"], None, id="no size is the usual one"),
        pytest.param("9999", "9", [], None, id="beyond the end"),
    ],
)
def test_pages(size, token, names, following):
    found = page(tuple(model(name, "completion") for name in "abc"), size, token)
    assert [each["displayName"] for each in found["models"]] == names
    assert found.get("nextPageToken") == following


@pytest.mark.parametrize(("size", "token"), [("x", ""), ("-1", ""), ("", "x"), ("", "1" * 30)])
def test_what_means_nothing(size, token):
    assert page((), size, token) is None
