"""Who may come in: the ring of keys and the door of a house, from its configuration; and the key of its first start."""

import os
import time
from pathlib import Path
from typing import Any

from adapters.asgi import App
from adapters.dialects import dialect_at
from adapters.door import Door, with_door
from adapters.guard import is_loopback
from adapters.keys_file import KeyFile, Keyring, first_key, loaded
from pipeline.config import Config

OPEN_NOTICE = (
    "other machines may call without a key (keys.open_network), so whoever reaches this address can spend your "
    "providers' keys; keep it behind a firewall, or make keys: python app.py keys create --name NAME"
)


def key_file(config: Config) -> KeyFile:
    """Where the keys of clients are."""
    named = config.keys.file
    path = Path(named).expanduser() if named else Path(config.server.data_dir) / "keys.toml"
    return KeyFile(path, config.keys.pepper)


def keyring_of(config: Config) -> Keyring:
    """The keys that are in force at the start. Raises ConfigError."""
    return loaded(key_file(config))


def behind_door(app: App, config: Config, keyring: Keyring) -> App:
    """`app`, which only those reach who may."""
    return with_door(app, Door(keyring, dialect_at, config.keys.open_network))


def first_key_of(config: Config) -> str | None:
    """The key of a house that other machines can reach and that has none yet: to be shown once. None where none is made.

    Raises ConfigError where the file of keys cannot be used; one that cannot be written leaves a house that opens to its own
    machine alone.
    """
    if is_loopback(config.server.host) or config.keys.open_network:
        return None
    file = key_file(config)
    if file.read().keys or not _writable(file.path):
        return None
    return first_key(file, time.time())


def _writable(path: Path) -> bool:
    """Whether a file could be made there."""
    folder = next((parent for parent in path.absolute().parents if parent.exists()), path)
    return folder.is_dir() and os.access(folder, os.W_OK)


def keys_row(config: Config, keyring: Keyring) -> str:
    """A line about who needs a key."""
    count = sum(key.state(keyring.epoch()) == "active" for key in keyring.ring.keys.values())
    if keyring.made:
        return f"{count}; every client needs one"
    if config.keys.open_network:
        return "none, and none is needed"
    if count:
        return "1, made at the first start; other machines need it, programs on this one do not"
    reached = "" if is_loopback(config.server.host) else ", so no other machine may call"
    return f"none; programs on this machine need none{reached}"


def first_key_lines(key: str) -> str:
    """What is told of a key that was just made, once."""
    return (
        f"The first key of this gateway, shown this once: {key}\n"
        "  Clients on other machines send it as their API key (Authorization: Bearer KEY); it may do everything.\n"
        "  Make keys of your own with `python app.py keys create --name NAME`, then revoke it: "
        "`python app.py keys revoke first`."
    )


def told(keyring: Keyring) -> dict[str, Any]:
    """How the file of keys is, for those who look after the house."""
    now = keyring.epoch()
    states = [key.state(now) for key in keyring.ring.keys.values()]
    return {
        "file": str(keyring.file.path),
        "needed": "always" if keyring.made else "from elsewhere",
        **{state: states.count(state) for state in ("active", "expired", "revoked")},
        "problems": [str(fault) for fault in keyring.faults],
    }
