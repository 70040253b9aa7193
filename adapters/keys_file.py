"""The file of keys, and the ring that is read from it and kept fresh.

The command line writes the file, an operator may edit it by hand, and each process of the house looks at it twice a second.
It is replaced as a whole under a lock, so nobody reads half of it. It holds no key: only what is left of one when the pepper,
which lies in a file of its own, was stirred in.
"""

import fcntl
import logging
import os
import secrets
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import tomli_w
import trio
from attrs import define, evolve, field, frozen
from attrs.validators import ge, optional

from pipeline.config import ConfigError, Fault
from pipeline.config.faults import dotted, meant
from pipeline.config.lines import locate
from pipeline.config.strict import Mismatch, structured
from pipeline.keys import (
    DIGEST,
    ID,
    ID_BYTES,
    SECRET_BYTES,
    Key,
    Ring,
    allowance,
    allowance_text,
    digest_of,
    id_of,
    key_text,
    moment,
    moment_text,
    recognise,
    ring_of,
)
from pipeline.values.callers import EVERY_SCOPE, Caller, CallerLimits, Priority, Scope
from pipeline.values.secrets import Secret

log = logging.getLogger("ollama_proxy.keys")

POLL_S = 0.5
# Who writes it by hand may do so in several steps, and half a file may say that a revoked key is good. So it is read when
# it has been still for so long; but not waited for any longer than so many times, as there may be a key to refuse.
STILL_S, STILL_LOOKS = 0.1, 2
PRIVATE = 0o600
PEPPER_BYTES = 32
SHORTEST_PEPPER = 16
HEADER = """\
# Keys of the clients of Ollama Proxy; `python app.py keys` reads and writes this file, and keeps no comments.
# No key stands here: each was shown once, when it was made. A change takes effect within a second.

"""


def _moment(instance: object, attribute: object, value: str | None) -> None:
    if value is not None:
        moment(value)


def _budget(instance: object, attribute: object, value: str | None) -> None:
    if value is not None:
        allowance(value)


def _digest(instance: object, attribute: object, value: str) -> None:
    if value and not DIGEST.fullmatch(value):
        raise ValueError("must be 64 digits from 0 to f, as `keys create` writes them")


def _scopes(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError('must name "client", "admin" or both')


def _patterns(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    if not all(text.strip() for text in value):
        raise ValueError("must be names, or patterns such as gpt-4o*")


@frozen
class KeyTable:
    """`[keys.ID]`, as it is written. `rpm` and `tpm`: requests and tokens a minute; moments as `moment` reads them."""

    hmac: str = field(validator=_digest)
    name: str = ""
    models: tuple[str, ...] = field(default=(), validator=_patterns)
    providers: tuple[str, ...] = field(default=(), validator=_patterns)
    rpm: int | None = field(default=None, validator=optional(ge(1)))
    tpm: int | None = field(default=None, validator=optional(ge(1)))
    max_concurrent: int | None = field(default=None, validator=optional(ge(1)))
    budget: str | None = field(default=None, validator=_budget)
    priority: Literal["critical", "high", "normal", "low"] = "normal"
    scopes: tuple[Scope, ...] = field(default=("client",), validator=_scopes)
    created: str = field(default="1970-01-01T00:00:00Z", validator=_moment)
    expires: str | None = field(default=None, validator=_moment)
    revoked: str | None = field(default=None, validator=_moment)
    first: bool = False
    previous_hmac: str = field(default="", validator=_digest)
    previous_until: str | None = field(default=None, validator=_moment)


def key_of(id: str, table: KeyTable) -> Key:
    """The key that a table describes."""
    return Key(
        id=id,
        digest=table.hmac,
        name=table.name,
        models=table.models,
        providers=frozenset(name.lower() for name in table.providers),
        scopes=frozenset(table.scopes),
        highest=Priority(table.priority),
        limits=CallerLimits(
            table.rpm, table.tpm, table.max_concurrent, allowance(table.budget) if table.budget else None
        ),
        created=moment(table.created),
        expires=moment(table.expires) if table.expires else None,
        revoked=moment(table.revoked) if table.revoked else None,
        first=table.first,
        previous=table.previous_hmac,
        previous_until=moment(table.previous_until) if table.previous_until else 0.0,
    )


def table_of(key: Key) -> dict[str, Any]:
    """The table that describes a key; what says nothing is left out."""
    limits = key.limits
    told = {
        "name": key.name,
        "hmac": key.digest,
        "models": list(key.models),
        "providers": sorted(key.providers),
        "rpm": limits.requests,
        "tpm": limits.tokens,
        "max_concurrent": limits.concurrent,
        "budget": allowance_text(limits.budget) if limits.budget else None,
        "priority": key.highest.value,
        "scopes": sorted(key.scopes),
        "created": moment_text(key.created),
        "expires": None if key.expires is None else moment_text(key.expires),
        "revoked": None if key.revoked is None else moment_text(key.revoked),
        "first": key.first or None,
        "previous_hmac": key.previous,
        "previous_until": moment_text(key.previous_until) if key.previous else None,
    }
    return {name: value for name, value in told.items() if value not in (None, "", [])}


def written(ring: Ring) -> str:
    """The text of the file."""
    return HEADER + tomli_w.dumps({"keys": {id: table_of(key) for id, key in ring.keys.items()}})


def read_keys(text: str, name: str) -> Ring:
    """The ring that a file's text describes. Raises ConfigError with all that is wrong; `name`: what faults call it."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ConfigError([Fault(name, "", f"not valid TOML: {problem}")]) from None
    lines = locate(text)
    faults: list[Fault] = []

    def fault(path: tuple[str | int, ...], words: str) -> None:
        near = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in lines), None)
        faults.append(Fault(f"{name}:{lines[near]}" if near else name, dotted(path), words))

    for other in document.keys() - {"keys"}:
        fault((other,), f"unknown key{meant(other, ['keys'])}")
    tables = document.get("keys", {})
    if not isinstance(tables, Mapping):
        fault(("keys",), "must be a table: [keys.ID]")
        tables = {}
    found: list[Key] = []
    for id, raw in tables.items():
        if not ID.fullmatch(id):
            fault(("keys", id), "must be the id of a key, 8 letters a to z and digits 2 to 7")
        for empty in _empty_lists(raw):
            fault(("keys", id, empty), "must name one at least; leave it out to allow all")
        try:
            found.append(key_of(id, structured(_dates_as_text(raw), KeyTable)))
        except Mismatch as mismatch:
            for below, words in mismatch.found:
                fault(("keys", id, *below), words)
    if faults:
        raise ConfigError(faults)
    return ring_of(found)


def _empty_lists(raw: Any) -> list[str]:
    """The lists in which nothing is left: whoever took the last one out did not mean to allow all."""
    return [name for name in ("models", "providers") if isinstance(raw, Mapping) and raw.get(name) == []]


def _dates_as_text(raw: Any) -> Any:
    """A table whose dates may stand without quotes, as TOML has them."""
    if not isinstance(raw, Mapping):
        return raw
    return {
        name: value.isoformat() if isinstance(value, datetime | date) else value
        for name, value in raw.items()
    }


Stamp = tuple[int, ...]


def stamp_of(path: Path) -> Stamp | None:
    """What changes when a file does; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    # Its rights and its owner may be what is mended.
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)


@frozen
class KeyFile:
    """Where keys are kept. `given`: the pepper, where the environment or the configuration gives it."""

    path: Path
    given: Secret = Secret()

    @property
    def pepper_path(self) -> Path:
        """The file of the pepper, beside that of the keys."""
        return self.path.with_suffix(".pepper")

    def read(self) -> Ring:
        """The keys there are. Raises ConfigError."""
        try:
            text = self.path.read_text("utf-8-sig")
        except FileNotFoundError:
            if self.path.is_symlink():
                # Somebody has put keys elsewhere, and that place is not there: no reason to open the house.
                words = f"is a link to {os.readlink(self.path)}, which is not there"
                raise ConfigError([Fault(str(self.path), "", words)]) from None
            return Ring()
        except OSError as problem:
            raise ConfigError([Fault(str(self.path), "", f"cannot be read: {problem.strerror}")]) from None
        except UnicodeDecodeError:
            raise ConfigError([Fault(str(self.path), "", "must be UTF-8 text")]) from None
        return read_keys(text, self.path.name)

    def pepper(self) -> bytes:
        """What keys are stirred with. Raises ConfigError where it is missing or too short to be one."""
        text = self.given.value
        where = "keys.pepper" if text else str(self.pepper_path)
        if not text:
            try:
                text = self.pepper_path.read_text("ascii").strip()
            except (OSError, UnicodeDecodeError) as problem:
                why = getattr(problem, "strerror", None) or "it is not ASCII"
                words = f"cannot be read ({why}), and without it no key can be recognised: put it back"
                raise ConfigError([Fault(where, "", words)]) from None
        if len(text) < SHORTEST_PEPPER:
            raise ConfigError([Fault(where, "", f"must have {SHORTEST_PEPPER} characters at least")])
        return text.encode()

    @contextmanager
    def changing(self) -> Iterator[dict[str, Key]]:
        """All keys by their ids, to be changed within the block; the file holds what is there at its end.

        Nobody else changes them meanwhile. Raises ConfigError where the file cannot be read or used.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError as problem:
            raise ConfigError([Fault(str(self.path), "", f"cannot be written: {problem.strerror}")]) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.read()
            if before.keys:
                self.pepper()  # with a new one, all keys there are would be lost
            keys = dict(before.keys)
            yield keys
            if keys != before.keys:
                self._write(ring_of(keys.values()))
        finally:
            os.close(lock)

    def stirred(self, key: str) -> str:
        """What is kept of a key; the pepper is made where there is none. Only for who is changing the file."""
        if not self.given and not self.pepper_path.exists():
            replace(self.pepper_path, f"{secrets.token_hex(PEPPER_BYTES)}\n")
        return digest_of(key.encode(), self.pepper())

    def _write(self, ring: Ring) -> None:
        replace(self.path, written(ring))


def replace(path: Path, text: str) -> None:
    """Put `text` in the place of a file at once; it is the owner's alone. Raises ConfigError."""
    path = path.resolve()
    try:
        status = path.stat() if path.exists() else path.parent.stat()
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            # Whoever made it as root: the house, which may be somebody else, has to read it.
            with suppress(OSError):
                os.chown(new, status.st_uid, status.st_gid)
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as problem:
        raise ConfigError([Fault(str(path), "", f"cannot be written: {problem.strerror}")]) from None


def new_key(file: KeyFile, keys: dict[str, Key], like: Key) -> str:
    """Put a new key, in all else as `like`, among those that are being changed; the key itself, to be shown once."""
    while True:
        text = key_text(secrets.token_bytes(ID_BYTES), secrets.token_bytes(SECRET_BYTES))
        if id_of(text) not in keys:
            break
    keys[id_of(text)] = evolve(like, id=id_of(text), digest=file.stirred(text))
    return text


def new_secret(file: KeyFile, key: Key, epoch: float, grace_s: float) -> tuple[Key, str]:
    """The key with another secret, and the key to be shown once."""
    text = key_text(secrets.token_bytes(ID_BYTES), secrets.token_bytes(SECRET_BYTES))
    text = text.replace(id_of(text), key.id, 1)
    return key.replaced(file.stirred(text), epoch, grace_s), text


def first_key(file: KeyFile, epoch: float) -> str | None:
    """The key of a house that has none yet, made by whoever comes first; None where there are keys. Raises ConfigError."""
    with file.changing() as keys:
        if keys:
            return None
        like = Key("", "", "first", scopes=EVERY_SCOPE, highest=Priority.CRITICAL, created=epoch, first=True)
        return new_key(file, keys, like)


@define(eq=False)
class Keyring:
    """The keys as they are in force now: one reference, changed when the file changes, and only if it can be used.

    `made`: an operator has made keys, so nobody comes in without one. It stays so while the house runs, whatever becomes of
    the file: what was closed is not opened by a file that was lost.
    """

    file: KeyFile
    epoch: Callable[[], float] = time.time
    poll_s: float = POLL_S
    ring: Ring = field(factory=Ring, init=False)
    made: bool = field(default=False, init=False)
    faults: tuple[Fault, ...] = field(default=(), init=False)
    _pepper: bytes = field(default=b"", init=False, repr=False)
    _stamps: tuple[Stamp | None, Stamp | None] = field(default=(None, None), init=False)

    def load(self) -> None:
        """Read the file as it is. Raises ConfigError, and then nothing has changed."""
        self._stamps = self._seen()
        ring = self.file.read()
        pepper = self.file.pepper() if ring.keys else b""
        if self.ring.keys and not ring.keys and not (self._stamps[0] or (0, 0))[1]:
            words = "is gone or empty; the keys that were read from it stay in force until the next start"
            raise ConfigError([Fault(str(self.file.path), "", words)])
        self.ring, self._pepper = ring, pepper
        self.made = self.made or ring.made

    def refresh(self) -> None:
        """Read the file again; one that cannot be used changes nothing, and what is wrong with it is told once."""
        try:
            self.load()
        except ConfigError as error:
            if error.faults != self.faults:
                for fault in error.faults:
                    log.error("the keys stay as they were: %s", fault)
            self.faults = error.faults
            return
        except Exception as error:
            # Whatever stands in the file: who writes it does not end the house.
            log.exception("the keys stay as they were: the file of keys could not be read")
            words = f"cannot be used: {type(error).__name__}"
            self.faults = (Fault(str(self.file.path), "", words),)
            return
        self.faults = ()
        now = self.epoch()
        good = sum(key.state(now) == "active" for key in self.ring.keys.values())
        log.info("the file of keys was read: %d are good, of %d", good, len(self.ring.keys))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the ring as the file is, until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(self.poll_s)
            if (seen := self._seen()) != self._stamps:
                await self._still(seen)
                await trio.to_thread.run_sync(self.refresh)

    async def _still(self, seen: tuple[Stamp | None, Stamp | None]) -> None:
        """Wait until nobody writes any more, if he is quick."""
        for _ in range(STILL_LOOKS):
            await trio.sleep(STILL_S)
            before, seen = seen, self._seen()
            if seen == before:
                return

    def recognised(self, presented: bytes) -> Caller | None:
        """Who shows this key; None where it is not good."""
        return recognise(self.ring, presented, self._pepper, self.epoch())

    def _seen(self) -> tuple[Stamp | None, Stamp | None]:
        return stamp_of(self.file.path), stamp_of(self.file.pepper_path)


def loaded(file: KeyFile, epoch: Callable[[], float] = time.time) -> Keyring:
    """The ring of a house that starts. Raises ConfigError with all that is wrong with the file."""
    ring = Keyring(file, epoch)
    ring.load()
    return ring
