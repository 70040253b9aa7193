"""make_models: what the sources tell, in our words."""

from datetime import date
from types import SimpleNamespace as Told

import pytest

from scripts.make_models import catalogue, day, price, written


def model(name, **told):
    given = {
        "modalities": Told(input=["text"], output=["text"]),
        "limit": Told(context=100, output=10),
        "cost": None, "family": "f", "structured_output": None, "reasoning": False, "tool_call": False, "release_date": "2026-01-02",
    }  # fmt: skip
    return Told(id=name, **(given | told))


def seller(*models):
    return Told(
        models=models, find_model=lambda name: next((one for one in models if name.startswith(one.id)), None)
    )


def priced(name, entered, left, cached=None, context=None, deprecated=False):
    prices = Told(input_mtok=entered, output_mtok=left, cache_read_mtok=cached)
    return Told(id=name, context_window=context, deprecated=deprecated, get_prices=lambda moment: prices)


def made(models=(), sellers=(), kind="openai"):
    return catalogue({kind: models}, {kind: seller(*sellers)}, date(2026, 1, 1))[kind]


def test_a_model_as_described():
    told = model(
        "m",
        modalities=Told(input=["text", "image", "audio"], output=["text", "image"]),
        cost=Told(input=1.0, output=2.5, cache_read=None),
        structured_output=True,
        reasoning=True,
        tool_call=True,
    )
    assert made([told]) == {
        "m": {
            "context": 100,
            "output": 10,
            "dimensions": None,
            "can": ["audio", "completion", "image", "thinking", "tools", "vision"],
            "schema": True,
            "price": [1.0, 2.5, None],
            "family": "f",
            "released": "2026-01-02",
        }
    }


@pytest.mark.parametrize(
    ("told", "able"),
    [
        pytest.param(model("text-embedding-3"), ["embedding"], id="embeddings by name"),
        pytest.param(model("x", family="text-embedding"), ["embedding"], id="or by family"),
        pytest.param(model("x", modalities=Told(input=["text"], output=["audio"])), ["audio"], id="speech"),
        pytest.param(model("x"), ["completion"], id="text alone"),
        pytest.param(model("a/gpt-oss-20b"), ["completion", "thinking"], id="one that always thinks"),
        pytest.param(model("gpt-3.5-turbo-instruct"), ["completion", "insert"], id="one that fills gaps"),
        pytest.param(
            model("us.amazon.nova-2-lite-v1:0"), ["completion", "thinking"], id="one that thinks if told to"
        ),
        pytest.param(model("minimax-m2"), ["completion", "thinking"], id="another that always thinks"),
        pytest.param(model("minimax-m2-her"), ["completion"], id="a kin of it that does not"),
        pytest.param(model("gpt-3.5-turbo-0125"), ["completion", "tools"], id="one that calls tools"),
        pytest.param(model("gpt-3.5-turbo-0301"), ["completion"], id="its elder that does not"),
        pytest.param(model("mistral.ministral-3-8b-instruct"), ["completion", "vision"], id="one that sees"),
    ],
)
def test_abilities(told, able):
    assert made([told])[told.id]["can"] == able


def test_the_price_of_the_seller_goes_before():
    cost = Told(input=1.0, output=2.0, cache_read=None)
    found = made([model("m-1", cost=cost), model("n", cost=cost)], [priced("m", 3, Told(base=4))])
    assert found["m-1"]["price"] == [3.0, 4.0, None]
    assert found["n"]["price"] == [1.0, 2.0, None]
    assert set(found) == {"m-1", "n"}, "a price that was used is no model of its own"


def test_a_model_that_is_priced_alone_is_known_by_that():
    found = made([], [priced("new", 1, 2, context=5), priced("old", 1, 2, deprecated=True)])
    assert found == {"new": {"context": 5, "can": None, "price": [1.0, 2.0, None]}}


def test_an_embedding_model_has_vectors_of_a_length():
    found = made([model("embed-a"), model("embed-b", limit=Told(context=5, output=1))])
    assert [(found[name]["output"], found[name]["dimensions"]) for name in found] == [
        (None, 10),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "kept"),
    [
        pytest.param("aws_bedrock", "regional.a.claude-x-v1:0", "a.claude-x-v1:0", id="a price of a region"),
        pytest.param("openai", "gpt-oss-20b", None, id="a model that another house serves"),
        pytest.param("google", "claude-x", None, id="the same"),
        pytest.param("openai", "ft:gpt-4o", None, id="what is tuned"),
        pytest.param("openai", "gpt-4o-mini.ft-", None, id="the same"),
        pytest.param("openrouter", "gpt-4o", None, id="a name without its maker"),
        pytest.param("openrouter", "openai/gpt-4o:batch", None, id="a batch"),
        pytest.param("openrouter", "openai/gpt-4o", "openai/gpt-4o", id="one with"),
    ],
)
def test_what_is_no_name(kind, name, kept):
    assert list(made([], [priced(name, 1, 2)], kind)) == ([kept] if kept else [])


def test_a_model_of_which_nothing_is_known_is_left_out():
    assert made([], [priced("a", 0, 0)]) == {}


def test_what_one_source_leaves_open_the_other_tells():
    cost = Told(input=9.0, output=0, cache_read=0.5)
    assert made([model("m", cost=cost)], [priced("m", 1, None)])["m"]["price"] == [1.0, 0.0, 0.5]


def test_a_model_that_is_priced_alone_can_what_the_same_model_can_elsewhere():
    found = catalogue(
        {"anthropic": [model("claude-x-20250101", tool_call=True)], "aws_bedrock": []},
        {
            "aws_bedrock": seller(
                priced("a.claude-x-20250101-v1:0", 1, 2, context=5), priced("a.claude-x-v1:0", 1, 2)
            )
        },
        date(2026, 1, 1),
    )["aws_bedrock"]
    entry, other = found.values()
    assert (entry["can"], entry["output"], entry["context"], entry["price"][0]) == (
        ["completion", "tools"],
        10,
        5,
        1.0,
    )
    assert other["can"] is None, "another snapshot"


def test_what_costs_nothing():
    cost = Told(input=0, output=0, cache_read=0)
    found = made([model("a", cost=cost), model("a:free", cost=cost)], kind="openrouter")
    assert found["a"]["price"] is None
    assert found["a:free"]["price"] == [0.0, 0.0, None]
    assert made([model("a", cost=Told(input=1, output=1, cache_read=1))], kind="ollama")["a"]["price"] is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param((1, 2, 0.1), [1.0, 2.0, 0.1], id="all"),
        pytest.param((0.1, 0, None), [0.1, 0.0, None], id="nothing for what comes out, as of embeddings"),
        pytest.param((0, 0, None), None, id="all nothing is unknown"),
        pytest.param((None, None, 1), None, id="the cache alone tells nothing"),
    ],
)
def test_prices(told, expected):
    assert price(*told) == expected


@pytest.mark.parametrize(
    ("told", "expected"), [("2026-01-02", "2026-01-02"), ("2026-01", None), ("", None), (None, None)]
)
def test_days(told, expected):
    assert day(told) == expected


def test_the_file_has_one_model_a_line():
    document = {
        "date": "2026-01-01",
        "models": {"b": {"y": {"price": [1.0, None, 0.5], "context": None}, "x": {"can": []}}, "a": {}},
    }
    assert written(document).decode().splitlines() == [
        "{",
        '"date": "2026-01-01",',
        '"models": {',
        '"a": {',
        "",
        "},",
        '"b": {',
        '"x":{"can":[]},',
        '"y":{"price":[1,null,0.5]}',
        "}",
        "}",
        "}",
    ]
