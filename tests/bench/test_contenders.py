"""Who takes part in the bench."""

from pathlib import Path

import pytest

from bench import contenders
from bench.contenders import PEERS, USUAL, Setting, route_to
from bench.machine import memory_gib, processor
from bench.tools import Certificate, Route, request_bytes
from tests.bench.test_report import WHOLE

PLAIN = Setting(port=1000, upstream_port=2000, certificate=None)
TLS = Setting(port=1000, upstream_port=2000, certificate=Certificate(Path("cert.pem"), Path("key.pem")))


def test_names_are_their_own_and_can_be_listed_with_commas() -> None:
    names = [one.name for one in (*USUAL, *PEERS)]
    assert len(set(names)) == len(names)
    assert not any("," in name for name in names)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        pytest.param(PLAIN, "http://127.0.0.1:2000/v1", id="plain"),
        pytest.param(TLS, "https://127.0.0.1:2000/v1", id="in TLS, whose certificate is trusted"),
    ],
)
def test_the_proxy_is_pointed_at_the_provider(setting: Setting, expected: str) -> None:
    environment = contenders.proxy()(setting).environment
    assert environment["OPENAI_BASE_URL"] == expected
    assert ("SSL_CERT_FILE" in environment) == (setting is TLS)


def test_a_route_is_told_where_the_provider_is() -> None:
    portkey = next(one for one in PEERS if one.name == "Portkey")
    assert route_to(portkey, PLAIN).headers["x-portkey-custom-host"] == "http://127.0.0.1:2000/v1"


def test_a_request_is_complete_and_a_route_has_the_last_word_on_headers() -> None:
    head, _, body = request_bytes(80, WHOLE, Route("/x", {"Authorization": "Bearer y"})).partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert head.count(b"Authorization") == 1
    assert b"Bearer y" in head
    assert f"Content-Length: {len(body)}".encode() in head


def test_peers_that_are_not_named_take_no_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PORTKEY_DIR", raising=False)
    monkeypatch.delenv("LITELLM_BIN", raising=False)
    assert contenders.no_portkey() == "PORTKEY_DIR is not set"
    assert contenders.no_litellm() == "LITELLM_BIN is not set"
    monkeypatch.setenv("PORTKEY_DIR", str(tmp_path))
    monkeypatch.setenv("LITELLM_BIN", str(tmp_path / "none"))
    assert contenders.no_portkey() == "PORTKEY_DIR does not hold @portkey-ai/gateway"
    assert contenders.no_litellm() == "LITELLM_BIN is not a program"


def test_the_machine_is_read() -> None:
    assert processor("a\nmodel name\t: AMD EPYC\nmodel name\t: AMD EPYC\n") == "AMD EPYC"
    assert memory_gib("MemTotal:       25165824 kB\n") == 24
