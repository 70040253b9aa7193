"""normalize: names and limits."""

import pytest
from attrs import evolve

from pipeline.values.messages import EmbedRequest, Sampling, Source
from stages.normalize import NormalizeOptions, normalized
from tests.kit import exchange, request

SOURCE = Source("ollama.chat", {"model": "m"})


@pytest.mark.parametrize(
    ("asked", "options", "expected"),
    [
        pytest.param(None, NormalizeOptions(), None, id="no limits: the client's own, none"),
        pytest.param(
            None, NormalizeOptions(default_max_tokens=10), 10, id="a default where the client gave none"
        ),
        pytest.param(
            5, NormalizeOptions(default_max_tokens=10), 5, id="the client's own goes before the default"
        ),
        pytest.param(50, NormalizeOptions(max_tokens=20), 20, id="more than the limit is cut to it"),
        pytest.param(
            None, NormalizeOptions(max_tokens=20), 20, id="no limit of the client's means the house's"
        ),
        pytest.param(
            None,
            NormalizeOptions(max_tokens=20, default_max_tokens=30),
            20,
            id="the limit holds for the default",
        ),
    ],
)
def test_the_length_of_the_answer(asked, options, expected):
    given = exchange(request=request(sampling=Sampling(max_tokens=asked), source=SOURCE))
    after = normalized(given, options)
    assert after.request.sampling.max_tokens == expected
    assert (after.request.source is None) == (asked != expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("gpt-4", "gpt-4o", id="as written"),
        pytest.param("GPT-4:latest", "gpt-4o", id="whatever its case and tag"),
        pytest.param("gpt-4-turbo", "gpt-4-turbo", id="not a part of a name"),
    ],
)
def test_renaming_keeps_the_clients_own_json(name, expected):
    given = exchange(request=evolve(request(source=SOURCE), model=name))
    after = normalized(given, NormalizeOptions(rename={"gpt-4": "gpt-4o"}))
    assert after.request.model == expected
    assert after.request.source is SOURCE


def test_what_needs_no_change_is_not_copied():
    given = exchange(request=EmbedRequest("e", ("x",)))
    assert normalized(given, NormalizeOptions(max_tokens=3)) is given
