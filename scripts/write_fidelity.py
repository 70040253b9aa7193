"""Writes docs/fidelity.md from what the codecs do: `python -m scripts.write_fidelity`, from the root of the project."""

from pathlib import Path

from adapters.providers import CODECS
from adapters.providers.fidelity import page

FILE = Path(__file__).resolve().parent.parent / "docs" / "fidelity.md"

if __name__ == "__main__":
    FILE.write_text(page(CODECS), encoding="utf-8")
