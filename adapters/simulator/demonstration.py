"""The answers of the embedded provider: plainly a demonstration, and a hint what to set to get a real one."""

import hashlib
import json
import math
import re

from adapters.simulator.sample import sample
from adapters.simulator.script import Ask, Delta, Finish, Input, Script, call_deltas, tokens_of
from pipeline.values.events import TextDelta, ThinkingDelta, Usage
from pipeline.values.messages import Tool

NOTICE = "This is a demonstration: no AI model is behind it yet."
NEXT = "For real answers set OPENAI_API_KEY, or OLLAMA_BASE_URL for a local Ollama, and start again."
THOUGHT = "The question came through. There is no model here to answer it, so I say that first, and then what to set."
ECHO_WORDS = 20
DIMENSIONS = 64


def demonstrated(ask: Ask) -> Script:
    """What the demonstration answers: in the asked form, but always naming itself where words are possible."""
    if ask.embed:
        usage = Usage(input=tokens_of(ask.embed), output=0)
        return Script(vectors=tuple(_vector(text) for text in ask.embed), usage=usage)
    before: tuple[Delta, ...] = tuple(map(ThinkingDelta, _words(THOUGHT))) if ask.thinking else ()
    if ask.tools and ask.result is None:
        call = _call(ask.tools[0])
        return _counted(ask, Script((*before, *call), "tool_calls"))
    words = _words(_text(ask))
    kept = words[: ask.max_tokens] if ask.max_tokens and ask.max_tokens > 0 else words
    finish: Finish = "length" if len(kept) < len(words) else "stop"
    return _counted(ask, Script((*before, *map(TextDelta, kept)), finish))


def _text(ask: Ask) -> str:
    if ask.format is not None:
        return json.dumps(_json(ask), ensure_ascii=False)
    parts = [NOTICE]
    if ask.text.strip():
        parts.append(f"You said: “{_shortened(ask.text)}”.")
    if ask.images:
        parts.append(f"{ask.images} picture{'s' if ask.images > 1 else ''} came along.")
    if ask.result is not None:
        parts.append(f"The tool answered: “{_shortened(ask.result)}”.")
    if ask.suffix is not None:
        parts.append("The text between prompt and suffix would stand here.")
    return " ".join([*parts, NEXT])


def _json(ask: Ask) -> object:
    schema = ask.format.schema if ask.format else None
    return {"demonstration": True, "message": NOTICE, "next": NEXT} if schema is None else sample(schema)


def _call(tool: Tool) -> tuple[Delta, ...]:
    value = sample(tool.parameters or {})
    text = json.dumps(value if isinstance(value, dict) else {}, ensure_ascii=False, separators=(",", ":"))
    half = len(text) // 2
    return call_deltas(0, "call_demo0001", tool.name, (text[:half], text[half:]))


def _counted(ask: Ask, script: Script) -> Script:
    usage = Usage(input=tokens_of((ask.text, ask.result or "")), output=len(script.deltas))
    return Script(script.deltas, script.finish, usage)


def _shortened(text: str) -> str:
    words = text.split()
    return " ".join(words[:ECHO_WORDS]) + (" …" if len(words) > ECHO_WORDS else "")


def _words(text: str) -> list[str]:
    """The text cut before each blank, so that a word carries the blank before it."""
    return re.findall(r"\s*\S+", text)


def _vector(text: Input) -> tuple[float, ...]:
    """A bag of words on `DIMENSIONS` places, of length 1: texts that share words lie near each other."""
    words = re.findall(r"\w+", text.lower()) if isinstance(text, str) else [str(token) for token in text]
    places = [0.0] * DIMENSIONS
    for word in words or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        places[digest[0] % DIMENSIONS] += 1.0 if digest[1] % 2 else -1.0
    length = math.sqrt(sum(place * place for place in places)) or 1.0
    return tuple(place / length for place in places)
