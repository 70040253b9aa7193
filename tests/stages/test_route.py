"""route: who can serve, in what order, and why nobody can."""

import pytest
from attrs import evolve

from pipeline.known import Knowledge
from pipeline.names import permits
from pipeline.protocol import Wire
from pipeline.serving import who_serves
from pipeline.state.board import ProviderState, Snapshot, TargetState
from pipeline.values.callers import Caller
from pipeline.values.events import Failed
from pipeline.values.exchange import Preference
from pipeline.values.messages import (
    EmbedRequest,
    Image,
    LoadRequest,
    Message,
    Prompt,
    Role,
    Text,
    Thinking,
    Tool,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts, ModelRule
from stages.route import (
    ENTRY,
    LONGEST_NAME,
    MOST_NAMES,
    UNBALANCED,
    House,
    Memory,
    RouteOptions,
    lacking,
    needs_of,
    plan_for,
)
from tests.kit import Ear, Stand, exchange, provider, request

OPENAI = provider("openai", kind="openai", priority=2)
LOCAL = provider("local", kind="ollama", priority=1)
PROVIDERS = {"openai": OPENAI, "local": LOCAL}
PATTERNS = {"openai": ("gpt-*",), "ollama": ("llama*", "gpt-oss*")}
LISTS = {
    "openai": (ModelFacts("gpt-4o"), ModelFacts("shared")),
    "local": (
        ModelFacts("llama3:latest", frozenset({"completion", "tools"}), 8192),
        ModelFacts("Shared", frozenset({"completion", "thinking"})),
        ModelFacts("nomic", frozenset({"embedding"})),
    ),
}
RULES = {
    "fast": ModelRule(
        targets=("openai/gpt-4o-mini", "local/llama3", "gone/x"), capabilities=frozenset({"completion"})
    ),
    "gpt-4o": ModelRule(capabilities=frozenset({"completion", "vision"}), context_length=128000),
}


@pytest.mark.parametrize(
    ("name", "expected", "why"),
    [
        pytest.param(
            "fast",
            ["openai/gpt-4o-mini", "local/llama3:latest"],
            "alias",
            id="an alias names its targets in order",
        ),
        pytest.param(
            "FAST:latest", ["openai/gpt-4o-mini", "local/llama3:latest"], "alias", id="an alias however spelt"
        ),
        pytest.param(
            "openai/whatever/x", ["openai/whatever/x"], "qualified", id="a name qualified by its provider"
        ),
        pytest.param("vendor/x", [], "pattern", id="a first part that is no provider is part of the name"),
        pytest.param("llama3", ["local/llama3:latest"], "listed", id="listed, without its tag"),
        pytest.param("SHARED", ["openai/shared", "local/Shared"], "listed", id="listed by two"),
        pytest.param("gpt-9", ["openai/gpt-9"], "pattern", id="not listed, but of a family"),
        pytest.param("zz", [], "pattern", id="nobody's"),
    ],
)
def test_who_serves_a_name(name, expected, why):
    served = who_serves(name, PROVIDERS, LISTS, RULES, PATTERNS)
    assert [target.name for target in served.targets] == expected
    assert served.why == why


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("gpt-9:latest", "openai/gpt-9", id="a family of models without tags"),
        pytest.param(" GPT-9:Latest", "openai/GPT-9", id="however it is spelt"),
        pytest.param("gpt-9:free", "openai/gpt-9:free", id="another tag is part of the name"),
        pytest.param("openai/gpt-9:latest", "openai/gpt-9", id="named by its provider"),
        pytest.param("llama9:latest", "local/llama9:latest", id="of models with tags"),
        pytest.param("gpt-oss:latest", "local/gpt-oss:latest", id="the same, of another vendor"),
    ],
)
def test_without_a_list_the_tag_is_told_only_where_models_have_tags(name, expected):
    known = Knowledge(tagged=frozenset({"ollama"}))
    patterns = {**PATTERNS, "openai": ("gpt-[0-9]*",)}
    (target,) = who_serves(name, PROVIDERS, {}, {}, patterns, known=known).targets
    assert target.name == expected


def test_facts_of_the_configuration_lie_over_those_of_the_list():
    (target,) = who_serves("gpt-4o", PROVIDERS, LISTS, RULES, PATTERNS).targets
    assert target.facts.context_length == 128000
    assert target.facts.capabilities == {"completion", "vision"}


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "GPT-4o:latest"])
def test_no_spelling_gets_around_the_filter(name):
    house = House(PROVIDERS, RULES, PATTERNS, permits(["*", "!gpt-4o"]))
    snapshot = Snapshot(providers={known: ProviderState(models=LISTS[known]) for known in LISTS})
    refused = plan_for(exchange(request=named(name)), snapshot, 0.0, 0.5, RouteOptions(), house)
    assert isinstance(refused, Problem)
    assert refused.kind is Kind.UNKNOWN_MODEL


TOOL = Tool("f")
IMAGE = Message(Role.USER, (Image(data="aGk="),))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(request(), ("completion",), id="a conversation"),
        pytest.param(request(tools=(TOOL,)), ("completion", "tools"), id="tools"),
        pytest.param(request(thinking=Thinking(True)), ("thinking", "completion"), id="thinking switched on"),
        pytest.param(
            request(thinking=Thinking(False)), ("completion",), id="thinking switched off needs nothing"
        ),
        pytest.param(
            request(thinking=Thinking(True, wish=True)), ("completion",), id="thinking that is but a wish"
        ),
        pytest.param(request(messages=(IMAGE,)), ("completion", "vision"), id="a picture"),
        pytest.param(request(prompt=Prompt("a", suffix="b")), ("completion", "insert"), id="a gap to fill"),
        pytest.param(EmbedRequest("m", ("x",)), ("embedding",), id="an embedding"),
        pytest.param(LoadRequest("m"), (), id="loading needs nothing"),
    ],
)
def test_what_a_request_needs(asked, expected):
    assert needs_of(asked) == expected


def plan(asked, snapshot=None, options=None, **changes):
    snapshot = snapshot or Snapshot(providers={name: ProviderState(models=LISTS[name]) for name in LISTS})
    house = House(PROVIDERS, RULES, PATTERNS)
    return plan_for(
        exchange(request=asked, **changes), snapshot, 100.0, 0.5, options or RouteOptions(), house
    )


def names(planned):
    return [candidate.target.name for candidate in planned.plan.candidates]


def named(model, **changes):
    return evolve(request(**changes), model=model)


def test_priority_orders_candidates():
    assert names(plan(named("shared"))) == ["local/Shared", "openai/shared"]


def test_the_preferred_provider_comes_first_and_the_rest_stays():
    assert names(plan(named("shared"), preference=Preference(("openai",)))) == [
        "openai/shared",
        "local/Shared",
    ]


def test_another_model_only_where_it_is_named_and_after_all_else():
    rules = {**RULES, "shared": ModelRule(fallback=("llama3", "nobody"))}
    house = House(PROVIDERS, rules, PATTERNS)
    lists = {name: ProviderState(models=LISTS[name]) for name in LISTS}
    planned = plan_for(
        exchange(request=named("shared")), Snapshot(providers=lists), 0.0, 0.5, RouteOptions(), house
    )
    assert names(planned) == ["local/Shared", "openai/shared", "local/llama3:latest"]


def test_a_target_that_is_named_twice_is_asked_once():
    rules = {
        "twice": ModelRule(targets=("local/llama3", "local/llama3:latest"), fallback=("llama3", "gpt-4o"))
    }
    house = House(PROVIDERS, rules, PATTERNS)
    planned = plan_for(exchange(request=named("twice")), listed(), 0.0, 0.5, RouteOptions(), house)
    assert names(planned) == ["local/llama3:latest", "openai/gpt-4o"]


def listed(**lists):
    return Snapshot(
        providers={name: ProviderState(models=models) for name, models in (LISTS | lists).items()}
    )


class Counted:
    """A house that counts how often it is asked for each name."""

    def __init__(self, house):
        self.house, self.asked, self.providers = house, [], house.providers

    def serving(self, name, snapshot):
        self.asked.append(name)
        return self.house.serving(name, snapshot)


HOUSE = House(PROVIDERS, {**RULES, "shared": ModelRule(fallback=("llama3", "nobody"))}, PATTERNS)


@pytest.mark.parametrize(
    "name", ["fast", "shared", "SHARED", "openai/whatever", "llama3", "gpt-9", "zz", "", "x" * 1000]
)
def test_a_memory_says_what_its_house_says_before_and_after_lists_change(name):
    memory = Memory(HOUSE)
    emptied = listed(local=None)
    grown = listed(local=(*LISTS["local"], ModelFacts("zz")))
    for snapshot in (emptied, listed(), listed(), grown, emptied, Snapshot()):
        assert memory.serving(name, snapshot) == HOUSE.serving(name, snapshot)


def test_a_house_is_asked_once_a_name_until_a_list_is_another():
    house = Counted(HOUSE)
    memory = Memory(house)
    busy = Snapshot({"openai/shared": TargetState(in_flight=3)}, listed().providers)
    for snapshot in (listed(), listed(), busy):
        memory.serving("shared", snapshot)
        memory.serving("zz", snapshot)
    assert house.asked == ["shared", "zz"]
    memory.serving("shared", listed(openai=(ModelFacts("shared"),)))
    assert house.asked == ["shared", "zz", "shared"]


def test_no_client_can_fill_a_memory():
    memory = Memory(HOUSE)
    for number in range(2 * MOST_NAMES + 1):
        memory.serving(f"openai/{number}", listed())
        assert len(memory._found) <= MOST_NAMES
    before = len(memory._found)
    memory.serving("openai/" + "x" * LONGEST_NAME, listed())
    assert len(memory._found) == before


ROUTER = provider("router", kind="router", priority=7)
KNOWN = Knowledge(
    {
        "openai": {"gpt-4o": ModelFacts("gpt-4o", frozenset({"completion", "tools"}))},
        "router": {"openai/gpt-4o": ModelFacts("openai/gpt-4o", frozenset({"completion"}))},
    },
    frozenset({"openai", "router"}),
    frozenset({"openai", "router"}),
)
TWO = House({"router": ROUTER, "openai": OPENAI}, {}, PATTERNS, known=KNOWN)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(
            named("gpt-4o"), ["openai/gpt-4o", "router/openai/gpt-4o"], id="in the order of priority"
        ),
        pytest.param(named("gpt-4o", tools=(TOOL,)), ["openai/gpt-4o"], id="only who is known to be able"),
    ],
)
def test_the_same_model_under_another_name_stands_in(asked, expected):
    memory = Memory(TWO)
    for snapshot in (Snapshot(), listed(), Snapshot()):
        planned = plan_for(exchange(request=asked), snapshot, 0.0, 0.5, RouteOptions(), memory)
        assert names(planned) == expected


def test_only_forbids_the_rest():
    assert names(plan(named("shared"), preference=Preference(("openai",), only=True))) == ["openai/shared"]
    refused = plan(named("llama3"), preference=Preference(("openai",), only=True))
    assert isinstance(refused, Problem)
    assert refused.kind is Kind.UNKNOWN_MODEL


def test_without_balancing_there_is_one_candidate():
    assert names(plan(named("shared"), options=RouteOptions(load_balancing=False))) == ["local/Shared"]


def test_without_balancing_it_is_told_why_the_others_are_not_asked():
    found = plan(named("shared"), options=RouteOptions(load_balancing=False), explain=True).plan
    assert [(one.target.name, one.why) for one in found.refused] == [("openai/shared", UNBALANCED)]
    assert plan(named("shared"), explain=True).plan.refused == ()


def test_a_longer_stand_in_that_nobody_has_leaves_a_gap_and_no_confusion():
    """Of one group are those that have the same model: only these are asked beside one another."""
    rules = {"short": evolve(SHORT, longer_fallback=("llama3", "zz", "gpt-4o")), "llama3": LONG}
    house = House(PROVIDERS, rules, PATTERNS)
    lists = listed(local=(ModelFacts("short"), *LISTS["local"]), openai=(ModelFacts("gpt-4o"),))
    found = plan_for(exchange(request=WORDY), lists, 0.0, 0.5, RouteOptions(), house).plan.candidates
    models = {}
    for one in found:
        models.setdefault(one.group, set()).add(one.target.model)
    assert list(models.values()) == [{"llama3:latest"}, {"gpt-4o"}, {"short"}]


def test_a_model_may_stand_in_on_more_than_one_occasion():
    rules = {"short": evolve(SHORT, fallback=("gpt-4o",), longer_fallback=("gpt-4o", "short"))}
    house = House(PROVIDERS, rules, PATTERNS)
    lists = listed(local=(ModelFacts("short"), *LISTS["local"]), openai=(ModelFacts("gpt-4o"),))
    found = plan_for(exchange(request=named("short")), lists, 0.0, 0.5, RouteOptions(), house).plan.candidates
    assert [(one.target.name, one.instead_of) for one in found] == [
        ("local/short", None),
        ("openai/gpt-4o", None),
        ("openai/gpt-4o", Kind.CONTEXT_LENGTH),
    ]


def test_who_is_known_to_lack_what_is_needed_is_out():
    assert names(plan(named("shared", tools=(TOOL,)))) == ["openai/shared"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(named("llama3"), ["local/llama3:latest"], id="who cannot think answers all the same"),
        pytest.param(named("shared"), ["local/Shared", "openai/shared"], id="who can, or may, comes"),
        pytest.param(named("both"), ["local/thinks"], id="who can is asked before who cannot"),
        pytest.param(named("both", tools=(TOOL,)), ["local/plain"], id="but a need goes before a wish"),
    ],
)
def test_a_wish_to_think_refuses_nobody(asked, expected):
    able = {"plain": ("completion", "tools"), "thinks": ("completion", "thinking")}
    local = (*LISTS["local"], *(ModelFacts(name, frozenset(can)) for name, can in able.items()))
    rules = {"both": ModelRule(targets=("local/plain", "local/thinks"))}
    lists = {"openai": LISTS["openai"], "local": local}
    snapshot = Snapshot(providers={name: ProviderState(models=listed) for name, listed in lists.items()})
    wish = evolve(asked, thinking=Thinking(True, wish=True))
    house = House(PROVIDERS, rules, PATTERNS)
    found = plan_for(exchange(request=wish), snapshot, 100.0, 0.5, RouteOptions(), house)
    assert names(found) == expected


@pytest.mark.parametrize(
    ("asked", "kind", "subject"),
    [
        pytest.param(named("zz"), Kind.UNKNOWN_MODEL, "zz", id="a model nobody serves"),
        pytest.param(
            named("llama3", thinking=Thinking(True)),
            Kind.UNSUPPORTED,
            "thinking",
            id="a model that cannot think",
        ),
        pytest.param(named("nomic"), Kind.UNSUPPORTED, "completion", id="an embedding model asked to talk"),
        pytest.param(
            EmbedRequest("llama3", ("x",)), Kind.UNSUPPORTED, "embedding", id="a model that cannot embed"
        ),
    ],
)
def test_refusals_name_what_is_missing(asked, kind, subject):
    refused = plan(asked)
    assert isinstance(refused, Problem)
    assert (refused.kind, refused.subject) == (kind, subject)


def test_the_unwell_are_asked_last():
    lists = {name: ProviderState(models=LISTS[name]) for name in LISTS}
    down = Snapshot(providers={**lists, "local": evolve(lists["local"], healthy=False)})
    assert names(plan(named("shared"), down)) == ["openai/shared", "local/Shared"]
    cooling = Snapshot({"local/Shared": TargetState(cooled_until=200.0)}, lists)
    assert names(plan(named("shared"), cooling)) == ["openai/shared", "local/Shared"]


def test_what_is_not_known_is_tried():
    (target,) = who_serves("gpt-9", PROVIDERS, LISTS, RULES, PATTERNS).targets
    assert lacking(target, ("completion", "tools")) is None


CATALOGUE = Knowledge(
    {
        "openai": {
            "gpt-new": ModelFacts("gpt-new", frozenset({"completion"})),
            "gpt-vectors": ModelFacts("gpt-vectors", frozenset({"embedding"})),
        },
        "openrouter": {
            "openai/gpt-new": ModelFacts("openai/gpt-new", frozenset({"completion", "tools", "vision"}))
        },
    },
    frozenset({"openai", "openrouter"}),
    frozenset({"openai", "openrouter"}),
)
WITH_ROUTER = {"openai": OPENAI, "router": provider("router", kind="openrouter", priority=7)}


@pytest.mark.parametrize(
    ("asked", "providers", "rules", "expected"),
    [
        pytest.param(
            named("gpt-new", tools=(TOOL,)), {"openai": OPENAI}, {}, ["openai/gpt-new"],
            id="what the catalogue does not know is tried",
        ),
        pytest.param(
            named("gpt-new", thinking=Thinking(True)), {"openai": OPENAI}, {}, ["openai/gpt-new"],
            id="thinking as well",
        ),
        pytest.param(
            named("gpt-new", tools=(TOOL,)), WITH_ROUTER, {}, ["router/openai/gpt-new"],
            id="but not where another is known to be able",
        ),
        pytest.param(
            named("gpt-new", tools=(TOOL,)), {"openai": OPENAI},
            {"gpt-new": ModelRule(capabilities=frozenset({"completion"}))}, "tools",
            id="the operator's word is the last",
        ),
        pytest.param(
            named("gpt-vectors"), {"openai": OPENAI}, {}, "completion", id="what sort of model it is, is known",
        ),
    ],
)  # fmt: skip
def test_what_the_catalogue_does_not_know_a_model_to_do_may_work(asked, providers, rules, expected):
    house = House(providers, rules, PATTERNS, known=CATALOGUE)
    found = plan_for(evolve(exchange(), request=asked), Snapshot(), 100.0, 0.5, RouteOptions(), house)
    assert (found.subject if isinstance(found, Problem) else names(found)) == expected


def test_a_provider_that_tells_what_its_model_can_do_is_believed():
    told = Snapshot(
        providers={"openai": ProviderState(models=(ModelFacts("gpt-new", frozenset({"completion"})),))}
    )
    house = House({"openai": OPENAI}, {}, PATTERNS, known=CATALOGUE)
    asked = evolve(exchange(), request=named("gpt-new", tools=(TOOL,)))
    assert plan_for(asked, told, 100.0, 0.5, RouteOptions(), house).subject == "tools"


async def test_the_stage_runs_alone_with_a_stub_and_a_list():
    seen = []

    async def stub(exchange, wire: Wire) -> None:
        seen.append(exchange.plan)

    stage = ENTRY.build(RouteOptions(), Stand({"a": []}).env)
    ear = Ear()
    await stage(stub)(exchange(), ear.wire)
    assert [candidate.target.name for candidate in seen[0].candidates] == ["a/m"]
    assert ear.events == ()


async def test_a_refusal_by_the_stage_is_an_event():
    stand = Stand({})
    ear = Ear()
    await ENTRY.build(RouteOptions(), stand.env)(None)(exchange(), ear.wire)
    (event,) = ear.events
    assert isinstance(event, Failed)
    assert event.problem.kind is Kind.UNKNOWN_MODEL


SHORT, LONG = ModelRule(context_length=10), ModelRule(context_length=100_000)
WORDY = evolve(named("short"), messages=(Message(Role.USER, (Text("x" * 400),)),))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param({"short": SHORT}, ["local/short", "openai/short"], id="whom it is too long for says so"),
        pytest.param(
            {"short": SHORT, "openai/short": LONG}, ["openai/short"], id="unless another can take it"
        ),
        pytest.param(
            {"short": evolve(SHORT, longer_fallback=("long",))},
            ["openai/long", "local/short", "openai/short"],
            id="a longer model that stands in is asked at once",
        ),
    ],
)
def test_a_request_that_is_too_long(rules, expected):
    lists = {
        "openai": ProviderState(models=(ModelFacts("short"), ModelFacts("long"))),
        "local": ProviderState(models=(ModelFacts("short"),)),
    }
    house = House(PROVIDERS, rules, PATTERNS)
    found = plan_for(exchange(request=WORDY), Snapshot(providers=lists), 0.0, 0.5, RouteOptions(), house)
    assert names(found) == expected


def planned_for(caller, model, preference=Preference()):
    """The targets that a caller's request for `model` would go to, in groups, or why to none."""
    asked = exchange(request=request(model=model), caller=caller, preference=preference)
    snapshot = Snapshot(providers={name: ProviderState(models=LISTS[name]) for name in PROVIDERS})
    found = plan_for(asked, snapshot, 0.0, 0.5, RouteOptions(strategy="priority"), Memory(HOUSE))
    return (
        found
        if isinstance(found, Problem)
        else [(one.group, one.target.name) for one in found.plan.candidates]
    )


@pytest.mark.parametrize(
    ("rules", "model", "expected"),
    [
        pytest.param(
            {}, "fast", ["local/llama3:latest", "openai/gpt-4o-mini"], id="a key without rules: all"
        ),
        pytest.param(
            {"models": ("fast",)}, "FAST:latest", ["local/llama3:latest", "openai/gpt-4o-mini"], id="an alias"
        ),
        pytest.param({"models": ("fast",)}, "gpt-4o-mini", None, id="not what the alias stands for"),
        pytest.param({"providers": {"openai"}}, "fast", ["openai/gpt-4o-mini"], id="its provider alone"),
        pytest.param({"providers": {"openai"}}, "llama3", None, id="a model that its provider has not"),
        pytest.param({"providers": {"azure"}}, "fast", None, id="a provider that is not there"),
        pytest.param({"models": ("shared",)}, "shared", ["local/Shared", "openai/shared"], id="no stand-in"),
        pytest.param(
            {"models": ("shared", "llama*")},
            "shared",
            ["local/Shared", "openai/shared", "local/llama3:latest"],
            id="a stand-in that it may ask for",
        ),
        pytest.param({"models": ("llama*",)}, "shared", None, id="nothing by way of the stand-in"),
    ],
)
def test_a_key_reaches_what_it_may(rules, model, expected):
    rules = {**rules, "providers": frozenset(rules.get("providers", ()))}
    found = planned_for(Caller("k1", **rules), model)
    if expected is None:
        assert found == Problem(Kind.UNKNOWN_MODEL, subject=model)
    else:
        assert [name for _, name in found] == expected


def test_a_hidden_model_is_as_one_that_nobody_has():
    caller = Caller("k1", models=("shared",), providers=frozenset({"local"}))
    only = Preference(("local",), only=True)
    for preference in (Preference(), only):
        hidden = planned_for(caller, "gpt-4o", preference)
        missing = planned_for(caller, "nowhere", preference)
        assert evolve(hidden, subject="") == evolve(missing, subject="")
