"""A conversation and an answer in no wire's form, as the tests ask and read them: plain values, compared by eye.

Nothing here comes from the product: what it believes about a form is told by its own readers and writers, and these are
others. Calls are known by their place in the conversation, so that ids may differ as long as they tie the same ends.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from attrs import evolve, field, frozen

# (role, kind, value). Kinds: text, thinking, image (base64), call (place, name, arguments), result (place, text).
Item = tuple[str, str, Any]

# What each step may spend where a model is told tokens, as docs/providers.md has it.
STEPS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "max": 32768}


@frozen
class Tool:
    """A function that is offered. `schema` is its JSON text, keys in order."""

    name: str
    description: str
    schema: str


@frozen
class Talk:
    """A conversation and how it is to be continued. `thinking`: False, True, a step, or a number of tokens.

    `signatures`: what came sealed with earlier thinking, wherever it stands.
    """

    items: tuple[Item, ...]
    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    thinking: bool | str | int | None = None
    signatures: frozenset[str] = frozenset()


@frozen
class Reply:
    """An answer. `order`: the kinds as they came; `calls`: name and arguments; `usage`: tokens in and out."""

    order: tuple[str, ...]
    thinking: str
    text: str
    calls: tuple[tuple[str, Any], ...]
    ids: tuple[str, ...]
    finish: str
    usage: tuple[int | None, int | None]


@frozen
class Calls:
    """Gives the calls of a conversation their places. Mutable inside: it lives while one is read."""

    known: list[tuple[str, str]] = field(factory=list)
    answered: set[int] = field(factory=set)

    def made(self, id: str, name: str, arguments: Any) -> Item:
        """A call, its arguments as a value."""
        self.known.append((id, name))
        return ("assistant", "call", (len(self.known) - 1, name, arguments))

    def answer(self, id: str, text: str) -> Item:
        """A result, tied to the latest call of that id that has none; to None where there is no such call."""
        places = [at for at, (known, _) in enumerate(self.known) if known == id and at not in self.answered]
        if places:
            self.answered.add(places[0])
        return ("tool", "result", (places[0] if places else None, text))


def plain(text: str) -> Any:
    """The text of a result: as a value where it is a JSON object, so that spaces and order of keys do not count."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def turns(items: Iterable[Item]) -> tuple[Any, ...]:
    """Items as runs of one speaker. Empty words say nothing, and where one piece of text ends nobody hears.

    The results of one turn are compared in the order of their calls, and pictures apart from the words they stand
    among: there are forms that know no other.
    """
    found = []
    for role, run in groupby((item for item in items if item[2] != ""), key=lambda item: item[0]):
        said = list(run)
        words = "".join(value for _, kind, value in said if kind == "text")
        thoughts = "".join(value for _, kind, value in said if kind == "thinking")
        others = [(kind, value) for _, kind, value in said if kind not in ("text", "thinking")]
        results = sorted(
            (value for kind, value in others if kind == "result"), key=lambda value: str(value[0])
        )
        found.append(
            (
                role,
                thoughts,
                words,
                tuple(value for kind, value in others if kind == "image"),
                tuple(value for kind, value in others if kind == "call"),
                tuple((place, plain(text)) for place, text in results),
            )
        )
    return tuple(found)


def instructed(talk: Talk) -> Talk:
    """With all that the system says at the beginning."""
    system = tuple(item for item in talk.items if item[0] == "system")
    return evolve(talk, items=(*system, *(item for item in talk.items if item[0] != "system")))


def without(items: Iterable[Item], kind: str) -> tuple[Item, ...]:
    """All items but those of a kind."""
    return tuple(item for item in items if item[1] != kind)


def differences(asked: Talk, arrived: Talk) -> frozenset[str]:
    """What of `asked` did not arrive, under the names by which `X-Proxy-Lossy` tells it."""
    found = {
        name for name in ("tools", "max_tokens", "stop") if getattr(asked, name) != getattr(arrived, name)
    }
    if asked.temperature != arrived.temperature and (asked.temperature, arrived.temperature) != (1, None):
        # 1 is what it is anyway.
        found.add("temperature")
    if (asked.choice or "auto") != (arrived.choice or "auto"):
        found.add("tool_choice")
        if arrived.tools == tuple(tool for tool in asked.tools if tool.name == asked.choice):
            # To offer that one alone, or none, is how it is wished for where nothing can be chosen.
            found.discard("tools")
    if not _thinks_alike(asked, arrived):
        found.add("thinking")
    if turns(asked.items) != turns(arrived.items):
        if turns(without(asked.items, "thinking")) == turns(without(arrived.items, "thinking")):
            found.add("messages.thinking")
        else:
            found.add("messages")
    return frozenset(found)


def _thinks_alike(asked: Talk, arrived: Talk) -> bool:
    """A step is the same as the tokens it may spend, which are fewer where the answer must be short. Only to think means
    as much as the model likes; and to say nothing is the same as not to think."""
    wish, found = asked.thinking, arrived.thinking
    if wish is True:
        return bool(found)
    if isinstance(wish, str) and isinstance(found, int) and found is not True:
        fits = asked.max_tokens is None or asked.max_tokens * 4 >= STEPS[wish] * 5
        return found == STEPS[wish] if fits else 0 < found <= STEPS[wish]
    return (wish or False) == (found or False)


def reply(parts: Iterable[tuple[str, Any]], finish: str, usage: tuple[int | None, int | None]) -> Reply:
    """An answer of (kind, value) in their order; the value of a call is (id, name, arguments)."""
    parts = [part for part in parts if part[1] != ""]
    calls = [value for kind, value in parts if kind == "call"]
    order: list[str] = []
    for kind, _ in parts:
        if kind == "call" or order[-1:] != [kind]:
            order.append(kind)
    return Reply(
        tuple(order),
        "".join(value for kind, value in parts if kind == "thinking"),
        "".join(value for kind, value in parts if kind == "text"),
        tuple((name, arguments) for _, name, arguments in calls),
        tuple(id for id, _, _ in calls),
        finish,
        usage,
    )


def renamed(talk: Talk, names: Mapping[str, str]) -> Talk:
    """The same with other names of its tools."""

    def other(item: Item) -> Item:
        role, kind, value = item
        return (role, kind, (value[0], names.get(value[1], value[1]), value[2])) if kind == "call" else item

    tools = tuple(evolve(tool, name=names.get(tool.name, tool.name)) for tool in talk.tools)
    choice = talk.choice and names.get(talk.choice, talk.choice)
    return evolve(talk, items=tuple(map(other, talk.items)), tools=tools, choice=choice)
