"""Names of tools as a vendor takes them, where it refuses letters or lengths that clients use."""

import re
from collections.abc import Container, Iterable, Mapping
from hashlib import blake2b

from attrs import frozen

from pipeline.values.messages import Tool

# Room that is left behind a name, so that it can be told from another that became the same.
_ROOM = 8


@frozen
class Form:
    """What a vendor takes as a name: at most `most` letters, none of those that `refused` finds, beginning as `first`."""

    most: int
    refused: re.Pattern[str] = re.compile(r"[^a-zA-Z0-9_-]")
    first: re.Pattern[str] = re.compile(r"")

    def takes(self, name: str) -> bool:
        """Whether `name` can be sent as it is."""
        plain = not self.refused.search(name) and self.first.match(name) is not None
        return plain and 0 < len(name) <= self.most

    def fitted(self, name: str) -> str:
        """`name` if it is taken, else what is most like it; long ones stay apart by what they were."""
        if self.takes(name):
            return name
        found = self.refused.sub("_", name) or "_"
        if not self.first.match(found):
            found = f"_{found}"
        if len(found) > self.most - _ROOM:
            found = (
                f"{found[: self.most - 2 * _ROOM - 1]}_{blake2b(name.encode(), digest_size=4).hexdigest()}"
            )
        return found


@frozen
class Names:
    """The names of one request's tools. `wire`: what stands for each that cannot be sent as it is."""

    form: Form
    wire: Mapping[str, str]

    def sent(self, name: str) -> str:
        """The name that `name` goes by, whether such a tool is offered or was called once."""
        return self.wire.get(name) or self.form.fitted(name)

    @property
    def told(self) -> Mapping[str, str]:
        """The client's own name by that which stands for it."""
        return {wire: name for name, wire in self.wire.items()}


def names_of(tools: Iterable[Tool], form: Form) -> Names:
    """The names of these tools, each unlike the others."""
    known = [tool.name for tool in tools]
    taken = {name for name in known if form.takes(name)}
    wire: dict[str, str] = {}
    for name in known:
        if name not in taken and name not in wire:
            wire[name] = unlike(form.fitted(name), taken)
            taken.add(wire[name])
    return Names(form, wire)


def unlike(name: str, taken: Container[str]) -> str:
    """`name`, made longer until it is none of those taken."""
    while name in taken:
        name += "_"
    return name
