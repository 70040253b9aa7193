"""Where the credential of an account at AWS comes from: its own keys, its API key, or the chain AWS programs share.

The chain (environment, profiles and their programs, single sign-on, the machine's or the container's role) is botocore's.
It blocks, so it is walked in a thread; what it gives may expire, so it is asked again and again.
Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html (2026-11).
"""

from collections.abc import Callable
from typing import Any

from attrs import define, field

from adapters.credentials import Fetch
from adapters.providers.bedrock_ids import region_of
from adapters.providers.bedrock_signing import Keys
from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider


def credential(provider: Provider) -> Secret | Fetch:
    """The credential of the account, or what fetches the newest one."""
    access, token = (provider.settings.get(key, Secret()) for key in ("access_key", "session_token"))
    if access:
        keys = Keys(region_of(provider), access.value, provider.secret.value, token.value)
        return Secret(keys.packed)
    return provider.secret or Chain(region_of(provider))


def session() -> Any:
    """A walk through the chain, not begun."""
    # Late, because it takes half a second, and most houses have no account at AWS.
    from botocore.session import get_session

    return get_session()


@define
class Chain:
    """Fetches the newest keys. Mutable: it holds the keys that renew themselves, as most of the chain's do.

    Raises LookupError where the chain gives none, and what botocore raises where it breaks.
    """

    region: str
    start: Callable[[], Any] = session
    _renewing: Any = field(default=None, init=False)

    def __call__(self) -> str:
        """The newest keys, packed; called in a thread."""
        found = self._renewing or self.start().get_credentials()
        if found is None:
            raise LookupError("no credentials of AWS are to be found")
        # Keys of a file may have been replaced since: only what renews itself is kept.
        self._renewing = found if hasattr(found, "refresh_needed") else None
        keys = found.get_frozen_credentials()
        return Keys(self.region, keys.access_key, keys.secret_key, keys.token or "").packed
