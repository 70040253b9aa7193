"""The catalogue of models that comes with the program: read once, when it starts.

`data/models.json` is made by `scripts/make_models.py` and holds, by provider kind and name, what public catalogues know.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from pipeline.known import Knowledge
from pipeline.names import canonical
from pipeline.values.targets import ModelFacts, Price

FILE = Path(__file__).resolve().parent.parent / "data" / "models.json"

# Vendors all of whose chat models take tools, and how these are named.
TOOL_KINDS = frozenset({"openai", "azure", "anthropic", "google"})
CHAT_NAME = re.compile(r"(?:models/)?(?:chat)?(?:gpt-\d|o\d|claude|gemini)", re.IGNORECASE)
# What runs on an own machine is another build of a model, and who asks for it there wants it there.
AT_HOME = frozenset({"ollama"})
# Where a model has tags, and one without is `latest`.
TAGGED = frozenset({"ollama"})
# Where an account's names are made by its owner, the vendor's are no more than a guess.
NAMED_BY_OWNER = frozenset({"azure"})
# How dear their models are as a rule, for those whose price nobody tells.
CHEAPEST_FIRST = ("ollama", "openrouter", "google", "anthropic", "openai", "azure", "aws_bedrock")


def read_catalogue(file: Path = FILE) -> Mapping[str, Mapping[str, ModelFacts]]:
    """The facts of models by provider kind and compared name."""
    document = orjson.loads(file.read_bytes())
    return {
        kind: {canonical(name): facts_of(name, entry) for name, entry in named.items()}
        for kind, named in document["models"].items()
    }


def facts_of(name: str, entry: Mapping[str, Any]) -> ModelFacts:
    """One entry of the file."""
    can, price, released = entry.get("can"), entry.get("price"), entry.get("released")
    return ModelFacts(
        name,
        capabilities=None if can is None else frozenset(can),
        context_length=entry.get("context"),
        embedding_length=entry.get("dimensions"),
        family=entry.get("family"),
        modified_at=None if released is None else f"{released}T00:00:00Z",
        output_limit=entry.get("output"),
        price=None if price is None else Price(*price),
        structured_output=entry.get("schema"),
    )


def knowledge(equivalence: bool = True, file: Path = FILE) -> Knowledge:
    """The catalogue as routing uses it. `equivalence`: whether a model is the same under its other names."""
    models = read_catalogue(file)
    shared = frozenset(models) - AT_HOME if equivalence else frozenset[str]()
    return Knowledge(models, shared, shared - NAMED_BY_OWNER, TAGGED, CHEAPEST_FIRST, AT_HOME)


def takes_tools(kind: str, model: str) -> bool:
    """Whether a model is sure to take tools although nothing is known of it but its vendor and name."""
    return kind in TOOL_KINDS and CHAT_NAME.match(model) is not None
