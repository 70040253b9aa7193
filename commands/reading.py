"""Reading the configuration, with the stages there are: the house's own, and those of an operator."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from adapters.providers import CODECS
from pipeline.config import Config, ConfigError, Fault, load
from pipeline.config.resolve import unnoticed
from pipeline.wiring import Catalog, Entry
from stages import CATALOG


class OpenCatalog(Mapping[str, Entry]):
    """The house's own stages, and those that an operator names as `package.module:ENTRY`."""

    def __init__(self, own: Catalog) -> None:
        self._entries = dict(own)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries and ":" in name:
            self._entries[name] = _imported(name)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _imported(name: str) -> Entry:
    """The entry that `package.module:NAME` names. Raises ConfigError: what an operator writes may fail in any way."""
    module, _, attribute = name.partition(":")
    try:
        entry = getattr(import_module(module), attribute)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            [Fault("proxy.toml", "pipeline.stages", f'"{name}" cannot be imported: {reason}')]
        ) from error
    if not isinstance(entry, Entry):
        text = f'"{name}" is no pipeline.wiring.Entry but of type {type(entry).__name__}'
        raise ConfigError([Fault("proxy.toml", "pipeline.stages", text)])
    return entry


def read_config(
    path: str | None, overrides: Mapping[str, Any], touch: Callable[[Path], None] = unnoticed
) -> Config:
    """The configuration of this process, as it is written now; `touch` is told of its files.

    Raises ConfigError with all faults.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # an operator's own stages stand beside proxy.toml
    return load(path, os.environ, overrides, catalog=OpenCatalog(CATALOG), kinds=CODECS, touch=touch)
