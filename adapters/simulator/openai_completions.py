"""OpenAI's older `/completions`: a prompt to go on with, and perhaps the text behind the gap."""

from collections.abc import Iterator
from typing import Any

from adapters.simulator.openai_rules import Body
from adapters.simulator.openai_sheet import DONE, Sheet, answered, frame, sheet_for
from adapters.simulator.played import Chunk, Played
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Script, text_of
from pipeline.values.events import TextDelta
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts


def complete(body: Body, facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """What is answered to a request that is in order."""
    prompt = body.get("prompt") or ""
    text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    ask = Ask(text=text, suffix=body.get("suffix"), max_tokens=body.get("max_tokens"))
    script = scenario.act(ask)
    sheet = sheet_for("cmpl", body, request, scenario)
    return answered(script, sheet, _frames(script, sheet), _document(script, sheet))


def _frames(script: Script, sheet: Sheet) -> Iterator[Chunk]:
    texts = [delta.text for delta in script.said if isinstance(delta, TextDelta)]
    head = {"id": sheet.id, "object": "text_completion", "created": sheet.created}
    usage = {"usage": None} if sheet.counts else {}
    whole_answer = script.breaks_after is None
    for place, text in enumerate(texts):
        finish = script.finish if whole_answer and place == len(texts) - 1 else None
        for choice in sheet.choices:
            choices = [{"text": text, "index": choice, "logprobs": None, "finish_reason": finish}]
            yield float(choice == 0), frame({**head, "choices": choices, "model": sheet.model, **usage})
    if not whole_answer:
        return
    if sheet.counts:
        yield 0.0, frame({**head, "model": sheet.model, "usage": _usage(script), "choices": []})
    yield 0.0, DONE


def _document(script: Script, sheet: Sheet) -> dict[str, Any]:
    choice = {"text": text_of(script.deltas), "logprobs": None, "finish_reason": script.finish}
    return {
        "id": sheet.id,
        "object": "text_completion",
        "created": sheet.created,
        "model": sheet.model,
        "choices": [{**choice, "index": index} for index in sheet.choices],
        "usage": _usage(script),
    }


def _usage(script: Script) -> dict[str, int]:
    prompt, completion = script.tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
