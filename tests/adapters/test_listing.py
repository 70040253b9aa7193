import re

import pytest
from attrs import evolve

from adapters import listing
from adapters.listing import Catalogue, Model
from pipeline.known import NOTHING_KNOWN, Knowledge
from pipeline.names import permits
from pipeline.state.board import Snapshot, TargetState
from pipeline.values.targets import ModelFacts, ModelRule, Provider, Target

OPENAI = Provider("openai", "openai", "https://o", priority=2)
AZURE = Provider("azure", "azure", "https://z", priority=1)
LOCAL = Provider("ollama", "ollama", "http://l", priority=3)
GPT = ModelFacts("gpt-4o", modified_at="2024-05-10T18:50:49Z")
LLAMA = ModelFacts(
    "llama3:8b",
    capabilities=frozenset({"tools", "completion"}),
    context_length=8192,
    embedding_length=4096,
    family="llama",
    parameter_size="8.0B",
    quantization="Q4_K_M",
    size=1204,
    digest="sha256:" + "ab" * 32,
    modified_at="2026-08-22T20:38:42.810532964+02:00",
)
HOME = frozenset({"ollama"})
TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


def catalogue(lists, rules=None, patterns=(), filters=(), known=NOTHING_KNOWN):
    providers = {provider.name: provider for provider in (OPENAI, AZURE, LOCAL) if provider.name in lists}
    return Catalogue(providers, lists, rules or {}, dict(patterns), permits(filters), known)


def names(found):
    return [model.tagged for model in found]


def model(facts, provider=OPENAI, name=None):
    return Model(name or facts.name, (Target(provider, facts),))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("gpt-4o", "gpt-4o:latest", id="a name without a tag gets one"),
        pytest.param("llama3:8b", "llama3:8b", id="a tag stays"),
        pytest.param("vendor/model:free", "vendor/model:free", id="a tag behind a slash"),
        pytest.param("arn:aws:x/y", "arn:aws:x/y:latest", id="what stands before a slash is no tag"),
    ],
)
def test_lists_show_names_with_a_tag(name, shown):
    assert listing.tagged(name) == shown


def test_a_list_is_the_union_of_all_providers_newest_first():
    lists = {"openai": (GPT, ModelFacts("o3")), "azure": (ModelFacts("GPT-4o"),), "ollama": (LLAMA,)}
    found = listing.models(catalogue(lists))
    assert names(found) == ["llama3:8b", "o3:latest", "GPT-4o:latest"]
    shared = found[-1]
    assert [target.name for target in shared.targets] == ["azure/GPT-4o", "openai/gpt-4o"], "by priority"
    assert shared.modified_at == GPT.modified_at, "known at one of them"


def test_a_provider_that_never_told_its_list_adds_nothing():
    assert listing.models(catalogue({"openai": None, "ollama": (LLAMA,)})) != ()
    assert listing.models(catalogue({"openai": None})) == ()


def test_aliases_are_listed_and_hide_what_they_name():
    rules = {
        "fast": ModelRule(targets=("openai/gpt-4o-mini",), context_length=5),
        "llama3:8b": ModelRule(targets=("openai/gpt-4o",)),
        "gone": ModelRule(targets=("nobody/x",)),
    }
    found = {
        model.tagged: model
        for model in listing.models(catalogue({"openai": (GPT,), "ollama": (LLAMA,)}, rules))
    }
    assert set(found) == {"fast:latest", "llama3:8b", "gpt-4o:latest"}
    assert found["fast:latest"].facts.context_length == 5
    assert found["llama3:8b"].targets[0].name == "openai/gpt-4o"


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        pytest.param([], {"gpt-4o:latest", "llama3:8b", "fast:latest"}, id="none"),
        pytest.param(["llama*"], {"llama3:8b"}, id="only what fits"),
        pytest.param(["!gpt-4o"], {"llama3:8b"}, id="all but one, under whatever name"),
        pytest.param(["!*", "fast"], {"fast:latest"}, id="an alias alone"),
    ],
)
def test_the_filter_hides_models_everywhere(filters, shown):
    rules = {"fast": ModelRule(targets=("openai/gpt-4o",))}
    house = catalogue({"openai": (GPT,), "ollama": (LLAMA,)}, rules, filters=filters)
    assert set(names(listing.models(house))) == shown
    for name in ("gpt-4o", "llama3:8b", "fast"):
        assert (listing.find(name, house) is not None) == (listing.tagged(name) in shown)


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        pytest.param("gpt-4o", "openai/gpt-4o", id="as listed"),
        pytest.param("GPT-4O:latest", "openai/GPT-4O:latest", id="in any case, with the tag"),
        pytest.param(" gpt-4o ", "openai/gpt-4o", id="with blanks around"),
        pytest.param("openai/new", "openai/new", id="qualified"),
        pytest.param("gpt-5", "openai/gpt-5", id="by a pattern, though not listed"),
        pytest.param("nothing", None, id="nobody's"),
    ],
)
def test_a_name_finds_its_model(asked, target):
    found = listing.find(asked, catalogue({"openai": (GPT,)}, patterns={"openai": ("gpt-*",)}.items()))
    # The provider's own spelling is what is asked for.
    assert (found and found.targets[0].name.lower().removesuffix(":latest")) == (
        target and target.lower().removesuffix(":latest")
    )


@pytest.mark.parametrize(
    ("name", "lists", "here"),
    [
        pytest.param("gpt-4o", {"openai": (GPT,)}, True, id="listed"),
        pytest.param(" GPT-4O:latest", {"openai": (GPT,)}, True, id="in any spelling"),
        pytest.param("openai/gpt-4o", {"openai": (GPT,)}, True, id="by its provider"),
        pytest.param("gpt-5", {"openai": (GPT,)}, True, id="not listed, but known"),
        pytest.param("gpt-4o", {"openai": None}, True, id="no list, but known"),
        pytest.param("gpt-99", {"openai": (GPT,)}, False, id="of a family, and nothing else is known"),
        pytest.param("nothing", {"openai": (GPT,)}, False, id="nobody's"),
        pytest.param("llama3:8b", {"ollama": (LLAMA,)}, True, id="at home"),
        pytest.param("llama4", {"ollama": (LLAMA,)}, False, id="not at home, as far as is known"),
        pytest.param("llama4", {"ollama": None}, True, id="what is at home is not known"),
        pytest.param("fast", {"openai": (GPT,)}, True, id="an alias"),
    ],
)
def test_whether_a_model_is_here(name, lists, here):
    known = Knowledge(
        {"openai": {"gpt-5": ModelFacts("gpt-5", context_length=9), "gpt-4o": GPT}}, tagged=HOME
    )
    rules = {"fast": ModelRule(targets=("openai/gpt-4o",))}
    house = catalogue(lists, rules, {"openai": ("gpt-*",), "ollama": ("llama*",)}, known=known)
    assert listing.surely_served(name, house) is here
    assert listing.surely_served(name, house, elsewhere=("ollama",)) is (here and "ollama" not in lists)


@pytest.mark.parametrize(
    ("facts", "provider", "capabilities"),
    [
        pytest.param(LLAMA, LOCAL, ["completion", "tools"], id="as stated, in Ollama's order"),
        pytest.param(ModelFacts("gpt-4o"), OPENAI, ["completion", "tools"], id="a chat model of OpenAI"),
        pytest.param(ModelFacts("o3-mini"), AZURE, ["completion", "tools"], id="of Azure"),
        pytest.param(ModelFacts("whisper-1"), OPENAI, ["completion"], id="no chat model"),
        pytest.param(
            ModelFacts("text-embedding-3-small"), OPENAI, ["embedding"], id="an embedding model by name"
        ),
        pytest.param(ModelFacts("nomic-embed-text"), LOCAL, ["embedding"], id="of any vendor"),
        pytest.param(ModelFacts("mistral"), LOCAL, ["completion"], id="else only what is sure"),
        pytest.param(ModelFacts("gpt-4o", frozenset()), OPENAI, [], id="stated: nothing"),
    ],
)
def test_capabilities_are_stated_or_sure(facts, provider, capabilities):
    assert model(facts, provider).capabilities == capabilities


def test_a_model_can_what_it_can_anywhere():
    targets = (
        Target(OPENAI, ModelFacts("m", frozenset({"completion", "vision"}))),
        Target(AZURE, ModelFacts("m")),
        Target(LOCAL, ModelFacts("m", frozenset({"completion", "thinking"}))),
    )
    assert Model("m", targets).capabilities == ["completion", "vision", "thinking"]


def test_an_entry_of_tags_as_told_by_a_provider():
    (entry,) = listing.tags_answer([model(LLAMA, LOCAL)])["models"]
    assert entry == {
        "name": "llama3:8b",
        "model": "llama3:8b",
        "modified_at": "2026-08-22T20:38:42.810532964+02:00",
        "size": 1204,
        "digest": "ab" * 32,
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "8.0B",
            "quantization_level": "Q4_K_M",
            "context_length": 8192,
            "embedding_length": 4096,
        },
        "capabilities": ["completion", "tools"],
    }


def test_what_is_not_told_is_invented_once_and_for_all():
    first, again = (listing.tags_answer([model(ModelFacts("claude-3"))])["models"][0] for _ in range(2))
    other = listing.tags_answer([model(ModelFacts("claude-4"))])["models"][0]
    assert first == again
    assert re.fullmatch(r"[0-9a-f]{64}", first["digest"])
    assert first["digest"] != other["digest"]
    assert TIMESTAMP.match(first["modified_at"])
    assert first["size"] == 0
    assert first["details"]["family"] == "claude"
    assert "context_length" not in first["details"]


@pytest.mark.parametrize("bad", ["yesterday", "2024-13-45T99:00:00Z", ""])
def test_a_date_that_is_none_is_not_passed_on(bad):
    found = listing.newest_first([model(evolve(GPT, modified_at=bad)), model(LLAMA, LOCAL)])
    assert names(found) == ["llama3:8b", "gpt-4o:latest"]
    assert found[1].modified_at == listing.UNDATED


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gpt-4o", "gpt"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "claude"),
        ("openai/gpt-4o", "gpt"),
        ("meta.llama3-8b-instruct-v1:0", "llama"),
        ("Qwen2.5:7b", "qwen"),
        ("7", "model"),
    ],
)
def test_a_name_tells_its_family(name, family):
    assert listing.family_of(name) == family


def test_show_has_what_clients_cannot_do_without():
    shown = listing.show_answer(model(LLAMA, LOCAL), "LLama3:8b")
    assert shown["modelfile"].startswith('# Modelfile generated by "ollama show"')
    assert "tools" in shown["template"]
    assert ".Suffix" not in shown["template"]
    assert shown["capabilities"] == ["completion", "tools"]
    assert shown["parameters"].split() == ["num_ctx", "8192"]
    assert shown["parameters"].index("8192") == 31
    assert shown["model_info"] == {
        "general.architecture": "llama",
        "general.basename": "llama3:8b",
        "general.parameter_count": 8_000_000_000,
        "llama.context_length": 8192,
        "llama.embedding_length": 4096,
    }
    assert "context_length" not in shown["details"]


def test_show_leaves_out_what_nobody_knows():
    shown = listing.show_answer(model(ModelFacts("gpt-4o")), "gpt-4o")
    assert shown["model_info"] == {"general.architecture": "gpt", "general.basename": "gpt-4o"}
    assert "parameters" not in shown


def test_show_names_the_model_as_the_client_wants_it():
    assert (
        listing.show_answer(model(GPT), "gpt-4o", "GPT-4o:latest")["model_info"]["general.basename"]
        == "GPT-4o:latest"
    )


@pytest.mark.parametrize(
    ("capabilities", "tools", "suffix"),
    [
        (["completion"], False, False),
        (["completion", "tools"], True, False),
        (["completion", "insert"], False, True),
    ],
)
def test_the_template_says_what_clients_look_for(capabilities, tools, suffix):
    text = listing.template(capabilities)
    assert ("tools" in text, ".Suffix" in text, ".Prompt" in text) == (tools, suffix, True)


def test_ps_lists_the_models_with_requests_in_flight_last_used_first():
    snapshot = Snapshot(
        targets={
            "openai/gpt-4o": TargetState(in_flight=2, last_used=90.0),
            "ollama/llama3:8b": TargetState(in_flight=1, last_used=95.0),
            "azure/gpt-4o": TargetState(in_flight=1, last_used=80.0),
            "openai/idle": TargetState(in_flight=0, last_used=99.0),
            "gone/m": TargetState(in_flight=1, last_used=99.0),
        }
    )
    house = catalogue({"openai": (GPT,), "ollama": (LLAMA,), "azure": None})
    answer = listing.ps_answer(house, snapshot, now=100.0, epoch=1_790_000_000.0)["models"]
    assert [(entry["name"], entry["expires_at"]) for entry in answer] == [
        ("llama3:8b", "2026-09-21T14:18:15.000000Z"),
        ("gpt-4o:latest", "2026-09-21T14:18:10.000000Z"),
    ]
    assert answer[0]["context_length"] == 8192
    assert "context_length" not in answer[1]
    assert answer[0]["size_vram"] == 0


def test_an_idle_house_has_no_models_loaded():
    assert listing.ps_answer(catalogue({"openai": (GPT,)}), Snapshot(), 0.0, 0.0) == {"models": []}


def test_the_list_in_openais_form():
    assert listing.openai_list([model(GPT)]) == {
        "object": "list",
        "data": [{"id": "gpt-4o:latest", "object": "model", "created": 1715367049, "owned_by": "openai"}],
    }


CLOUD = Knowledge(
    {
        "openai": {
            "gpt-4o": ModelFacts(
                "gpt-4o",
                frozenset({"completion", "tools", "vision"}),
                128_000,
                family="gpt",
                modified_at="2024-05-13T00:00:00Z",
            )
        },
        "azure": {"gpt-4o": ModelFacts("gpt-4o", frozenset({"completion", "thinking"}), 64_000)},
    },
    frozenset({"openai", "azure"}),
)


def test_a_model_of_which_only_the_name_was_told_is_shown_as_the_catalogue_knows_it():
    house = catalogue({"openai": (ModelFacts("gpt-4o-2024-08-06"),)}, known=CLOUD)
    found = listing.find("gpt-4o-2024-08-06", house)
    shown = listing.show_answer(found, "gpt-4o-2024-08-06")
    assert shown["capabilities"] == ["completion", "tools", "vision"]
    assert shown["model_info"] == {
        "general.architecture": "gpt",
        "general.basename": "gpt-4o-2024-08-06",
        "gpt.context_length": 128_000,
    }
    assert shown["parameters"].split() == ["num_ctx", "128000"]
    (entry,) = listing.tags_answer(listing.models(house))["models"]
    assert (entry["details"]["context_length"], entry["capabilities"]) == (128_000, shown["capabilities"])
    assert entry["modified_at"] == shown["modified_at"] == "2024-05-13T00:00:00Z"
    (listed,) = listing.openai_list(listing.models(house))["data"]
    assert listed["created"] == 1715558400
    busy = Snapshot(targets={"openai/gpt-4o-2024-08-06": TargetState(in_flight=1, last_used=0.0)})
    assert listing.ps_answer(house, busy, 0.0, 0.0)["models"][0]["context_length"] == 128_000


def test_what_a_provider_tells_goes_before_the_catalogue():
    told = ModelFacts("gpt-4o", frozenset({"completion"}), 8_192)
    (found,) = listing.models(catalogue({"openai": (told,)}, known=CLOUD))
    assert (found.capabilities, found.facts.context_length, found.family) == (["completion"], 8_192, "gpt")


def test_a_model_is_shown_with_all_who_have_it_under_another_name():
    house = catalogue({"openai": (GPT,), "azure": (ModelFacts("gpt-4o-2024-08-06"),)}, known=CLOUD)
    found = listing.find("gpt-4o", house)
    assert [target.name for target in found.targets] == ["openai/gpt-4o", "azure/gpt-4o-2024-08-06"]
    assert found.capabilities == ["completion", "tools", "vision", "thinking"]
