"""check, models, explain: what is in force, and what would be done."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
import orjson
import trio

from adapters import listing
from adapters.explanations import explanation_text, refusal_words
from commands.assembly import assembled
from commands.options import configured
from commands.serving import notices_of
from pipeline.config import Config, effective
from pipeline.values.callers import ANYBODY
from pipeline.values.http import Headers
from pipeline.values.messages import ChatRequest, EmbedRequest, Message, Request, Role, Text, Thinking, Tool
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Price
from stages.strategies import STRATEGIES


@click.command("check")
@configured
def check(config: Config) -> None:
    """Check the configuration and print what is in force, and where it came from."""
    for path, value in flat(effective(config)):
        origin = config.origins_of.get(path, "default")
        click.echo(f"{path} = {orjson.dumps(value).decode()}  # {origin}")
    for notice in config.notices + notices_of(config):
        click.echo(f"note: {notice}", err=True)


def flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a nested dict with its dotted path."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


@click.command("models")
@configured
def models(config: Config) -> None:
    """List the models that would be served: context, price per million tokens in and out, abilities, targets."""
    for model in trio.run(found_models, config):
        targets = ", ".join(target.name for target in model.targets)
        length = model.facts.context_length
        context = f"{length:,}" if length else "?"
        can = ", ".join(model.capabilities)
        click.echo(f"{model.name:40} {context:>10} {price_of(model.facts.price):>18}  {can:30} {targets}")


def price_of(price: Price | None) -> str:
    """What a million tokens cost, in and out."""
    known = (price or Price()).input, (price or Price()).output
    return " / ".join("?" if cost is None else f"${cost:g}" for cost in known)


@click.command("explain")
@click.argument("model")
@click.option("--provider", help="Only this provider, or several with commas.")
@click.option("--embed", is_flag=True, help="As if it were asked for an embedding.")
@click.option("--tools", is_flag=True, help="As if the request offered tools.")
@click.option("--thinking", is_flag=True, help="As if the request asked for thinking.")
@click.option("--strategy", type=click.Choice(sorted(STRATEGIES)), help="As if the client wished for it.")
@configured
def explain_command(
    config: Config,
    model: str,
    provider: str | None,
    embed: bool,
    tools: bool,
    thinking: bool,
    strategy: str | None,
) -> None:
    """Show who would be asked for MODEL, in what order, and who would not, and why. No model is called."""
    wished = {
        "x-provider": None if provider is None else f"{provider}; only",
        "x-routing-strategy": strategy,
    }
    request = EmbedRequest(model, ("Hello",)) if embed else greeting(model, tools, thinking)
    told = trio.run(explained, config, request, {name: text for name, text in wished.items() if text})
    if isinstance(told, Problem):
        raise click.ClickException(refusal_of(told, model))
    click.echo(explanation_text(told))


def greeting(model: str, tools: bool, thinking: bool) -> ChatRequest:
    """What a model is thought to be asked."""
    return ChatRequest(
        model,
        (Message(Role.USER, (Text("Hello"),)),),
        tools=(Tool("example"),) if tools else (),
        thinking=Thinking(on=True) if thinking else None,
    )


def refusal_of(problem: Problem, model: str) -> str:
    """Why nobody would be asked for `model`, in the words of this command line."""
    if problem.subject == "X-Provider":
        return problem.detail.replace("X-Provider", "--provider")
    words = refusal_words(problem, model)
    lacks_talk = problem.kind is Kind.UNSUPPORTED and problem.subject == "completion"
    return f"{words}; for an embedding, add --embed" if lacks_talk else words


async def explained(config: Config, request: Request, headers: Headers) -> dict[str, Any] | Problem:
    """What would become of `request`, as things are just after the start."""
    house = assembled(config)
    async with house.living():
        return await house.now.house.explain(request, headers, ANYBODY)


async def found_models(config: Config) -> tuple[listing.Model, ...]:
    """The models of all providers, asked now."""
    house = assembled(config)
    async with house.living():
        return listing.models(house.now.house.catalogue())
