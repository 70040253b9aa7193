"""known: facts before anybody was asked, and the names others have for a model."""

import pytest
from attrs import evolve

from pipeline.identity import identity
from pipeline.known import NOTHING_KNOWN, Knowledge
from pipeline.values.targets import ModelFacts, Price
from tests.kit import provider

PRICE = Price(2.5, 10.0, 1.25)


def known(**kinds):
    models = {
        kind: {name.lower(): ModelFacts(name, **facts) for name, facts in named.items()}
        for kind, named in kinds.items()
    }
    return Knowledge(models, frozenset(models) - {"home"}, frozenset(models) - {"home", "owned"})


CATALOGUE = known(
    cloud={
        "gpt-4o": {"context_length": 128, "price": PRICE},
        "gpt-4o-2024-05-13": {"context_length": 5},
        "o3-2025-01-01": {"context_length": 1},
        "o3-2025-02-01": {"context_length": 2},
    },
    regions={
        "anthropic.claude-x-20250101-v1:0": {"context_length": 9},
        "us.anthropic.claude-x-20250101-v1:0": {},
        "eu.anthropic.claude-x-20250101-v1:0": {},
        "global.anthropic.claude-x-20250101-v1:0": {},
    },
    broker={"openai/gpt-4o": {}, "openai/gpt-4o:free": {}, "other/gpt-4o": {}},
    home={"gpt-4o": {}},
    owned={"gpt-4o": {}},
)


@pytest.mark.parametrize(
    ("kind", "name", "context", "price"),
    [
        pytest.param("cloud", "GPT-4o:latest", 128, PRICE, id="itself, however spelt"),
        pytest.param("cloud", "gpt-4o-2024-05-13", 5, None, id="a snapshot with facts of its own"),
        pytest.param("cloud", "gpt-4o-2024-08-06", 128, PRICE, id="a snapshot without: the model's"),
        pytest.param("cloud", "o3-2025-01-01", 1, None, id="one of several snapshots"),
        pytest.param("cloud", "o3", 2, None, id="no snapshot named: the newest"),
        pytest.param("cloud", "o3-2026-01-01", 2, None, id="an unknown one: the newest"),
        pytest.param("cloud", "gpt-4o:nitro", 128, None, id="a variant, at a price nobody told"),
        pytest.param("cloud", "ft:gpt-4o:me::x", 128, None, id="a tuned one"),
        pytest.param("regions", "apac.anthropic.claude-x-20250101-v1:0", 9, None, id="a region not listed"),
        pytest.param("cloud", "gpt-9", None, None, id="nothing is known"),
        pytest.param("nobody", "gpt-4o", None, None, id="of a kind nothing is known of"),
    ],
)
def test_facts(kind, name, context, price):
    facts = CATALOGUE.facts(kind, name)
    assert (facts and facts.context_length, facts and facts.price) == (context, price)


def at(kind, **settings):
    return provider("p", kind=kind, settings=settings)


@pytest.mark.parametrize(
    ("place", "asked", "listed", "name"),
    [
        pytest.param(at("cloud"), "openai/gpt-4o", None, "gpt-4o", id="the vendor's own name"),
        pytest.param(at("cloud"), "gpt-4o-2024-05-13", None, "gpt-4o-2024-05-13", id="the same snapshot"),
        pytest.param(at("cloud"), "gpt-4o-2030-01-01", None, "gpt-4o", id="else the name that leaves it open"),
        pytest.param(at("cloud"), "o3-2030-01-01", None, None, id="never another snapshot"),
        pytest.param(at("cloud"), "o3", None, "o3-2025-02-01", id="the newest where none is named"),
        pytest.param(at("broker"), "gpt-4o", None, None, id="no guess between two makers"),
        pytest.param(at("broker"), "openai/gpt-4o", None, "openai/gpt-4o", id="by the maker that is named"),
        pytest.param(at("cloud"), "gpt-4o", ("x", "gpt-4o-2024-08-06"), "gpt-4o-2024-08-06", id="as it lists"),
        pytest.param(at("cloud"), "gpt-4o", ("x",), None, id="not where its list is without it"),
        pytest.param(at("home"), "gpt-4o", ("gpt-4o",), None, id="never at home"),
        pytest.param(at("owned"), "gpt-4o", None, None, id="no guess where owners name"),
        pytest.param(at("owned"), "openai/gpt-4o", ("gpt-4o",), "gpt-4o", id="but as the owner listed"),
        pytest.param(
            at("regions", region="eu-west-1"), "claude-x", None, "eu.anthropic.claude-x-20250101-v1:0", id="near"
        ),
        pytest.param(at("regions"), "claude-x", None, "anthropic.claude-x-20250101-v1:0", id="in no region"),
        pytest.param(
            at("regions", region="ap-south-1"), "claude-x", ("us.anthropic.claude-x-20250101-v1:0", "global.anthropic.claude-x-20250101-v1:0"),
            "global.anthropic.claude-x-20250101-v1:0", id="everywhere rather than far away",
        ),
    ],
)  # fmt: skip
def test_the_name_somewhere_else(place, asked, listed, name):
    told = listed and tuple(map(ModelFacts, listed))
    assert CATALOGUE.name_at(place, identity(asked), told) == name


def test_a_name_that_must_fit_exactly():
    wanted = identity("gpt-4o-2030-01-01")
    assert CATALOGUE.name_at(at("cloud"), wanted, None, exact=True) is None


def test_a_catalogue_that_shares_nothing():
    alone = evolve(CATALOGUE, shared=frozenset(), guessed=frozenset())
    assert alone.facts("cloud", "gpt-4o").price == PRICE
    assert alone.name_at(at("cloud"), identity("openai/gpt-4o"), None) is None
    assert not alone.shares("cloud", identity("gpt-4o"))
    assert NOTHING_KNOWN.facts("cloud", "gpt-4o") is None
