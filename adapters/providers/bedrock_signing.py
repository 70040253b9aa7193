"""Signatures of AWS (SigV4) on requests to Bedrock, or its API key as a bearer token.

All that a signature needs travels as one credential: `packed` in one text, words apart by a blank, which no key holds.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html (2026-11).
"""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from attrs import field, frozen

from adapters.providers.http import sign_bearer
from pipeline.values.http import HttpRequest
from pipeline.values.secrets import Secret

_SCHEME = "aws4"
_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "bedrock"
_NO_TOKEN = "-"


@frozen
class Keys:
    """A key pair of AWS and where it is used. `token` belongs to keys that are given out for a while."""

    region: str
    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)

    @property
    def packed(self) -> str:
        """The keys as one text; the secret stands last, so that a mask shows of it what it shows of others."""
        return " ".join((_SCHEME, self.region, self.access, self.token or _NO_TOKEN, self.secret))


def unpacked(text: str) -> Keys | None:
    """The keys that were packed as `text`; None if it is an API key."""
    match text.split(" "):
        case [scheme, region, access, token, secret] if scheme == _SCHEME:
            return Keys(region, access, secret, "" if token == _NO_TOKEN else token)
    return None


def sign(http: HttpRequest, secret: Secret, epoch_s: float) -> HttpRequest:
    """`Codec.sign`. Nothing is signed without a credential; the answer then says so."""
    keys = unpacked(secret.value)
    return sign_bearer(http, secret, epoch_s) if keys is None else signed(http, keys, epoch_s)


def signed(http: HttpRequest, keys: Keys, epoch_s: float) -> HttpRequest:
    """The request with its signature, which covers host, time, token, type and body; other headers may be added later."""
    # Late, because it takes a fifth of a second, and most houses have no account at AWS.
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    time = datetime.fromtimestamp(epoch_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    dated = {"x-amz-date": time, **({"x-amz-security-token": keys.token} if keys.token else {})}
    covered = {"host": urlsplit(http.url).netloc, **dated}
    if "content-type" in http.headers:
        covered["content-type"] = http.headers["content-type"]
    request = AWSRequest(http.method, http.url, covered, http.body)
    request.context["timestamp"] = time
    signer = SigV4Auth(Credentials(keys.access, keys.secret, keys.token or None), _SERVICE, keys.region)
    names = signer.signed_headers(signer.headers_to_sign(request))
    text = signer.string_to_sign(request, signer.canonical_request(request))
    authorization = (
        f"{_ALGORITHM} Credential={signer.scope(request)}, SignedHeaders={names}, "
        f"Signature={signer.signature(text, request)}"
    )
    return http.with_headers({**dated, "authorization": authorization})
