import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from adapters.admin import OLLAMA_VERSION, clean_path, control_plane
from adapters.house import House
from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from pipeline.gate import Gate, Waiter
from pipeline.names import permits
from pipeline.values.callers import Priority
from pipeline.values.facts import AttemptStarted, ModelsListed, ProbeEnded
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts
from tests.adapters.asgi_kit import call
from tests.kit import Stand

SHOWN = Path(__file__).parents[1] / "recordings" / "ollama.show-json-001.json"
GPT = ModelFacts("gpt-4o", frozenset({"completion", "tools"}), context_length=128_000)
EMBED = ModelFacts("embed")


def make_house(**changes):
    """A house of two providers, both well; `b` lists nothing yet."""
    stand = Stand({"a": (), "b": ()})
    env = evolve(stand.env, codecs={"scripted": evolve(stand.env.codecs["scripted"], patterns=())}, **changes)
    stand.board.tell(ModelsListed("a", 0.0, (GPT, EMBED)))
    for name in env.providers:
        stand.board.tell(ProbeEnded(name, 0.0, 0.1))
    house = House(
        env, Ledger(), Lifecycle(), 0.0, "1.2.3", "testing", {"/api/chat", "/v1/messages"}.__contains__
    )
    return house, stand


async def ask(method, path, house=None, **given):
    asked = house or make_house()[0]
    return await call(control_plane(lambda: asked), method, path, **given)


@pytest.mark.parametrize(
    ("method", "path", "status", "content_type"),
    [
        pytest.param("GET", "/", 200, "text/plain; charset=utf-8", id="root"),
        pytest.param("GET", "/api/version", 200, "application/json; charset=utf-8", id="version"),
        pytest.param("GET", "/api/status", 200, "application/json; charset=utf-8", id="status"),
        pytest.param("GET", "/api/tags", 200, "application/json; charset=utf-8", id="tags"),
        pytest.param("HEAD", "/", 200, "text/plain; charset=utf-8", id="the head of the root"),
        pytest.param("HEAD", "/api/version", 200, "application/json; charset=utf-8", id="of the version"),
        pytest.param("HEAD", "/api/tags", 200, "application/json; charset=utf-8", id="of the tags"),
        pytest.param(
            "GET",
            "/api/experimental/model-recommendations",
            200,
            "application/json; charset=utf-8",
            id="recommendations",
        ),
        pytest.param("GET", "/api/tags/a", 200, "application/json; charset=utf-8", id="tags of one provider"),
        pytest.param("GET", "/api/tags/A", 200, "application/json; charset=utf-8", id="in any case"),
        pytest.param("GET", "/api/tags/nobody", 404, "application/json; charset=utf-8", id="tags of nobody"),
        pytest.param("GET", "/api/ps", 200, "application/json; charset=utf-8", id="ps"),
        pytest.param("GET", "/api/providers", 200, "application/json; charset=utf-8", id="providers"),
        pytest.param("GET", "/api/providers/b", 200, "application/json; charset=utf-8", id="a provider"),
        pytest.param(
            "GET", "/api/providers/nobody", 404, "application/json; charset=utf-8", id="no provider"
        ),
        pytest.param("GET", "/v1/models", 200, "application/json", id="models in OpenAI's form"),
        pytest.param("GET", "/v1/models/gpt-4o", 200, "application/json", id="one of them"),
        pytest.param("GET", "/v1/models/a/gpt-4o", 200, "application/json", id="with a slash in its name"),
        pytest.param("GET", "/v1/models/nothing", 404, "application/json", id="none of them"),
        pytest.param("GET", "/health", 200, "application/json; charset=utf-8", id="health"),
        pytest.param(
            "GET", "/api/providers/B/stats", 200, "application/json; charset=utf-8", id="its numbers"
        ),
        pytest.param(
            "GET",
            "/api/providers/nobody/stats",
            404,
            "application/json; charset=utf-8",
            id="nobody's numbers",
        ),
        pytest.param(
            "GET", "/health/detailed", 200, "application/json; charset=utf-8", id="health in detail"
        ),
        pytest.param(
            "GET", "/health/providers", 200, "application/json; charset=utf-8", id="providers' health"
        ),
        pytest.param("GET", "/health/providers/A", 200, "application/json; charset=utf-8", id="a provider's"),
        pytest.param(
            "GET", "/health/providers/nobody", 404, "application/json; charset=utf-8", id="nobody's"
        ),
        pytest.param("GET", "/api/queue", 200, "application/json; charset=utf-8", id="the queue"),
        pytest.param("GET", "/health/live", 200, "application/json; charset=utf-8", id="alive"),
        pytest.param("GET", "/health/ready", 200, "application/json; charset=utf-8", id="ready"),
        pytest.param("GET", "/api/nothing-here", 404, "text/plain; charset=utf-8", id="an unknown path"),
        pytest.param("GET", "/API/tags", 404, "text/plain; charset=utf-8", id="paths have a case"),
        pytest.param("POST", "/api/tags", 405, "text/plain; charset=utf-8", id="a wrong method"),
        pytest.param("GET", "/api/show", 405, "text/plain; charset=utf-8", id="show is asked by POST"),
        pytest.param("GET", "/api/chat", 405, "text/plain; charset=utf-8", id="a model call by GET"),
        pytest.param("OPTIONS", "/api/tags", 405, "text/plain; charset=utf-8", id="options"),
        pytest.param("GET", "/v1/nothing-here", 404, "application/json", id="an unknown path of OpenAI's"),
        pytest.param("GET", "/v1/messages", 405, "application/json", id="Anthropic's route by GET"),
        pytest.param(
            "POST", "/v1/messages/batches", 404, "application/json", id="a route of Anthropic's alone"
        ),
        pytest.param("POST", "/api/pull", 400, "application/json; charset=utf-8", id="management"),
    ],
)
async def test_each_route_has_its_status_and_type(method, path, status, content_type):
    got = await ask(method, path)
    assert (got.status, got.header("content-type")) == (status, content_type)
    assert b"<" not in got.body, "never HTML"


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags", "/health"])
async def test_head_is_get_without_a_body(path):
    whole, head = await ask("GET", path), await ask("HEAD", path)
    assert (head.status, head.header("content-type")) == (200, whole.header("content-type"))


async def test_the_texts_ollama_says_itself():
    assert (await ask("GET", "/")).body == b"Ollama is running"
    assert (await ask("GET", "/nope")).body == b"404 page not found"
    assert (await ask("POST", "/api/tags")).body == b"405 method not allowed"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        pytest.param("GET", "/api/chat", "POST", id="a model call"),
        pytest.param("PUT", "/api/tags", "GET, HEAD", id="a list"),
        pytest.param("GET", "/api/delete", "DELETE", id="management"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(method, path, allow):
    got = await ask(method, path)
    assert (got.status, got.header("allow")) == (405, allow)


async def test_the_version_is_one_that_clients_accept():
    got = (await ask("GET", "/api/version")).json
    assert got == {"version": OLLAMA_VERSION, "proxy": "1.2.3"}
    assert tuple(map(int, OLLAMA_VERSION.split("."))) >= (0, 6, 4)


@pytest.mark.parametrize(
    ("method", "path", "status", "location"),
    [
        pytest.param("GET", "/api/tags/", 301, "/api/tags", id="a slash at the end"),
        pytest.param("GET", "//api/tags", 301, "/api/tags", id="a doubled slash"),
        pytest.param("POST", "/api/chat/", 307, "/api/chat", id="a model call keeps its method and body"),
        pytest.param("HEAD", "/api/tags/", 307, "/api/tags", id="HEAD"),
        pytest.param("GET", "/api/tags/?a=b&c", 301, "/api/tags?a=b&c", id="the query stays"),
        pytest.param("GET", "//evil.example/", 301, "/evil.example", id="it leads nowhere else"),
        pytest.param("GET", "/\\evil.example/", 301, "/%5Cevil.example", id="not by a backslash either"),
        pytest.param("GET", "/a\r\nb/", 301, "/a%0D%0Ab", id="and adds no header"),
    ],
)
async def test_untidy_paths_are_redirected(method, path, status, location):
    got = await ask(method, path)
    assert (got.status, got.header("location")) == (status, location)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b"])
def test_tidy_paths_stay(path):
    assert clean_path(path) == path


async def test_nothing_is_recommended():
    assert (await ask("GET", "/api/experimental/model-recommendations")).json == {"recommendations": []}


async def test_the_version_is_three_numbers_that_vs_code_takes():
    told = (await ask("GET", "/api/version")).json["version"]
    assert tuple(map(int, told.split("."))) >= (0, 6, 4)


async def test_the_cloud_of_ollama_is_off():
    assert (await ask("GET", "/api/status")).json == {"cloud": {"disabled": True, "source": "config"}}


async def test_tags_lists_what_the_providers_list():
    got = (await ask("GET", "/api/tags")).json["models"]
    assert {entry["name"] for entry in got} == {"gpt-4o:latest", "embed:latest"}
    assert all(entry["model"] == entry["name"] for entry in got)
    assert (await ask("GET", "/api/tags/b")).json == {"models": []}


async def test_the_filter_holds_for_every_list():
    house, _ = make_house(allowed=permits(["embed"]))
    assert [entry["name"] for entry in (await ask("GET", "/api/tags", house)).json["models"]] == [
        "embed:latest"
    ]
    assert [entry["name"] for entry in (await ask("GET", "/api/tags/a", house)).json["models"]] == [
        "embed:latest"
    ]
    assert (await ask("GET", "/api/providers/a", house)).json["models"] == ["embed:latest"]
    assert [entry["id"] for entry in (await ask("GET", "/v1/models", house)).json["data"]] == ["embed:latest"]
    assert (await ask("GET", "/v1/models/gpt-4o", house)).status == 404
    assert (await ask("POST", "/api/show", house, body=b'{"model":"gpt-4o"}')).status == 404


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        pytest.param(b"", 400, "missing request body", id="nothing"),
        pytest.param(b"hello", 400, "invalid character 'h' looking for beginning of value", id="no JSON"),
        pytest.param(b"{}", 400, "model is required", id="no name"),
        pytest.param(b'{"model":" "}', 400, "model is required", id="a blank name"),
        pytest.param(b'{"model":"a b"}', 400, "invalid model name", id="no name at all"),
        pytest.param(b'{"model":"nope"}', 404, "model 'nope:latest' not found", id="unknown: with its tag"),
        pytest.param(
            b'{"model":"nope:8b"}', 404, "model 'nope:8b' not found", id="unknown: with its own tag"
        ),
    ],
)
async def test_show_refuses(body, status, error):
    got = await ask("POST", "/api/show", body=body)
    assert (got.status, got.json) == (status, {"error": error})


@pytest.mark.parametrize(
    "body", [b'{"model":"GPT-4o"}', b'{"name":"gpt-4o:latest"}', b'{"Model":"a/gpt-4o"}']
)
async def test_show_finds_a_model_under_all_its_names(body):
    got = (await ask("POST", "/api/show", body=body)).json
    assert got["capabilities"] == ["completion", "tools"]
    assert got["model_info"]["gpt.context_length"] == 128_000


async def test_show_has_the_form_of_the_real_server():
    """What Ollama tells of a model of its own, as recorded, we tell of one in the cloud, in the same places."""
    recorded = json.loads(SHOWN.read_text())["response"]["body_text"]
    real, ours = json.loads(recorded), (await ask("POST", "/api/show", body=b'{"model":"gpt-4o"}')).json
    assert set(real) - set(ours) <= {"license", "parameters"}
    assert {name: type(value) for name, value in real["details"].items()} == {
        name: type(value) for name, value in ours["details"].items()
    }
    architecture = ours["model_info"]["general.architecture"]
    assert f"{real['model_info']['general.architecture']}.context_length" in real["model_info"]
    assert type(ours["model_info"][f"{architecture}.context_length"]) is int


@pytest.mark.parametrize(
    ("agent", "basename"),
    [("GitHubCopilotChat/0.22", "GPT-4o:latest"), ("curl/8", "gpt-4o")],
)
async def test_copilot_shows_its_user_the_name_that_was_asked(agent, basename):
    got = await ask("POST", "/api/show", headers={"User-Agent": agent}, body=b'{"model":"GPT-4o:latest"}')
    assert got.json["model_info"]["general.basename"] == basename


async def test_ps_shows_what_runs_now(autojump_clock):
    house, stand = make_house()
    assert (await ask("GET", "/api/ps", house)).json == {"models": []}
    stand.board.tell(AttemptStarted(1, "a/gpt-4o", trio.current_time()))
    (entry,) = (await ask("GET", "/api/ps", house)).json["models"]
    assert (entry["name"], entry["context_length"]) == ("gpt-4o:latest", 128_000)
    in_use_until = datetime.fromisoformat(entry["expires_at"]).astimezone(UTC).timestamp()
    assert in_use_until == pytest.approx(house.env.epoch() + 300.0, abs=1.0)


async def test_one_model_in_openais_form_is_called_as_asked():
    got = (await ask("GET", "/v1/models/GPT-4o")).json
    assert (got["id"], got["object"], got["owned_by"]) == ("GPT-4o", "model", "a")
    assert (await ask("GET", "/v1/models/nope")).json == {
        "error": {
            "message": "model 'nope:latest' not found",
            "type": "not_found_error",
            "param": None,
            "code": None,
        }
    }


async def test_health_counts_and_fails_when_nobody_serves(autojump_clock):
    house, stand = make_house()
    house.ledger.requests, house.ledger.errors = 10, 2
    got = (await ask("GET", "/health", house)).json
    assert (got["status"], got["model_count"], got["request_count"], got["error_count"]) == (
        "healthy",
        2,
        10,
        2,
    )
    assert (got["error_rate"], got["environment"]) == (0.2, "testing")
    for provider, status, code in (("a", "degraded", 200), ("b", "unhealthy", 503)):
        for _ in range(3):
            stand.board.tell(ProbeEnded(provider, 1.0, 0.1, Kind.CONNECT))
        answer = await ask("GET", "/health", house)
        assert (answer.status, answer.json["status"]) == (code, status)


async def test_each_health_route_says_what_the_others_say(autojump_clock):
    house, stand = make_house()
    for _ in range(3):
        stand.board.tell(ProbeEnded("b", 1.0, 0.1, Kind.CONNECT))
    for provider, status in (("a", "healthy"), ("b", "unhealthy")):
        answer = await ask("GET", f"/health/providers/{provider}", house)
        assert answer.status == (503 if status == "unhealthy" else 200)
        assert (answer.json["name"], answer.json["status"]) == (provider, status)
        shown = (await ask("GET", f"/api/providers/{provider}", house)).json
        assert {name: shown[name] for name in answer.json} == answer.json
    together = await ask("GET", "/health/providers", house)
    assert (together.status, together.json["status"]) == (200, "degraded")
    assert {name: one["eligible"] for name, one in together.json["providers"].items()} == {
        "a": True,
        "b": False,
    }
    detailed = await ask("GET", "/health/detailed", house)
    assert (detailed.status, detailed.json["providers"]) == (200, together.json["providers"])
    assert detailed.json["status"] == (await ask("GET", "/health", house)).json["status"] == "degraded"
    for _ in range(3):
        stand.board.tell(ProbeEnded("a", 1.0, 0.1, Kind.CONNECT))
    for path in ("/health", "/health/detailed", "/health/providers"):
        assert (await ask("GET", path, house)).status == 503


async def test_health_in_detail_tells_how_the_house_is(autojump_clock):
    house, _ = make_house()
    gate = Gate("the proxy", 7, 1)
    house = evolve(house, queues=(gate,))
    house.ledger.dropped = 3
    house.lifecycle.begin_drain()
    async with gate.hold():
        with house.lifecycle.exchange():
            got = (await ask("GET", "/health/detailed", house)).json
    assert (got["version"], got["environment"], got["state"]) == ("1.2.3", "testing", "draining")
    assert (got["running_requests"], got["queue"]) == (1, {"running": 1, "limit": 7, "waiting": 0})
    assert got["ledger"] == {"writable": True, "waiting_records": 0, "lost_records": 3}
    assert (got["retries"]["requests"], got["hedges"]["hedges"]) == (0, 0)


async def test_the_queue_tells_who_waits(autojump_clock, nursery):
    house, _ = make_house()
    gate = Gate("the proxy", 1, 8)
    house = evolve(house, queues=(gate,))

    async def wait(waiter):
        async with gate.hold(60.0, waiter):
            pass

    async with gate.hold():
        for waiter in (Waiter(Priority.HIGH, "k1"), Waiter(Priority.LOW, "k1"), Waiter(Priority.LOW)):
            nursery.start_soon(wait, waiter)
        await trio.sleep(2.0)
        got = (await ask("GET", "/api/queue", house)).json
    assert (got["running"], got["limit"], got["waiting"], got["max_waiting"]) == (1, 1, 3, 8)
    assert got["classes"] == {"critical": 0, "high": 1, "normal": 0, "low": 2}
    assert got["keys"] == [
        {"key": "k1", "waiting": 2, "share": 0.6667},
        {"key": None, "waiting": 1, "share": 0.3333},
    ]
    assert got["waits"] == {"oldest": 2.0, "p50": None, "p95": None}
    assert (got["dispatched_per_second"], got["newest_first"]) == (None, False)
    assert got["overload"] == {"overloaded": False, "admitted_share": 1.0, "shed": 0}
    await wait_all_tasks_blocked()
    waits = (await ask("GET", "/api/queue", house)).json["waits"]
    assert waits == {"oldest": 0.0, "p50": 2.0, "p95": 2.0}


async def test_the_numbers_of_a_provider_are_those_of_board_and_ledger(autojump_clock):
    house, stand = make_house()
    stand.board.tell(AttemptStarted(1, "a/gpt-4o", 0.0))
    house.ledger.tallies["a"].succeeded = 4
    got = (await ask("GET", "/api/providers/A/stats", house)).json
    assert (got["name"], got["totals"]["succeeded"], got["in_flight"]) == ("a", 4, 1)
    assert [one["target"] for one in got["targets"]] == ["a/gpt-4o"]
    assert (await ask("GET", "/api/providers/b/stats", house)).json["targets"] == []
    assert "b" not in house.ledger.tallies, "to look is not to count"


async def test_a_draining_house_is_alive_but_not_ready():
    house, _ = make_house()
    house.lifecycle.begin_drain()
    got = await ask("GET", "/health/ready", house)
    assert (got.status, got.json) == (503, {"status": "unready", "reasons": ["the gateway is shutting down"]})
    assert (await ask("GET", "/health/live", house)).status == 200


async def test_a_house_that_cannot_write_is_not_ready():
    house, _ = make_house()
    house.ledger.writable = False
    got = await ask("GET", "/health/ready", house)
    assert (got.status, got.json["reasons"]) == (503, ["the ledger cannot be written"])


async def test_a_body_that_is_too_large_is_not_read():
    house, _ = make_house()
    got = await ask("POST", "/api/show", evolve(house, max_body_bytes=10), body=b'{"model": "gpt-4o"}')
    assert (got.status, got.json) == (413, {"error": "the request body is too large"})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("/api/tags", lambda body: body["error"], id="in Ollama's form"),
        pytest.param("/v1/models", lambda body: body["error"]["message"], id="in OpenAI's form"),
    ],
)
async def test_a_bug_is_logged_and_never_shown(path, words, caplog):
    def broken():
        raise RuntimeError("a secret detail")

    house, _ = make_house(snapshot=broken)
    got = await ask("GET", path, house)
    assert got.status == 500
    assert "failed" in words(got.json)
    assert b"secret detail" not in got.body
    assert "a secret detail" in caplog.text
