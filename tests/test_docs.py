"""The docs are whole: their links lead somewhere, and whatever a user can name, set or meet is named in them.

Named means in a code span, on any page under docs/: `queue_full`, or with more behind the name, as in
`PORT=8080`. Examples in code blocks do not count: they show a name and say nothing about it.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import attrs
import pytest

from adapters.providers import CODECS
from pipeline.config import ENVIRONMENT
from pipeline.values import facts
from pipeline.values.problems import Kind
from stages import CATALOG

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "changelog.d" / "README.md", *DOCS]

BLOCK = re.compile(r"^[ \t]*(`{3,}|~{3,}).*?^[ \t]*\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^\s<>()]*(?:\([^\s()]*\)[^\s<>()]*)*)>?(?:\s+[\"'(][^)]*)?\s*\)")
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:[ \t]*<?([^\s>]+)", re.MULTILINE)
ATTRIBUTE = re.compile(r"""<(?:a|img|source)\b[^>]*?\b(?:href|src)=["']([^"']+)["']""")
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
NAMED_PLACE = re.compile(r"""<[a-z]+\b[^>]*?\b(?:id|name)=["']([^"']+)["']""")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def links(text: str) -> Iterator[str]:
    """Where a page's links and pictures point; what stands in code is not a link."""
    prose = SPAN.sub("", BLOCK.sub("", text))
    for pattern in (LINK, DEFINITION, ATTRIBUTE):
        yield from pattern.findall(prose)


def anchors(text: str) -> set[str]:
    """The fragments a page offers: its headings as GitHub names them, and ids set by hand."""
    prose = BLOCK.sub("", text)
    found: set[str] = set()
    for heading in HEADING.findall(prose):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        candidates = (slug, *(f"{slug}-{again}" for again in range(1, 100)))
        found.add(next(name for name in candidates if name not in found))
    return found | set(NAMED_PLACE.findall(prose))


def dead_links(page: Path, root: Path) -> list[str]:
    """Each relative link of a page that leads to no file, to no heading, or out of the project."""
    dead = []
    for link in links(page.read_text(encoding="utf-8")):
        if ELSEWHERE.match(link):
            continue
        path, _, fragment = unquote(link).partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or not aim.is_relative_to(root):
            dead.append(f"{page.relative_to(root)}: {link}: no such file in the project")
        elif fragment and aim.suffix == ".md" and fragment not in anchors(aim.read_text(encoding="utf-8")):
            dead.append(f"{page.relative_to(root)}: {link}: {aim.name} has no such heading")
    return dead


def unnamed(names: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Those names that no code span of the texts begins with, as a whole word."""
    spans = {" ".join(span.split()) for text in texts for _, span in SPAN.findall(BLOCK.sub("", text))}
    heads = {re.split(r"(?![\w.-])", span, maxsplit=1)[0] for span in spans}
    return sorted(name for name in set(names) if name not in spans | heads)


def options() -> Iterator[str]:
    for entry in CATALOG.values():
        yield from (option.name for option in attrs.fields(entry.options))


def fact_classes() -> Iterator[str]:
    for name, value in vars(facts).items():
        if attrs.has(value) and value.__module__ == facts.__name__:
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert dead_links(page, ROOT) == []


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(CATALOG.keys, id="stages"),
        pytest.param(options, id="options of the stages"),
        pytest.param(lambda: [kind.value for kind in Kind], id="kinds of problem"),
        pytest.param(fact_classes, id="facts"),
        pytest.param(CODECS.keys, id="kinds of provider"),
        pytest.param(ENVIRONMENT.keys, id="environment variables"),
    ],
)
def test_the_docs_name_all_there_is(names: Callable[[], Iterable[str]]):
    given = list(names())
    assert given
    assert unnamed(given, (page.read_text(encoding="utf-8") for page in DOCS)) == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        pytest.param("[a](other.md)", False, id="a file beside it"),
        pytest.param("[a](other.md 'with a title')", False, id="a title"),
        pytest.param("[a](<other.md>)", False, id="angle brackets"),
        pytest.param("[a](other.md#the-second-part-of-2)", False, id="a heading elsewhere"),
        pytest.param("[a](other.md#twice-1)", False, id="the second heading of one name"),
        pytest.param("[a](other.md#set-by-hand)", False, id="an id set by hand"),
        pytest.param("[a](#here)", False, id="a heading of the page"),
        pytest.param("[a](https://example.org/none.md)", False, id="elsewhere on the network"),
        pytest.param("`[a](none.md)`", False, id="in a code span"),
        pytest.param("```\n[a](none.md)\n```", False, id="in a code block"),
        pytest.param("[a](none.md)", True, id="no such file"),
        pytest.param("![a](none.svg)", True, id="no such picture"),
        pytest.param("[![a](none.svg)](other.md)", True, id="no such picture inside a link"),
        pytest.param("[a](none(1).md)", True, id="no such file, with brackets in its name"),
        pytest.param("[a]\n\n[a]: none.md", True, id="no such file by reference"),
        pytest.param('<img src="none.svg">', True, id="no such file in HTML"),
        pytest.param("[a](other.md#none)", True, id="no such heading elsewhere"),
        pytest.param("[a](other.md#not-a-heading)", True, id="a comment in a code block is no heading"),
        pytest.param("[a](#none)", True, id="no such heading on the page"),
        pytest.param("[a](../outside.md)", True, id="out of the project"),
    ],
)
def test_a_dead_link_is_seen(tmp_path, link, dead):
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "outside.md").write_text("outside")
    (root / "other.md").write_text(
        "# The `second` part, of 2!\n## Twice\n## Twice\n<a id='set-by-hand'></a>\n"
        "```\n# Not a heading\n```\n"
    )
    page = root / "page.md"
    page.write_text(f"# Here\n\n{link}\n")
    assert len(dead_links(page, root)) == int(dead)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        pytest.param("the `queue_full` kind", [], id="as code"),
        pytest.param("set `queue_full = 3`", [], id="with more behind it"),
        pytest.param("``queue_full``", [], id="in two ticks"),
        pytest.param("queue_full", ["queue_full"], id="as a plain word only"),
        pytest.param("`queue_fuller`", ["queue_full"], id="as the start of another word"),
        pytest.param("`no queue_full`", ["queue_full"], id="inside other code"),
        pytest.param("```\n`queue_full`\n```", ["queue_full"], id="in a code block only"),
        pytest.param("```\nx\n```\n`queue_full`\n```\nx\n```", [], id="between two code blocks"),
    ],
)
def test_a_name_left_out_is_seen(text, missing):
    assert unnamed(["queue_full"], [text]) == missing
