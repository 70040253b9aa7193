"""The description of all routes in OpenAPI 3.1, `data/openapi.json`: kept by hand, read once, when the program starts."""

from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "data" / "openapi.json"
DOCUMENT = FILE.read_bytes()
