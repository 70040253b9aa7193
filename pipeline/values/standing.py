"""Where one stands who waits in a queue."""

from math import ceil

from attrs import frozen


@frozen
class Standing:
    """`position`: about how many are served until it is his turn, himself with them; `wait_s`: in how many seconds that
    will be, None where nobody knows."""

    position: int
    wait_s: float | None

    @property
    def wait_told(self) -> int | None:
        """The wait in whole seconds, as clients are told it."""
        return None if self.wait_s is None else max(1, ceil(self.wait_s))
