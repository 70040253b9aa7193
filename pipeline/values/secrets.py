"""A credential that does not show itself."""

from attrs import field, frozen


@frozen(repr=False, str=False, eq=True)
class Secret:
    """One credential. `value` is read by a codec's `sign` alone; repr, str and format give a mask."""

    value: str = field(default="")

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return f"Secret({self.masked!r})"

    __str__ = __repr__

    @property
    def masked(self) -> str:
        """What may be shown: nothing of a short secret, the last four characters of a long one."""
        if not self.value:
            return ""
        return f"****{self.value[-4:]}" if len(self.value) >= 16 else "****"
