"""Calls of a provider that answers at more than one address, each carried by a transport of its own."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from attrs import frozen

from adapters.http1.dialling import Origin, origin_of
from pipeline.ports import Reply, Transport
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Problem


@frozen
class ByOrigin:
    """Carries each call by the transport of its scheme, host and port; `main` has those of no other, and judges them."""

    main: Transport
    others: Mapping[Origin, Transport]

    def open(self, request: HttpRequest) -> AbstractAsyncContextManager[Reply | Problem]:
        """As the port says."""
        return self.others.get(origin_of(request.url), self.main).open(request)

    async def aclose(self) -> None:
        """Close what is kept of all."""
        for transport in (self.main, *self.others.values()):
            await transport.aclose()
