"""When names mean the same model, whoever serves it.

A name says more than the model: who made it (`anthropic.claude...`, `anthropic/claude...`), where it runs (`us.`), which
state of it is meant (`-20241022`, `-latest`), how often its seller has revised the offer (`-v1:0`), and on what terms it is
offered (`:free`). What is left is spelt in one way, so that `us.anthropic.claude-3-5-sonnet-20241022-v2:0` and
`anthropic/claude-3.5-sonnet` are seen to be one model. Where a rule would be a guess there is none: two names that differ
in anything else are two models.
"""

import re

from attrs import frozen

from pipeline.names import canonical

# What is longer is no model's name, and clients may send anything.
LONGEST = 200

# Makers and regions before the first dot that has a word behind it: `us.anthropic.`, but not `deepseek.` of `deepseek.r1`.
_BEFORE = re.compile(r"(?:[a-z][a-z0-9-]*\.)+(?=[a-z]{2})")
# A region, a maker and a word: `eu.anthropic.claude...`. `global.` is no region.
_REGIONAL = re.compile(r"(?!global\.)[a-z][a-z-]*\.[a-z][a-z0-9-]*\.[a-z]")
_JOINED = re.compile(r"[a-z]+\.[a-z]\d")
_DATED = re.compile(r"[-@](20\d\d)-?([01]\d)-?([0-3]\d)(?:-v\d+)?$")
# Snapshots without a year or a date, in families that number them so: gpt-4-0613, gemini-2.0-flash-001.
_NUMBERED = re.compile(r"(?:gpt-[34].*-(?:0\d|1[0-2])\d\d|gemini-\d.*-0\d\d)$")
_CURRENT = re.compile(r"-latest$|(?<=-\d)-0$")
# One family spelt in two ways.
_SPELLINGS = (
    (re.compile(r"^gpt-35(?=-|$)"), "gpt-3-5"),
    (re.compile(r"^(?:meta-)?llama-?(?=\d)"), "llama"),
)


@frozen
class Identity:
    """What a name means. `model` is the same under all names of one model.

    `maker`: letters of who made it, "" where the name does not say. `variant`: another offer of it (`free`, `thinking`),
    or the host it is asked for at (`@mine.openai.azure.com`); it does not stand in for the plain one. `snapshot`: the
    state that is meant, digits that sort by time; "" where the name leaves that open.
    """

    model: str
    variant: str = ""
    snapshot: str = ""
    maker: str = ""

    def agrees(self, other: "Identity") -> bool:
        """Whether both are one model, of whichever snapshot. `meta` and `meta-llama` are one maker."""
        if (self.model, self.variant) != (other.model, other.variant):
            return False
        return self.maker.startswith(other.maker) or other.maker.startswith(self.maker)


def identity(name: str) -> Identity:
    """What `name` means, in whichever vendor's spelling."""
    spelt = canonical(name)
    if len(spelt) > LONGEST:
        return Identity(spelt)
    if spelt.startswith("ft:"):
        base, _, tuned = spelt.removeprefix("ft:").partition(":")
        return Identity(_plain(base), f"ft:{tuned}")
    above, _, own = spelt.rpartition("/")
    before = _BEFORE.match(own)
    rest = own[before.end() :] if before else own
    stem, variant = _unrevised(rest)
    stem, host = _at_home(stem)
    stem, snapshot = _undated(stem.removesuffix("-v1"))
    maker = before[0].split(".")[-2] if before else above.rpartition("/")[2]
    # What begins with `~` points at whatever is newest, of any version, and is no name of one model.
    stem = stem if spelt.startswith("~") else _CURRENT.sub("", stem)
    return Identity(_plain(stem), host or variant, snapshot, "" if _JOINED.match(rest) else _letters(maker))


def regional(name: str) -> bool:
    """Whether the name says in which region the model is to run."""
    return _REGIONAL.match(canonical(name)) is not None


def _letters(maker: str) -> str:
    """A maker as it is compared. `models/` and the names of resources name none."""
    return "" if maker == "models" or ":" in maker else re.sub(r"[^a-z]", "", maker)


def _unrevised(own: str) -> tuple[str, str]:
    """The name without its seller's revision, and the variant: `nova-pro-v1:0`, `mistral-7b-instruct-v0:2`, `m:free`."""
    stem, _, tag = own.partition(":")
    revision, _, variant = tag.partition(":")
    if not revision.isdigit():
        return stem, tag
    return (stem.removesuffix("-1") if revision == "0" else f"{stem}.{revision}"), variant


def _at_home(stem: str) -> tuple[str, str]:
    """The name without the host it names, and `@host`; behind an `@` may stand a date as well, which is none."""
    before, _, host = stem.partition("@")
    return (before, f"@{host}") if host and not _DATED.search(stem) else (stem, "")


def _undated(stem: str) -> tuple[str, str]:
    """The name without its snapshot, and the snapshot."""
    if dated := _DATED.search(stem):
        return stem[: dated.start()], "".join(dated.groups())
    if _NUMBERED.match(stem):
        base, _, snapshot = stem.rpartition("-")
        return base, snapshot
    return stem, ""


def _plain(stem: str) -> str:
    spelt = stem.replace(".", "-").replace("_", "-")
    for pattern, usual in _SPELLINGS:
        spelt = pattern.sub(usual, spelt)
    return spelt


def same_model(one: str, other: str) -> bool:
    """Whether two names mean one model. A name that leaves the snapshot open agrees with all of them."""
    first, second = identity(one), identity(other)
    same = first.agrees(second)
    return same and (not first.snapshot or not second.snapshot or first.snapshot == second.snapshot)
