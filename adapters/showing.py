"""What `/api/show` tells of a model: what its own server says, where that is an Ollama, else what the house knows.

Of a model at home the server knows the template, the parameters and the licence, which nobody else does. It is given a
moment to say so; the house can always answer alone.
"""

from collections.abc import Mapping
from typing import Any

import orjson
import trio

from adapters.dialects.body import nests_too_deep
from adapters.edge import forwarded
from adapters.house import House
from adapters.listing import Model, show_answer
from adapters.providers.http import post
from pipeline.names import rule_of
from pipeline.values.http import Headers
from pipeline.values.problems import Problem
from pipeline.values.targets import ModelRule, Target

PATIENCE_S = 2.0
MOST_BYTES = 16 * 1024 * 1024
PASSED_ON = ("verbose", "system", "options")
# This client shows the base name to its user, who should see the name he knows.
SHOWS_BASENAME = "GitHubCopilotChat/"


async def shown(
    house: House, model: Model, asked: str, body: Mapping[str, Any], headers: Headers
) -> Mapping[str, Any] | None:
    """The answer for `model`, called `asked`; None where the only server that could have it has it not."""
    basename = asked if headers.get("user-agent", "").startswith(SHOWS_BASENAME) else None
    own = show_answer(model, asked, basename)
    target = model.targets[0]
    if (
        target.provider.kind != "ollama"
        or house.env.snapshot().provider(target.provider.name).healthy is False
    ):
        return own
    told = None
    with trio.move_on_after(PATIENCE_S):
        told = await _told(house, target, body, headers)
    if told is None:
        return own
    status, answer = told
    if status == 404 and len(model.targets) == 1:
        return None
    if status != 200 or not _is_whole(answer):
        return own
    rules = house.env.models
    rule = rule_of(asked, rules) or rule_of(target.name, rules) or rule_of(target.model, rules)
    return completed(answer, model, basename, rule or ModelRule())


async def _told(
    house: House, target: Target, body: Mapping[str, Any], headers: Headers
) -> tuple[int, Any] | None:
    """Status and document of the server's own answer."""
    env, provider = house.env, target.provider
    handed_on = forwarded(headers, house.instance)
    if isinstance(handed_on, Problem):
        return None
    asked = {"model": target.model, **{name: body[name] for name in PASSED_ON if name in body}}
    request = post(provider, "/api/show", asked).with_headers(handed_on)
    signed = env.codecs[provider.kind].sign(request, provider.secret, env.epoch())
    async with env.transports[provider.name].open(signed) as reply:
        if isinstance(reply, Problem):
            return None
        data = bytearray()
        while part := await reply.read():
            if isinstance(part, Problem) or len(data) > MOST_BYTES:
                return None
            data += part
    try:
        return reply.head.status, orjson.loads(data)
    except orjson.JSONDecodeError:
        return reply.head.status, None


def _is_whole(answer: Any) -> bool:
    """Whether it has what clients cannot do without, and can be told on."""
    return (
        isinstance(answer, dict)
        and all(isinstance(answer.get(key), dict) for key in ("model_info", "details"))
        and not nests_too_deep(answer)
    )


def completed(
    told: Mapping[str, Any], model: Model, basename: str | None, rule: ModelRule
) -> Mapping[str, Any]:
    """What the server told, with what it left out, and under what `[models.NAME]` states."""
    info = dict(told["model_info"])
    family = info.setdefault("general.architecture", model.family)
    if basename is not None:
        info["general.basename"] = basename
    if rule.context_length is not None:
        info[f"{family}.context_length"] = rule.context_length
    answer = {**told, "model_info": info}
    if rule.capabilities is not None or not isinstance(told.get("capabilities"), list):
        answer["capabilities"] = model.capabilities
    return answer
