"""From the names in `[pipeline] stages` to one service: the order check and the composition.

The list is the path in time: what stands before `call` sees the request in that order, what stands after it sees the
reply in that order. So the part after `call` wraps the part before it.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from attrs import frozen

from pipeline.ports import Env
from pipeline.protocol import Service, Stage, Wire
from pipeline.values.exchange import Exchange

Side = Literal["request", "call", "reply"]


@frozen
class Entry:
    """A stage as the wiring sees it.

    `build(options, env)` gives the stage; `options` is the frozen class that `[stage.NAME]` fills. `side`: where it
    stands. `needs` and `gives`: what it takes from earlier stages and adds for later ones (`plan`, `reply`).
    """

    build: Callable[[Any, Env], Stage]
    options: type
    side: Side
    needs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()


Catalog = Mapping[str, Entry]


def order_faults(names: Sequence[str], catalog: Catalog, path: str = "pipeline.stages") -> tuple[str, ...]:
    """All that is wrong with a list of stages, each with its place and what would be right."""
    faults = []
    known = [(index, name) for index, name in enumerate(names) if name in catalog]
    calls = [index for index, name in known if catalog[name].side == "call"]
    for index, name in enumerate(names):
        if name not in catalog:
            faults.append(f'{path}[{index}]: no stage is named "{name}"{_meant(name, catalog)}')
        elif name in names[:index]:
            faults.append(f'{path}[{index}]: "{name}" is listed twice; remove one')
    if not calls:
        faults.append(f'{path}: "call" is missing; without it no provider is ever asked. Add "call"')
    for index, name in known:
        faults.extend(_side_faults(index, name, calls, catalog, path))
        faults.extend(_need_faults(index, name, known, catalog, path))
    return tuple(faults)


def _meant(name: str, catalog: Catalog) -> str:
    close = get_close_matches(name, list(catalog), 1)
    known = ", ".join(sorted(catalog))
    return f'; did you mean "{close[0]}"?' if close else f". The stages are: {known}"


def _side_faults(index: int, name: str, calls: list[int], catalog: Catalog, path: str) -> list[str]:
    if not calls:
        return []
    side = catalog[name].side
    if side == "request" and index > calls[0]:
        return [
            f'{path}[{index}]: "{name}" works on the request, and "call" stands earlier. Move it before "call"'
        ]
    if side == "reply" and index < calls[0]:
        return [
            f'{path}[{index}]: "{name}" works on the reply, and "call" stands later. Move it behind "call"'
        ]
    return []


def _need_faults(
    index: int, name: str, known: list[tuple[int, str]], catalog: Catalog, path: str
) -> list[str]:
    faults = []
    for need in catalog[name].needs:
        givers = [(place, other) for place, other in known if need in catalog[other].gives]
        if any(place < index for place, _ in givers):
            continue
        text = f'{path}[{index}]: "{name}" needs a {need}; '
        if givers:
            place, other = givers[0]
            text += f'"{other}" gives one and stands later, at [{place}]. Move "{other}" before "{name}"'
        elif able := [f'"{other}"' for other, entry in sorted(catalog.items()) if need in entry.gives]:
            text += f'{" or ".join(able)} gives one. Add it before "{name}"'
        else:
            text += f'no stage gives one. Remove "{name}"'
        faults.append(text)
    return faults


async def _nothing(exchange: Exchange, wire: Wire) -> None:
    """What stands inside `call`, which never asks it."""


def build_stages(options: Mapping[str, Any], catalog: Catalog, env: Env) -> Mapping[str, Stage]:
    """Every stage of the catalogue, built once with its options: its pipelines share what a stage holds."""
    return {name: entry.build(options[name], env) for name, entry in catalog.items()}


def compose(names: Sequence[str], stages: Mapping[str, Stage], catalog: Catalog) -> Service:
    """One service of the named stages, whose order must be without faults."""
    at = next(index for index, name in enumerate(names) if catalog[name].side == "call")
    service: Service = _nothing
    for name in (*reversed(names[: at + 1]), *names[at + 1 :]):
        service = stages[name](service)
    return service
