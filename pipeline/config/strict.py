"""From plain values to typed ones, without coercion: "8080" is no number, 1 is not true.

Only what comes as text by nature (the environment, `.env`, the command line) is read by the type that is wanted; such a
value travels as `Raw`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin

import attrs
from attrs import field, frozen
from cattrs import Converter

from pipeline.config.faults import Path, listed, meant
from pipeline.values.secrets import Secret

T = TypeVar("T")

YES = frozenset({"true", "1", "yes", "on"})
NO = frozenset({"false", "0", "no", "off"})

_SHORT = 20  # letters that may be repeated in a message; what is longer may be a key that stands in the wrong place
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_VALIDATED = re.compile(r"'(\w+)' ")  # how attrs' validators begin their sentences


@frozen
class Raw:
    """Text that stands for a value of whatever type is wanted. It may hold a secret."""

    text: str = field(repr=False)


class Mismatch(ValueError):
    """A value does not fit its type: each place below it, and what is wrong there."""

    def __init__(self, found: Iterable[tuple[Path, str]]) -> None:
        self.found = tuple(found)
        super().__init__(self.found)

    def under(self, part: str | int) -> list[tuple[Path, str]]:
        """The same places, seen from one level up."""
        return [((part, *path), text) for path, text in self.found]


@frozen
class KeySource:
    """Where a credential stands: in an environment variable, in a file, or right here."""

    env: str | None = None
    file: str | None = None
    clear: Secret = Secret()


def structured(value: Any, wanted: type[T]) -> T:
    """`value` as a `wanted`. Raises Mismatch with all that does not fit."""
    return _STRICT.structure(value, wanted)


def _refuse(text: str) -> NoReturn:
    raise Mismatch([((), text)])


def _shown(value: Any) -> str:
    match value:
        case Raw(text):
            return f'"{text}"' if len(text) <= _SHORT else "a longer text"
        case str():
            return f'the text "{value}"' if len(value) <= _SHORT else "a longer text"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case Mapping():
            return "a table"
        case list():
            return "a list"
    return f"a {type(value).__name__}"


def _to_bool(value: Any, _: Any) -> bool:
    word = value.text.strip().lower() if isinstance(value, Raw) else value
    if isinstance(value, Raw) and word in YES | NO:
        return word in YES
    return word if isinstance(word, bool) else _refuse(f"must be true or false, not {_shown(value)}")


def _to_int(value: Any, _: Any) -> int:
    if isinstance(value, Raw) and _WHOLE.fullmatch(value.text.strip()):
        return int(value.text.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    _refuse(f"must be a whole number, not {_shown(value)}")


def _to_float(value: Any, _: Any) -> float:
    number = _number(value.text) if isinstance(value, Raw) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        _refuse(f"must be a number, not {_shown(value)}")
    if not math.isfinite(number):
        _refuse(f"must be a finite number, not {_shown(value)}")
    return float(number)


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _to_str(value: Any, _: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    return value if isinstance(value, str) else _refuse(f"must be a text in quotes, not {_shown(value)}")


def _to_literal(value: Any, wanted: Any) -> Any:
    choices = get_args(wanted)
    given = value.text.strip().lower() if isinstance(value, Raw) else value
    for choice in choices:
        if given == choice and type(given) is type(choice):
            return choice
    guess = meant(given, map(str, choices)) if isinstance(given, str) else ""
    _refuse(f"must be {listed(map(str, choices))}, not {_shown(value)}{guess if 'did you' in guess else ''}")


def _to_many(value: Any, wanted: Any) -> Any:
    if isinstance(value, Raw):
        value = [Raw(part.strip()) for part in value.text.split(",") if part.strip()]
    if not isinstance(value, list):
        _refuse(f"must be a list, not {_shown(value)}")
    origin = get_origin(wanted)
    item = get_args(wanted)[0]
    items, found = [], []
    for index, part in enumerate(value):
        try:
            items.append(_STRICT.structure(part, item))
        except Mismatch as mismatch:
            found.extend(mismatch.under(index))
    if found:
        raise Mismatch(found)
    return origin(items)


def _to_mapping(value: Any, wanted: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(f"must be a table, not {_shown(value)}")
    item = get_args(wanted)[1]
    items, found = {}, []
    for name, part in value.items():
        try:
            items[name] = _STRICT.structure(part, item)
        except Mismatch as mismatch:
            found.extend(mismatch.under(name))
    if found:
        raise Mismatch(found)
    return items


def _to_union(value: Any, wanted: Any) -> Any:
    wrong = []
    for member in get_args(wanted):
        if member is type(None):
            continue
        try:
            return _STRICT.structure(value, member)
        except Mismatch as mismatch:
            wrong.append(mismatch)
    if len(wrong) == 1:
        raise wrong[0]
    _refuse(", or ".join(text for mismatch in wrong for _, text in mismatch.found))


def _to_class(value: Any, wanted: type[Any]) -> Any:
    if not isinstance(value, Mapping):
        _refuse(f"must be a table, not {_shown(value)}")
    fields = {option.name: option for option in attrs.fields(attrs.resolve_types(wanted))}
    given: dict[str, Any] = {}
    found: list[tuple[Path, str]] = []
    for name, part in value.items():
        if name not in fields:
            found.append(((name,), f"unknown key{meant(name, fields)}"))
            continue
        try:
            given[name] = _STRICT.structure(part, cast(Any, fields[name].type))
        except Mismatch as mismatch:
            found.extend(mismatch.under(name))
    required = [name for name, option in fields.items() if option.default is attrs.NOTHING]
    found.extend(((name,), "is missing") for name in required if name not in value)
    if all(name in given for name in required):
        found.extend(_out_of_range(wanted, given, required))
    if found:
        raise Mismatch(found)
    return wanted(**given)


def _out_of_range(
    wanted: type[Any], given: Mapping[str, Any], required: Iterable[str]
) -> list[tuple[Path, str]]:
    """What the class's own validators say: of single values where these are to blame, else of them together."""
    if (together := _refusal(wanted, given)) is None:
        return []
    least = {name: given[name] for name in required}
    found: dict[Path, str] = {}
    for name, value in given.items():
        if (refusal := _refusal(wanted, {**least, name: value})) is not None:
            about, text = refusal
            found[(about if about in given else name,)] = text
    return list(found.items()) or [((together[0],) if together[0] in given else (), together[1])]


def _refusal(wanted: type[Any], given: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first thing that the validators of `wanted` refuse: the field's name where they say it, and why."""
    try:
        wanted(**given)
    except ValueError as problem:
        text = str(problem.args[0])
        about = _VALIDATED.match(text)
        return (about[1], text[about.end() :]) if about else ("", text)
    return None


def _to_key_source(value: Any, _: Any) -> KeySource:
    """A credential's place. What was given is never repeated in the refusal: it may be the credential."""
    if isinstance(value, Raw | str):
        return KeySource(clear=Secret(value.text if isinstance(value, Raw) else value))
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(next(iter(value.values())), str):
        if "env" in value:
            return KeySource(env=value["env"])
        if "file" in value:
            return KeySource(file=value["file"])
    _refuse('must be { env = "NAME" }, { file = "path" } or a text')


def _is(*origins: Any) -> Callable[[Any], bool]:
    """Whether a type is one of these, with whatever in its brackets."""
    return lambda kind: any(get_origin(kind) is origin for origin in origins)


def _converter() -> Converter:
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook_func(attrs.has, _to_class)
    converter.register_structure_hook_func(_is(tuple, list, set, frozenset), _to_many)
    converter.register_structure_hook_func(_is(Mapping, dict), _to_mapping)
    converter.register_structure_hook_func(_is(Union, UnionType), _to_union)
    converter.register_structure_hook_func(_is(Literal), _to_literal)
    converter.register_structure_hook(KeySource, _to_key_source)
    converter.register_structure_hook(bool, _to_bool)
    converter.register_structure_hook(int, _to_int)
    converter.register_structure_hook(float, _to_float)
    converter.register_structure_hook(str, _to_str)
    return converter


_STRICT = _converter()
