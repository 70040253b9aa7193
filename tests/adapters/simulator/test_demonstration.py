"""The embedded provider says what it is, answers in every form, and fits simple schemas."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.simulator.demo import DEMO_MODELS, DEMO_PROVIDER, demo_scenario
from adapters.simulator.demonstration import NEXT, NOTICE, demonstrated
from adapters.simulator.sample import sample
from adapters.simulator.script import Ask, calls_of, text_of, thinking_of
from pipeline.values.messages import Format, Tool
from tests.adapters.simulator.kit import WEATHER, document, events, post, user

CHAT = DEMO_PROVIDER.base_url.removeprefix("http://demo.invalid") + "/chat/completions"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


@given(st.text(), st.integers(0, 3), st.booleans())
def test_the_first_words_say_that_it_is_a_demonstration(text, images, thinking):
    script = demonstrated(Ask(text, images=images, thinking=thinking))
    assert text_of(script.said).startswith(NOTICE)
    assert text_of(script.said).endswith(NEXT)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        pytest.param(Ask("Why is the sky blue?"), "Why is the sky blue?", id="the question comes back"),
        pytest.param(Ask("w " * 100), "w …”", id="a long question is cut"),
        pytest.param(Ask("what?", images=2), "2 pictures came along", id="pictures are counted"),
        pytest.param(Ask("w", result="22 degrees"), "22 degrees", id="the tool's answer comes back"),
        pytest.param(Ask("a", suffix="b"), "between prompt and suffix", id="a gap"),
        pytest.param(Ask("a"), "OPENAI_API_KEY", id="what to set next"),
    ],
)
def test_what_it_says(ask, words):
    assert words in text_of(demonstrated(ask).deltas)


def test_it_comes_word_by_word():
    deltas = demonstrated(Ask("hi")).deltas
    assert len(deltas) > 20
    assert all(len(delta.text.split()) == 1 for delta in deltas)


def test_a_thinking_model_thinks_first():
    deltas = demonstrated(Ask("hi", thinking=True)).deltas
    thought = thinking_of(deltas)
    assert thought
    assert thinking_of(deltas[: len(thought.split())]) == thought


def test_a_limit_is_kept():
    script = demonstrated(Ask("hi", max_tokens=4))
    assert (text_of(script.deltas), script.finish) == ("This is a demonstration:", "length")


def test_a_tool_is_called_once():
    tool = Tool("get_weather", parameters=WEATHER["function"]["parameters"])
    script = demonstrated(Ask("weather?", tools=(tool,)))
    (call,) = calls_of(script.deltas)
    assert (call.name, json.loads(call.arguments), script.finish) == (
        "get_weather",
        {"city": "Paris", "n": 1},
        "tool_calls",
    )
    assert not calls_of(demonstrated(Ask("weather?", tools=(tool,), result="22")).deltas)


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"type": "string"}])
def test_arguments_are_always_an_object(parameters):
    (call,) = calls_of(demonstrated(Ask("x", tools=(Tool("f", parameters=parameters),))).deltas)
    assert isinstance(json.loads(call.arguments), dict)


def test_json_fits_the_schema():
    said = json.loads(text_of(demonstrated(Ask("x", format=Format(PERSON))).deltas))
    assert said == {"name": "Ada", "age": 1, "tags": ["example"]}


def test_json_without_a_schema_says_what_it_is():
    assert json.loads(text_of(demonstrated(Ask("x", format=Format())).deltas))["demonstration"] is True


def test_texts_that_share_words_are_near():
    one, two, other = demonstrated(Ask(embed=("the blue sky", "a blue sky", "tax law 1997"))).vectors

    def near(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(one, one) == pytest.approx(1.0)
    assert near(one, two) > near(one, other)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"const": 5}, 5, id="a constant"),
        pytest.param({"enum": ["b", "a"]}, "b", id="the first of several"),
        pytest.param({"type": "string", "default": "d"}, "d", id="the default"),
        pytest.param({"type": ["null", "integer"], "minimum": 7}, 7, id="not null where it may be more"),
        pytest.param({"type": "number"}, 1, id="a number"),
        pytest.param(
            {"type": "integer", "exclusiveMinimum": 0, "minimum": -(2**53) + 1}, 1, id="a bound far below 1"
        ),
        pytest.param({"type": "number", "minimum": -40}, 1, id="the same of a number"),
        pytest.param({"type": "integer", "exclusiveMinimum": 1}, 2, id="a bound that is not met itself"),
        pytest.param({"type": "number", "minimum": 2.5}, 3, id="a whole number above a broken bound"),
        pytest.param({"type": "number", "maximum": -0.5}, -1, id="a whole number below one"),
        pytest.param({"type": "number", "minimum": 0.25, "maximum": 0.75}, 0.5, id="no whole number fits"),
        pytest.param({"type": "integer", "exclusiveMaximum": 0}, -1, id="all is below 0"),
        pytest.param({"type": "boolean"}, True, id="a boolean"),
        pytest.param({"type": "null"}, None, id="null"),
        pytest.param({"type": "string", "format": "date"}, "2026-01-31", id="a date"),
        pytest.param({"type": "string", "minLength": 9}, "example..", id="a long text"),
        pytest.param({"type": "string", "maxLength": 2}, "ex", id="a short text"),
        pytest.param({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1], id="a list"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1, id="any of several"),
        pytest.param({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}, True, id="a reference"),
        pytest.param(
            {"properties": {"city": {"type": "string"}}}, {"city": "Paris"}, id="an object without a type"
        ),
        pytest.param({}, None, id="anything"),
        pytest.param(True, None, id="no schema at all"),
    ],
)
def test_samples(schema, value):
    assert sample(schema) == value


@given(
    st.sampled_from(["integer", "number"]),
    st.dictionaries(
        st.sampled_from(["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"]),
        st.integers(-(2**60), 2**60),
        max_size=2,
    ),
)
def test_a_number_is_within_its_bounds(kind, bounds):
    least = max(bounds.get("minimum", -(2**62)), bounds.get("exclusiveMinimum", -(2**62)) + 1)
    most = min(bounds.get("maximum", 2**62), bounds.get("exclusiveMaximum", 2**62) - 1)
    assume(least <= most)
    number = sample({"type": kind, **bounds})
    assert least <= number <= most
    assert type(number) is int
    assert number == 1 or not least <= 1 <= most


def test_a_schema_that_contains_itself_comes_to_an_end():
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert json.dumps(sample(node)).count("next") < 10


@pytest.mark.parametrize(
    "name", [name for name, rule in DEMO_MODELS.items() if "completion" in rule.capabilities]
)
def test_every_demo_model_streams_in_the_wire_format(name):
    body = {"model": name, "messages": user("hi"), "stream": True}
    played = post(CHAT, body, demo_scenario())
    deltas = [frame["choices"][0]["delta"] for frame in events(played)[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas).startswith(NOTICE)
    assert any("reasoning_content" in delta for delta in deltas) == (name == "demo-thinking")
    assert sum(delay for delay, _ in played.chunks) == pytest.approx(0.02 * (len(deltas) - 2))


def test_the_demo_embeds():
    body = {"model": "demo-embed", "input": ["a", "b"]}
    answer = document(post(CHAT.replace("chat/completions", "embeddings"), body, demo_scenario()))
    assert [len(entry["embedding"]) for entry in answer["data"]] == [
        DEMO_MODELS["demo-embed"].embedding_length
    ] * 2
