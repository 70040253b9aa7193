"""The table of what becomes of each feature at each provider: the page says what the codecs do."""

from pathlib import Path

import pytest
from attrs import evolve

from adapters.providers import CODECS
from adapters.providers.fidelity import SAMPLING, TALK, Feature, Verdict, embedders, page, talkers, verdict
from adapters.providers.openai import CODEC
from pipeline.ports import Encoded
from pipeline.values.exchange import How, Loss
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, Message, Role, Text
from pipeline.values.problems import Kind, Problem
from tests.adapters.providers.recorded import target

PAGE = Path(__file__).resolve().parents[3] / "docs" / "fidelity.md"
PLAIN = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),))
MARKED = Feature("a mark", evolve(PLAIN, user="mark"), PLAIN, ("mark",))


def test_the_page_is_what_the_codecs_do():
    assert PAGE.read_text(encoding="utf-8") == page(CODECS), "python -m scripts.write_fidelity writes it anew"


def codec(asked, plain=None):
    """A codec that knows one answer for the marked request, and one for all others."""
    plain = plain or sent(b"{}")
    return evolve(CODEC, encode=lambda request, _: asked if request.user else plain)


def sent(body, *losses, url="http://x"):
    return Encoded(HttpRequest("POST", url, {}, body), losses)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(sent(b'{"user":"mark"}'), Verdict.KEPT, id="its own words are sent"),
        pytest.param(sent(b'{"a":[{"b":"the mark is here"}]}'), Verdict.KEPT, id="within others, anywhere"),
        pytest.param(sent(b'{"who":1}'), Verdict.MAPPED, id="other words are sent"),
        pytest.param(sent(b"{}", url="http://x/mark2"), Verdict.KEPT, id="the address says it"),
        pytest.param(sent(b"{}"), Verdict.IMPLIED, id="nothing is sent and nothing reported"),
        pytest.param(sent(b"{}", Loss("user", How.MOOT)), Verdict.MOOT, id="it changes nothing"),
        pytest.param(sent(b"{}", Loss("user", How.DROPPED)), Verdict.DROPPED, id="it is left out"),
        pytest.param(
            sent(b'{"user":"mark"}', Loss("a", How.EMULATED), Loss("b", How.APPROXIMATED)),
            Verdict.APPROXIMATED,
            id="the worst loss counts, whatever is sent",
        ),
        pytest.param(Problem(Kind.UNSUPPORTED), Verdict.REFUSED, id="it is not asked"),
    ],
)
def test_verdicts(answer, expected):
    assert verdict(codec(answer), target(), MARKED) is expected


def test_what_is_lost_without_the_feature_as_well_is_not_lost_by_it():
    loss = Loss("other", How.DROPPED)
    assert verdict(codec(sent(b'{"user":"mark"}', loss), sent(b"{}", loss)), target(), MARKED) is Verdict.KEPT


def test_any_kind_has_its_columns():
    unheard_of = {"unheard_of": evolve(CODEC, kind="unheard_of")}
    (column,) = talkers(unheard_of)
    assert column.kind == "unheard_of"
    assert len(column.verdicts) == sum(len(group.features) for group in TALK)
    assert "| `unheard_of` |" in page(unheard_of)
    assert (
        {column.kind for column in talkers(CODECS)}
        == {column.kind for column in embedders(CODECS)}
        == set(CODECS)
    )


def test_names_of_features_differ_within_their_group():
    for group in TALK:
        names = [feature.name for feature in group.features]
        assert len(set(names)) == len(names)


# What every provider can be asked for: a table that says otherwise has found a mistake.
EVERYWHERE = [
    *("Conversation/system", "Conversation/several turns", "Conversation/picture by data", "Tools/functions"),
    *("Tools/calls and results", "Form of the answer/stream", "Prompts without turns/prompt"),
    "Length and sampling/`max_tokens`",
]


@pytest.mark.parametrize("column", talkers(CODECS), ids=lambda column: f"{column.kind} {column.model}")
@pytest.mark.parametrize("name", EVERYWHERE)
def test_what_every_provider_can_be_asked_for(column, name):
    assert column.verdicts[name] in (Verdict.KEPT, Verdict.MAPPED)


@pytest.mark.parametrize("column", talkers(CODECS), ids=lambda column: f"{column.kind} {column.model}")
def test_no_option_of_sampling_is_lost_unseen(column):
    """Each has a value that is nobody's default, so it is either sent or reported."""
    unsaid = [
        feature.name
        for feature in SAMPLING.features
        if column.verdicts[f"{SAMPLING.name}/{feature.name}"] is Verdict.IMPLIED
    ]
    assert unsaid == []
