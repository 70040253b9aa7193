"""Keys as operators and clients meet them: made by the command line, shown by the clients' own libraries, and taken away."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time

import anthropic
import httpx
import ollama
import openai
import pytest
from google import genai
from google.genai import errors as google_errors

from tests import processes
from tests.processes import KEPT, ROOT, Process

KEY = re.compile(r"ollp_[a-z2-7]{8}_[a-z2-7]{52}")
HI = [{"role": "user", "content": "hi"}]
MODELS = processes.CONFORMANCE_MODELS + processes.UNDAUNTED
# Told apart from a program on this machine by what a proxy on the way adds.
ELSEWHERE = {"X-Forwarded-For": "192.0.2.7"}


def keys(running: Process, *arguments: str) -> str:
    """What `python app.py keys ...` prints beside a running proxy."""
    home = running.log.parent
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "keys", *arguments],
        env={**env, "DATA_DIR": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def status(running: Process, key: str, path: str = "/api/tags", **headers: str) -> int:
    return httpx.get(running.url + path, headers={**bearer(key), **headers}).status_code


def until(claim, limit_s: float = 1.0) -> float:
    """How long it took until it came true; within `limit_s`."""
    begin = time.monotonic()
    while not claim():
        assert time.monotonic() - begin < limit_s, "it did not come true in time"
        time.sleep(0.01)
    return time.monotonic() - begin


@pytest.fixture(scope="module")
def house(simulator: Process):
    """A proxy with two providers and four keys."""
    named = {
        "OPENAI_BASE_URL": f"{simulator.url}/openai/v1",
        "OPENAI_API_KEY": "sim-key",
        "ANTHROPIC_BASE_URL": f"{simulator.url}/anthropic",
        "ANTHROPIC_API_KEY": "sim-key",
        "LOG_LEVEL": "debug",
    }
    with processes.app(config=MODELS, **named) as running:
        assert status(running, "ollama") == 200  # as long as there are no keys
        yield running


@pytest.fixture(scope="module")
def made(house: Process) -> dict[str, str]:
    """The keys by name."""
    wanted = {
        "web": (),
        "ops": ("--admin",),
        "narrow": ("--models", "chat,tools", "--providers", "openai", "--priority", "low"),
        "elsewhere": ("--providers", "anthropic"),
    }
    found = {name: keys(house, "create", "--name", name, *options) for name, options in wanted.items()}
    assert all(KEY.fullmatch(key) for key in found.values())
    until(lambda: status(house, found["elsewhere"]) == 200)
    return found


def by_ollama(url: str, key: str) -> str:
    with ollama.Client(url, headers=bearer(key)) as client:
        return client.chat("chat", HI).message.content or ""


def by_openai(url: str, key: str) -> str:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        return client.chat.completions.create(model="chat", messages=HI).choices[0].message.content or ""


def by_azure(url: str, key: str) -> str:
    with openai.AzureOpenAI(
        azure_endpoint=url, api_key=key, api_version="2024-10-21", max_retries=0
    ) as client:
        return client.chat.completions.create(model="chat", messages=HI).choices[0].message.content or ""


def by_anthropic(url: str, key: str) -> str:
    with anthropic.Anthropic(base_url=url, api_key=key, max_retries=0) as client:
        return client.messages.create(model="chat", messages=HI, max_tokens=50).content[0].text


def by_google(url: str, key: str) -> str:
    with genai.Client(api_key=key, http_options={"base_url": url}) as client:
        return client.models.generate_content(model="chat", contents="hi").text or ""


CLIENTS = [
    pytest.param(by_ollama, (ollama.ResponseError,), id="ollama"),
    pytest.param(by_openai, (openai.AuthenticationError,), id="openai"),
    pytest.param(by_azure, (openai.AuthenticationError,), id="openai, for azure"),
    pytest.param(by_anthropic, (anthropic.AuthenticationError,), id="anthropic"),
    pytest.param(by_google, (google_errors.ClientError,), id="google-genai"),
]


@pytest.mark.parametrize(("ask", "refusals"), CLIENTS)
def test_the_vendors_own_libraries_show_keys(house: Process, made: dict[str, str], ask, refusals):
    assert ask(house.url, made["web"])
    wrong = made["web"][:-4] + "aaaa"
    for key in (wrong, "ollama", "sk-unused"):
        with pytest.raises(refusals) as error:
            ask(house.url, key)
        code = getattr(error.value, "status_code", None) or getattr(error.value, "code", None)
        assert code == 401
        assert wrong not in str(error.value)


@pytest.mark.parametrize(("ask", "refusals"), CLIENTS)
def test_words_in_place_of_keys_do_in_an_open_house(over_kind, ask, refusals):
    assert ask(over_kind("openai").url, "sk-unused")


def test_a_key_is_made_used_by_two_clients_and_revoked(house: Process, made: dict[str, str]):
    key = keys(house, "create", "--name", "guest", "--rpm", "600")
    until(lambda: status(house, key) == 200)
    assert by_openai(house.url, key)
    assert by_ollama(house.url, key)
    with httpx.Client(base_url=house.url, headers=bearer(key)) as kept:
        assert kept.get("/api/tags").status_code == 200
        keys(house, "revoke", "guest")
        # On the connection that it was let in by, too.
        until(lambda: kept.get("/api/tags").status_code == 401)
    with pytest.raises(openai.AuthenticationError):
        by_openai(house.url, key)


def test_a_rotated_key_has_its_grace(house: Process, made: dict[str, str]):
    old = keys(house, "create", "--name", "turning")
    new = keys(house, "rotate", "turning", "--grace", "1h")
    until(lambda: status(house, new) == 200)
    assert status(house, old) == 200
    newest = keys(house, "rotate", "turning", "--grace", "0")
    until(lambda: status(house, newest) == 200)
    assert (status(house, old), status(house, new)) == (401, 401)


def test_an_expired_key_is_refused(house: Process, made: dict[str, str]):
    key = keys(house, "create", "--name", "short", "--expires", "3s")
    until(lambda: status(house, key) == 200, 2.5)
    until(lambda: status(house, key) == 401, 4)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("web", "/health/detailed", 403),
        ("web", "/health/providers", 403),
        ("web", "/api/providers", 403),
        ("web", "/api/providers/openai/stats", 403),
        ("web", "/metrics", 403),
        ("web", "/dashboard", 403),
        ("web", "/nowhere", 404),
        ("ops", "/health/detailed", 200),
        ("ops", "/api/providers", 200),
        ("ops", "/nowhere", 404),
        ("nobody", "/health/detailed", 401),
        ("nobody", "/nowhere", 401),
        ("nobody", "/health", 200),
        ("nobody", "/health/live", 200),
        ("nobody", "/api/version", 200),
        ("nobody", "/", 200),
    ],
)
def test_what_the_house_shows_of_itself(house: Process, made: dict[str, str], name, path, expected):
    assert status(house, made.get(name, "nonsense"), path) == expected


@pytest.mark.parametrize("path", ["/api/pull", "/api/push", "/api/create", "/api/copy"])
def test_models_are_managed_by_administrators(house: Process, made: dict[str, str], path):
    body = {"model": "x", "source": "x", "destination": "y"}
    refused = httpx.post(house.url + path, json=body, headers=bearer(made["web"]))
    assert refused.status_code == 403
    assert httpx.post(house.url + path, json=body, headers=bearer(made["ops"])).status_code != 403


CALLS = {
    "/api/chat": {"model": "{}", "messages": HI},
    "/api/generate": {"model": "{}", "prompt": "hi"},
    "/api/generate load": {"model": "{}"},
    "/api/embed": {"model": "{}", "input": "hi"},
    "/api/embeddings": {"model": "{}", "prompt": "hi"},
    "/api/show": {"model": "{}"},
    "/api/route/explain": {"model": "{}", "messages": HI},
    "/v1/chat/completions": {"model": "{}", "messages": HI},
    "/v1/completions": {"model": "{}", "prompt": "hi"},
    "/v1/embeddings": {"model": "{}", "input": "hi"},
    "/v1/responses": {"model": "{}", "input": "hi"},
    "/v1/messages": {"model": "{}", "messages": HI, "max_tokens": 5},
    "/v1/messages/count_tokens": {"model": "{}", "messages": HI},
    "/openai/deployments/{}/chat/completions": {"messages": HI},
    "/v1beta/models/{}:generateContent": {"contents": [{"parts": [{"text": "hi"}]}]},
    "/v1beta/models/{}:countTokens": {"contents": [{"parts": [{"text": "hi"}]}]},
    "/v1beta/models/{}:embedContent": {"content": {"parts": [{"text": "hi"}]}},
}
LOOKS = ("/v1/models/{}", "/openai/models/{}", "/v1beta/models/{}")


def told(house: Process, key: str, path: str, body, model: str, **headers: str):
    """Status and words of an answer about `model`, with its name and what differs each time taken out."""
    address = house.url + path.split(" ")[0].replace("{}", model)
    headers = {**bearer(key), "X-Request-Id": "same", "anthropic-version": "2023-06-01", **headers}
    if body is None:
        got = httpx.get(address, headers=headers)
    else:
        text = json.dumps(body).replace("{}", model)
        got = httpx.post(address, content=text, headers={**headers, "Content-Type": "application/json"})
    shown = {name for name in got.headers if name not in ("date",)}
    return got.status_code, got.text.replace(model, "MODEL"), shown


@pytest.mark.parametrize("path", [*CALLS, *LOOKS])
@pytest.mark.parametrize("headers", [{}, {"X-Provider": "openai; only"}], ids=["", "of one provider"])
def test_a_hidden_model_is_as_one_that_does_not_exist(house: Process, made: dict[str, str], path, headers):
    """`think` is there and not for this key; `shrink` is nowhere."""
    body = CALLS.get(path)
    hidden = told(house, made["narrow"], path, body, "think", **headers)
    missing = told(house, made["narrow"], path, body, "nowhere-at-all", **headers)
    assert hidden == missing
    assert hidden[0] == 404


def test_lists_show_what_a_key_may_use(house: Process, made: dict[str, str]):
    def names(path: str, field: str, name: str) -> set[str]:
        got = httpx.get(house.url + path, headers=bearer(made["narrow"])).json()
        return {one[name].removeprefix("models/").removesuffix(":latest") for one in got[field]}

    for path, field, name in (
        ("/api/tags", "models", "name"),
        ("/v1/models", "data", "id"),
        ("/v1beta/models", "models", "name"),
        ("/api/tags/openai", "models", "name"),
        ("/openai/models", "data", "id"),
    ):
        assert names(path, field, name) == {"chat", "tools"}, path
    assert status(house, made["narrow"], "/api/tags/anthropic") == 404
    assert status(house, made["narrow"], "/api/tags/nowhere") == 404
    got = httpx.get(
        f"{house.url}/v1/models", headers={**bearer(made["narrow"]), "anthropic-version": "2023-06-01"}
    )
    assert {one["id"].removesuffix(":latest") for one in got.json()["data"]} == {"chat", "tools"}


def chat(house: Process, key: str, model: str = "chat", **headers: str) -> httpx.Response:
    body = {"model": model, "messages": HI, "stream": False}
    return httpx.post(f"{house.url}/api/chat", json=body, headers={**bearer(key), **headers})


@pytest.mark.parametrize(
    ("name", "headers", "expected"),
    [
        pytest.param("narrow", {}, (200, "openai"), id="its own provider"),
        pytest.param("elsewhere", {}, (200, "anthropic"), id="another key, another provider"),
        pytest.param("narrow", {"X-Provider": "openai"}, (200, "openai"), id="asked for by name"),
        pytest.param("narrow", {"X-Provider": "anthropic"}, (404, None), id="one that is not its own"),
        pytest.param("narrow", {"X-Provider": "anthropic; only"}, (404, None), id="that one alone"),
        pytest.param("narrow", {"X-Provider": "openai, anthropic"}, (404, None), id="beside its own"),
        pytest.param("narrow", {"X-Provider": "nowhere"}, (400, None), id="one that does not exist"),
        pytest.param("web", {"X-Provider": "anthropic"}, (200, "anthropic"), id="a key for all"),
    ],
)
def test_a_key_reaches_its_providers_alone(house: Process, made: dict[str, str], name, headers, expected):
    got = chat(house, made[name], **headers)
    assert (got.status_code, got.headers.get("x-provider")) == expected
    if name == "narrow" and expected[0] == 400:
        assert "anthropic" not in got.text


def test_explaining_shows_no_other_provider(house: Process, made: dict[str, str]):
    body = {"model": "chat", "messages": HI}
    got = httpx.post(f"{house.url}/api/route/explain", json=body, headers=bearer(made["narrow"]))
    assert got.status_code == 200
    assert "anthropic" not in got.text
    whole = httpx.post(f"{house.url}/api/route/explain", json=body, headers=bearer(made["web"]))
    assert "anthropic" in whole.text


def test_a_broken_file_changes_nothing_and_is_shown(house: Process, made: dict[str, str]):
    file = house.log.parent / "keys.toml"
    whole = file.read_text()
    file.write_text(whole + "\n[keys.aaaaaaaa]\nrpm = 'many'\n")

    def problems():
        return httpx.get(f"{house.url}/health/detailed", headers=bearer(made["ops"])).json()["keys"][
            "problems"
        ]

    until(lambda: len(problems()) == 2)
    assert any("keys.aaaaaaaa.rpm: must be a whole number" in text for text in problems())
    assert status(house, made["web"]) == 200
    file.write_text(whole)
    until(lambda: problems() == [])


def test_no_output_holds_a_key(house: Process, made: dict[str, str]):
    """Keys are planted wherever a client can write something; no answer and no line of the log repeats one."""
    planted = made["web"]
    secret = planted.rpartition("_")[2]
    said = []
    for path, body in CALLS.items():
        for model in ("chat", planted):
            text = json.dumps(body).replace("{}", model)
            address = house.url + path.split(" ")[0].replace("{}", "chat")
            headers = {**bearer(made["ops"]), "User-Agent": planted, "X-Request-Id": "one"}
            if model == "chat":
                headers |= {**bearer(planted), "X-Provider": "openai"}
            got = httpx.post(address, content=text, headers={**headers, "Content-Type": "application/json"})
            # The name of a model is told back as it was given: it is the client's own word.
            said.append(str(got.headers) + ("" if model == planted else got.text))
    for path in ("/api/tags", "/v1beta/models", f"/v1beta/models?key={planted}", "/api/ps", "/openapi.json"):
        got = httpx.get(house.url + path, headers={"x-goog-api-key": planted})
        said.append(str(got.headers) + got.text)
    for path in (
        "/health/detailed",
        "/api/providers",
        "/api/providers/openai",
        "/api/providers/openai/stats",
    ):
        said.append(httpx.get(house.url + path, headers=bearer(made["ops"])).text)
    said.append(httpx.get(f"{house.url}//v1beta/models?key={planted}").text)
    said.append(keys(house, "list") + keys(house, "list", "--json") + keys(house, "show", "web"))
    said.append(house.output)
    assert [text[:200] for text in said if secret in text] == []
    assert "one" in house.output
    for file in house.log.parent.iterdir():
        assert secret.encode() not in file.read_bytes(), file.name


@pytest.fixture
def reachable(simulator: Process):
    """A proxy that other machines may reach: the address is this machine's own, written as no loopback is."""
    environment = {
        "HOST": "127.1",
        "OPENAI_API_KEY": "sim-key",
        "OPENAI_BASE_URL": f"{simulator.url}/openai/v1",
    }
    with processes.app(config=MODELS, **environment) as running:
        until(lambda: "address" in running.output, 10.0)
        yield running


def test_a_house_that_others_reach_makes_one_key_and_shows_it_once(reachable: Process):
    (first,) = KEY.findall(reachable.output)
    assert "keys create" in reachable.output
    assert status(reachable, "ollama") == 200
    assert status(reachable, "ollama", **ELSEWHERE) == 401
    assert status(reachable, first, **ELSEWHERE) == 200
    assert status(reachable, first, "/health/detailed", **ELSEWHERE) == 200
    own = keys(reachable, "create", "--name", "web")
    until(lambda: status(reachable, "ollama") == 401)
    assert status(reachable, own, **ELSEWHERE) == 200
    keys(reachable, "revoke", "first")
    until(lambda: status(reachable, first) == 401)


def test_an_operator_may_leave_the_network_open():
    with processes.app(HOST="127.1", OPEN_NETWORK="true") as running:
        until(lambda: "address" in running.output, 10.0)
        assert KEY.findall(running.output) == []
        assert "keys.open_network" in running.output
        assert status(running, "ollama", **ELSEWHERE) == 200


def test_without_keys_only_this_machine_is_served(over_kind):
    running = over_kind("openai").proxy
    assert status(running, "ollama") == 200
    assert status(running, "ollama", **ELSEWHERE) == 401
    assert not (running.log.parent / "keys.toml").exists()


def test_several_workers_have_one_first_key_and_all_forget_a_revoked_one():
    with processes.app(HOST="127.1", WORKERS="2") as running:
        until(lambda: running.output.count(" is ready") == 2, 20.0)
        until(lambda: "address" in running.output, 10.0)
        (first,) = KEY.findall(running.output)
        own = keys(running, "create", "--name", "web")

        async def statuses(key: str) -> set[int]:
            """Of connections that reach both workers."""
            async with httpx.AsyncClient(base_url=running.url) as client:
                got = await asyncio.gather(*(client.get("/api/tags", headers=bearer(key)) for _ in range(16)))
                return {one.status_code for one in got}

        until(lambda: asyncio.run(statuses(own)) == {200}, 3.0)
        assert asyncio.run(statuses(first)) == {200}
        keys(running, "revoke", "web")
        until(lambda: asyncio.run(statuses(own)) == {401}, 3.0)


def test_a_file_of_keys_that_cannot_be_used_is_told_at_the_start(tmp_path):
    (tmp_path / "keys.toml").write_text("[keys.web]\nrpm = 0\n")
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        env={**env, "DATA_DIR": str(tmp_path), "PORT": str(processes.free_port())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "keys.toml:1: keys.web: must be the id of a key" in done.stderr
    assert "keys.toml:1: keys.web.hmac: is missing" in done.stderr
