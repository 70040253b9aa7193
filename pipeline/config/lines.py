"""Where each key of a TOML document stands.

tomllib gives values without places, so the text is read a second time for places alone. The document is known to be
valid TOML by then, which keeps this reading short.
"""

import re
import tomllib

from pipeline.config.faults import Path

_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_SPACE_AND_COMMAS = re.compile(r"(?:[\s,]|#[^\n]*)*")
_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_SCALAR = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'"
    r"|[^,\]}\n#]+",
    re.DOTALL,
)


def locate(text: str) -> dict[Path, int]:
    """The line, counted from 1, of each table header, key and list element of a valid TOML document."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    """One walk over the text; `at` is the place reached."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.last: dict[Path, int] = {}  # of each [[list of tables]] the index of its newest table

    def document(self) -> None:
        table: Path = ()
        while self.skip(_SPACE):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Pass over what `pattern` matches here; whether any text is left."""
        if match := pattern.match(self.text, self.at):
            self.at = match.end()
        return self.at < len(self.text)

    def here(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def header(self) -> Path:
        line, many = self.here(), self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        self.skip(_SPACE)
        *above, name = self.key()
        path = (*self.resolved(tuple(above)), name)
        if many:
            self.last[path] = self.last.get(path, -1) + 1
        path = self.resolved((*above, name))
        self.lines[path] = line
        self.skip(_SPACE)
        self.at += 2 if many else 1
        return path

    def resolved(self, key: Path) -> Path:
        """A header's key as a path: a name that is a list of tables stands for its newest table."""
        path: Path = ()
        for name in key:
            path = (*path, name)
            if path in self.last:
                path = (*path, self.last[path])
        return path

    def key(self) -> Path:
        names = []
        while match := _KEY.match(self.text, self.at):
            names.append(_unquoted(match[0]))
            self.at = match.end()
            if not (dot := _DOT.match(self.text, self.at)):
                break
            self.at = dot.end()
        return tuple(names)

    def pair(self, table: Path) -> None:
        line, key = self.here(), self.key()
        for length in range(1, len(key) + 1):
            self.lines.setdefault((*table, *key[:length]), line)
        self.skip(_SPACE)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value((*table, *key))

    def value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening not in "[{":
            self.skip(_SCALAR)
            return
        self.at += 1
        index = 0
        while self.skip(_SPACE_AND_COMMAS) and self.text[self.at] not in "]}":
            if opening == "{":
                self.pair(path)
            else:
                self.lines[(*path, index)] = self.here()
                self.value((*path, index))
                index += 1
        self.at += 1


def _unquoted(key: str) -> str:
    return str(tomllib.loads(f"key = {key}")["key"]) if key[0] in "\"'" else key
