"""serving: facts from three sources, and the same model under its other names."""

import pytest

from pipeline.known import Knowledge
from pipeline.names import permits
from pipeline.serving import UNGRANTED, completed, fitted, resolve_facts, who_serves
from pipeline.values.messages import EmbedRequest, Thinking
from pipeline.values.targets import ModelFacts, ModelRule, Price, Target
from tests.kit import provider, request

OPENAI = provider("openai", kind="openai", priority=2)
ANTHROPIC = provider("anthropic", kind="anthropic", priority=3)
AZURE = provider("azure", kind="azure", priority=5)
BEDROCK = provider("bedrock", kind="aws_bedrock", priority=6, settings={"region": "us-east-1"})
OPENROUTER = provider("openrouter", kind="openrouter", priority=7)
LOCAL = provider("ollama", kind="ollama", priority=1)
VLLM = provider("vllm", kind="openai", priority=2)
PATTERNS = {
    "openai": ("gpt-[0-9]*",),
    "anthropic": ("claude-*",),
    "ollama": ("gpt-oss*",),
    "openrouter": ("*/*",),
    "aws_bedrock": ("anthropic.claude*", "us.*", "eu.*", "global.*"),
    "azure": ("*@*.azure.com",),
}

SONNET = "claude-3-5-sonnet-20241022"
BEDROCK_SONNET = "anthropic.claude-3-5-sonnet-20241022-v2:0"
MODELS = {
    "openai": ("gpt-4o", "gpt-4o-mini"),
    "anthropic": (SONNET, "claude-3-5-sonnet-20240620"),
    "azure": ("gpt-4o",),
    "aws_bedrock": (BEDROCK_SONNET, f"us.{BEDROCK_SONNET}", f"eu.{BEDROCK_SONNET}", "openai.gpt-oss-20b-1:0"),
    "openrouter": (
        "anthropic/claude-3.5-sonnet",
        "openai/gpt-4o",
        "openai/gpt-oss-20b",
        "openai/gpt-oss-20b:free",
    ),
    "ollama": ("gpt-oss:20b",),
}
CLOUD = frozenset(MODELS) - {"ollama"}
KNOWN = Knowledge(
    {kind: {name: ModelFacts(name, context_length=7) for name in named} for kind, named in MODELS.items()},
    CLOUD,
    CLOUD - {"azure"},
)
CONTENT = (OPENAI, ANTHROPIC, BEDROCK, OPENROUTER)


def lists(**named):
    return {name: tuple(map(ModelFacts, listed)) for name, listed in named.items()}


def serving(name, providers, told=None, rules=None, allowed=permits(()), known=KNOWN):
    found = who_serves(
        name, {one.name: one for one in providers}, told or {}, rules or {}, PATTERNS, allowed, known
    )
    return [target.name for target in found.targets], found.why


@pytest.mark.parametrize(
    ("asked", "providers", "told", "targets", "why"),
    [
        pytest.param(
            "claude-3-5-sonnet", CONTENT, {},
            [f"anthropic/{SONNET}", f"bedrock/us.{BEDROCK_SONNET}", "openrouter/anthropic/claude-3.5-sonnet"],
            "pattern", id="a name without a snapshot, before anybody has told a list",
        ),
        pytest.param(
            "claude-3-5-sonnet", CONTENT,
            lists(anthropic=[SONNET], bedrock=[f"eu.{BEDROCK_SONNET}"], openrouter=["anthropic/claude-3.5-sonnet:beta"]),
            [f"anthropic/{SONNET}", f"bedrock/eu.{BEDROCK_SONNET}"],
            "pattern", id="by their lists, where these are known",
        ),
        pytest.param(
            "claude-3-5-sonnet-20240620", CONTENT, lists(anthropic=[SONNET, "claude-3-5-sonnet-20240620"]),
            ["anthropic/claude-3-5-sonnet-20240620", "openrouter/anthropic/claude-3.5-sonnet"],
            "listed", id="no other snapshot stands in for the one that was asked",
        ),
        pytest.param(
            "anthropic/claude-3.5-sonnet", (BEDROCK, OPENROUTER), lists(openrouter=["anthropic/claude-3.5-sonnet"]),
            ["openrouter/anthropic/claude-3.5-sonnet", f"bedrock/us.{BEDROCK_SONNET}"],
            "listed", id="asked by a reseller's name",
        ),
        pytest.param(
            "anthropic/claude-3.5-sonnet", CONTENT, {},
            [f"anthropic/{SONNET}"],
            "qualified", id="a provider that is named serves alone, under its own name",
        ),
        pytest.param(
            BEDROCK_SONNET, (ANTHROPIC, BEDROCK), {},
            [f"bedrock/{BEDROCK_SONNET}", f"anthropic/{SONNET}"],
            "pattern", id="the very name that was asked, where it is known",
        ),
        pytest.param(
            "gpt-4o", (OPENAI, AZURE, OPENROUTER), lists(openai=["gpt-4o"], azure=["gpt-4o"]),
            ["openai/gpt-4o", "azure/gpt-4o", "openrouter/openai/gpt-4o"],
            "listed", id="listed by two, and known of a third",
        ),
        pytest.param(
            "gpt-4o", (OPENAI, AZURE), lists(openai=["gpt-4o"]),
            ["openai/gpt-4o"],
            "listed", id="no guess at what an owner may have named",
        ),
        pytest.param(
            "gpt-4o", (LOCAL, OPENROUTER), lists(ollama=["llama3"]),
            ["openrouter/openai/gpt-4o"],
            "equivalent", id="nobody has the name, somebody the model",
        ),
        pytest.param(
            "gpt-4o-2030-01-01", (OPENAI, OPENROUTER), {},
            ["openai/gpt-4o-2030-01-01", "openrouter/openai/gpt-4o"],
            "pattern", id="a snapshot nobody knows is asked for as it is",
        ),
        pytest.param(
            "gpt-9", (OPENAI, OPENROUTER), lists(openai=["gpt-9"], openrouter=["openai/gpt-9"]),
            ["openai/gpt-9"],
            "listed", id="what the catalogue does not know is no equivalent",
        ),
        pytest.param(
            "gpt-oss-20b", (VLLM, OPENROUTER), lists(vllm=["gpt-oss-20b"]),
            ["vllm/gpt-oss-20b"],
            "listed", id="a model of a server of one's own stays there",
        ),
        pytest.param(
            "gpt-oss-20b", (LOCAL, OPENROUTER), lists(ollama=["gpt-oss-20b"]),
            ["ollama/gpt-oss-20b"],
            "listed", id="a model at home stays at home",
        ),
        pytest.param(
            "gpt-oss-20b", (LOCAL, OPENROUTER), {},
            ["ollama/gpt-oss-20b"],
            "pattern", id="also while home has not told what it has",
        ),
        pytest.param(
            "openai/gpt-oss-20b:free", (BEDROCK, OPENROUTER), {},
            ["openrouter/openai/gpt-oss-20b:free"],
            "pattern", id="nobody else has an offer on other terms",
        ),
        pytest.param("nothing", CONTENT, {}, [], "pattern", id="nobody's"),
        pytest.param(
            "gpt-4o@mine.azure.com", (OPENAI, AZURE, OPENROUTER), lists(openai=["gpt-4o"], azure=["gpt-4o"]),
            ["azure/gpt-4o@mine.azure.com"],
            "pattern", id="what names a host goes to nobody else",
        ),
        pytest.param(
            "gpt-4o@elsewhere.test", (OPENAI, AZURE, OPENROUTER), lists(openai=["gpt-4o"]),
            [], "pattern", id="nor does what names a host of nobody's",
        ),
        pytest.param(
            "claude-3-5-sonnet@20241022", (ANTHROPIC,), {},
            [f"anthropic/{SONNET}"], "pattern", id="a date is no host",
        ),
        pytest.param(
            "openai/gpt-oss-20b", (OPENAI, OPENROUTER), lists(openai=["gpt-4o"], openrouter=["openai/gpt-oss-20b"]),
            ["openrouter/openai/gpt-oss-20b"],
            "listed", id="a vendor's name before that of a model only another one lists",
        ),
        pytest.param(
            "openai/gpt-4o", (OPENAI, OPENROUTER), lists(openai=["gpt-4o"], openrouter=["openai/gpt-4o"]),
            ["openai/gpt-4o"],
            "qualified", id="the provider that is named has it itself",
        ),
        pytest.param(
            "openai/gpt-4o-2024-11-20", (OPENAI, OPENROUTER), lists(openai=["gpt-4o"], openrouter=["openai/gpt-4o"]),
            ["openai/gpt-4o-2024-11-20"],
            "qualified", id="what nobody lists is asked of the provider that is named",
        ),
        pytest.param(
            "openai/gpt-oss-20b", (OPENAI, OPENROUTER), lists(openrouter=["openai/gpt-oss-20b"]),
            ["openai/gpt-oss-20b"],
            "qualified", id="who has told no list may have it",
        ),
        pytest.param(
            f"us.{BEDROCK_SONNET}", (BEDROCK,), lists(bedrock=[BEDROCK_SONNET]),
            [f"bedrock/us.{BEDROCK_SONNET}"],
            "pattern", id="a profile of the account's own region is asked for as it is",
        ),
        pytest.param(
            f"global.{BEDROCK_SONNET}", (BEDROCK,), lists(bedrock=[BEDROCK_SONNET]),
            [f"bedrock/global.{BEDROCK_SONNET}"],
            "pattern", id="and so is a profile of the whole world",
        ),
        pytest.param(
            f"eu.{BEDROCK_SONNET}", (BEDROCK,), lists(bedrock=[BEDROCK_SONNET]),
            [f"bedrock/{BEDROCK_SONNET}"],
            "pattern", id="one of another region is not there",
        ),
    ],
)  # fmt: skip
def test_who_has_the_same_model(asked, providers, told, targets, why):
    assert serving(asked, providers, told) == (targets, why)


def test_an_alias_goes_before_all():
    rules = {"gpt-4o": ModelRule(targets=("openrouter/openai/gpt-4o", "gone/x"))}
    assert serving("gpt-4o", (OPENAI, OPENROUTER), rules=rules) == (["openrouter/openai/gpt-4o"], "alias")


def test_without_equivalence_a_name_is_a_name():
    alone = Knowledge(KNOWN.models)
    assert serving("claude-3-5-sonnet", CONTENT, known=alone) == (["anthropic/claude-3-5-sonnet"], "pattern")


@pytest.mark.parametrize(
    ("filters", "targets"),
    [
        pytest.param(
            ["claude-3-5-sonnet"], 3, id="what was asked for is admitted, whatever it is called there"
        ),
        pytest.param(["*", f"!{SONNET}"], 2, id="a name at one provider is excluded"),
        pytest.param(["*", "!claude-3-5-sonnet"], 0, id="what was asked for is excluded"),
        pytest.param(["*", "!openrouter/*"], 2, id="a provider is excluded"),
        pytest.param(["gpt-*"], 0, id="others are admitted"),
    ],
)
def test_the_filter_holds_for_the_asked_and_the_own_name(filters, targets):
    found, _ = serving("claude-3-5-sonnet", CONTENT, allowed=permits(filters))
    assert len(found) == targets


CATALOGUED = Knowledge(
    {
        "openai": {
            "m": ModelFacts("m", frozenset({"tools"}), 100, family="f", output_limit=10, price=Price(1.0))
        }
    }
)
TOLD = (ModelFacts("m", context_length=200),)


@pytest.mark.parametrize(
    ("listed", "rules", "context", "output", "family"),
    [
        pytest.param(None, {}, 100, 10, "f", id="the catalogue alone"),
        pytest.param(TOLD, {}, 200, 10, "f", id="under the provider's own list"),
        pytest.param(TOLD, {"m": ModelRule(context_length=300)}, 300, 10, "f", id="under the configuration"),
        pytest.param(
            None, {"openai/m": ModelRule(output_limit=5, family="g")}, 100, 5, "g", id="of one provider"
        ),
        pytest.param(
            None, {"m": ModelRule(("x/y",), family="g")}, 100, 10, "f", id="an alias states nothing"
        ),
    ],
)
def test_facts_lie_over_one_another(listed, rules, context, output, family):
    facts = resolve_facts(OPENAI, "M:latest", listed, rules, CATALOGUED)
    assert (facts.context_length, facts.output_limit, facts.family) == (context, output, family)
    assert facts.capabilities == {"tools"}
    assert facts.price == Price(1.0)


def test_what_was_told_is_never_changed_by_completing():
    told = ModelFacts("a", frozenset(), 0)
    whole = completed(told, ModelFacts("b", frozenset({"tools"}), 5, family="f"))
    assert whole == ModelFacts("a", frozenset(), 0, family="f")


@pytest.mark.parametrize("asked", [f"eu.{BEDROCK_SONNET}", f"us.{BEDROCK_SONNET}"])
def test_a_name_that_says_its_region_stays_there(asked):
    """Nobody else stands in: where a request may be read can be a matter of law."""
    assert serving(asked, CONTENT) == ([f"bedrock/{asked}"], "pattern")
    assert serving(asked, (ANTHROPIC, OPENAI))[0] == []


def test_what_runs_anywhere_has_others_beside_it():
    assert len(serving(f"global.{BEDROCK_SONNET}", CONTENT)[0]) == 3


WISH = Thinking(True, "high", wish=True)
PLAIN, THINKS = frozenset({"completion"}), frozenset({"completion", "thinking"})


@pytest.mark.parametrize(
    ("asked", "able", "expected"),
    [
        pytest.param(WISH, PLAIN, UNGRANTED, id="a wish is not told to who cannot"),
        pytest.param(WISH, THINKS, WISH, id="it is to who can"),
        pytest.param(WISH, None, WISH, id="and to who may be able"),
        pytest.param(Thinking(True), PLAIN, Thinking(True), id="a demand always is"),
        pytest.param(Thinking(False), PLAIN, Thinking(False), id="off stays off"),
        pytest.param(None, PLAIN, None, id="nothing stays nothing"),
    ],
)
def test_a_request_as_a_target_is_asked_it(asked, able, expected):
    sent = request(thinking=asked)
    found = fitted(sent, Target(OPENAI, ModelFacts("m", able)))
    assert found.thinking == expected
    assert (found is sent) == (asked == expected)


def test_embeddings_fit_as_they_are():
    asked = EmbedRequest("m", ("x",))
    assert fitted(asked, Target(OPENAI, ModelFacts("m", PLAIN))) is asked
