"""Signatures are those that botocore itself makes at the same moment; an API key is a bearer token."""

import datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from adapters.providers.bedrock import CODEC
from adapters.providers.bedrock_credentials import Chain, credential
from adapters.providers.bedrock_signing import Keys, unpacked
from pipeline.values.http import HttpRequest
from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider

EPOCH = 1_770_000_000.0
KEYS = Keys("eu-west-1", "AKIAEXAMPLE", "s/cr+t=", "to+ken==")
URLS = [
    "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-v1%3A0/converse",
    "https://bedrock.eu-west-1.amazonaws.com/foundation-models",
    "http://127.0.0.1:9000/aws_bedrock/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ax%2Fy/converse-stream",
]


@pytest.fixture
def at_epoch(monkeypatch):
    moment = datetime.datetime.fromtimestamp(EPOCH, datetime.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: moment.replace(tzinfo=None))


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("keys", [KEYS, Keys("us-east-1", "AKIA", "secret")], ids=["for a while", "for long"])
def test_a_signature_is_botocores(at_epoch, url, keys):
    post = "converse" in url
    body = b'{"messages":[]}' if post else b""
    kind = {"content-type": "application/json"} if post else {}
    http = HttpRequest("POST" if post else "GET", url, {"accept": "x/y", "user-agent": "z", **kind}, body)
    signed = CODEC.sign(http, Secret(keys.packed), EPOCH)
    theirs = AWSRequest(http.method, url, dict(kind), body)
    botocore.auth.SigV4Auth(
        Credentials(keys.access, keys.secret, keys.token or None), "bedrock", keys.region
    ).add_auth(theirs)
    assert signed.headers["authorization"] == theirs.headers["Authorization"]
    assert signed.headers["x-amz-date"] == theirs.headers["X-Amz-Date"] == "20260202T024000Z"
    assert signed.headers.get("x-amz-security-token") == theirs.headers.get("X-Amz-Security-Token")
    assert signed.headers.items() >= http.headers.items()
    assert (signed.url, signed.body) == (http.url, http.body)


def test_an_api_key_is_a_bearer_token():
    signed = CODEC.sign(HttpRequest("GET", URLS[1]), Secret("ABSKkey=="), EPOCH)
    assert signed.headers == {"authorization": "Bearer ABSKkey=="}


def test_without_a_credential_nothing_is_signed():
    http = HttpRequest("GET", URLS[1])
    assert CODEC.sign(http, Secret(), EPOCH) == http


@pytest.mark.parametrize("keys", [KEYS, Keys("us-east-1", "AKIA", "secret")])
def test_keys_survive_packing(keys):
    assert unpacked(keys.packed) == keys


def test_packed_keys_do_not_show():
    assert KEYS.secret not in repr(KEYS)
    assert KEYS.token not in repr(KEYS)
    assert Secret(KEYS.packed).masked == f"****{KEYS.secret[-4:]}"


def provider(secret="", base_url="https://bedrock-runtime.eu-west-1.amazonaws.com", **settings):
    return Provider("p", "aws_bedrock", base_url, secret=Secret(secret), settings=settings)


@pytest.mark.parametrize(
    ("given", "region"),
    [
        pytest.param(
            provider("s", access_key=Secret("A"), region="us-west-2"), "us-west-2", id="as configured"
        ),
        pytest.param(provider("s", access_key=Secret("A")), "eu-west-1", id="of the address"),
        pytest.param(
            provider("s", "http://127.0.0.1:9", access_key=Secret("A")), "us-east-1", id="of neither"
        ),
    ],
)
def test_a_key_pair_is_used_in_its_region(given, region):
    assert unpacked(credential(given).value) == Keys(region, "A", "s")


def test_a_token_belongs_to_its_pair():
    given = provider("s", access_key=Secret("A"), session_token=Secret("t"))
    assert unpacked(credential(given).value).token == "t"


def test_an_api_key_stands_for_itself():
    assert credential(provider("ABSK")) == Secret("ABSK")


class Session:
    """A chain that ends with `found`."""

    def __init__(self, found):
        self.found = found

    def get_credentials(self):
        return self.found


class Renewing(Credentials):
    def refresh_needed(self):
        return False


def test_without_keys_the_chain_is_walked():
    chain = credential(provider())
    assert isinstance(chain, Chain)
    walked = Chain(chain.region, lambda: Session(Credentials("A", "s", "t")))
    assert unpacked(walked()) == Keys("eu-west-1", "A", "s", "t")


def test_keys_that_renew_themselves_are_kept_and_others_looked_up_again():
    starts = [Renewing("A", "1"), Renewing("B", "2")]
    chain = Chain("r-x-1", lambda: Session(starts.pop(0)))
    assert unpacked(chain()).access == unpacked(chain()).access == "A"
    starts = [Credentials("A", "1"), Credentials("B", "2")]
    chain = Chain("r-x-1", lambda: Session(starts.pop(0)))
    assert [unpacked(chain()).access, unpacked(chain()).access] == ["A", "B"]


def test_a_chain_without_an_end_says_so():
    with pytest.raises(LookupError):
        Chain("r-x-1", lambda: Session(None))()
