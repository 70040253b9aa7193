"""Writes docs/fidelity.md from what the codecs do: `python scripts/write_fidelity.py`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from adapters.providers import CODECS  # noqa: E402 - found by the line above
from adapters.providers.fidelity import page  # noqa: E402

if __name__ == "__main__":
    (ROOT / "docs" / "fidelity.md").write_text(page(CODECS), encoding="utf-8")
