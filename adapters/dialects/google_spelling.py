"""Names of fields in Google's JSON, which may be written in camel case or with underscores.

Only names that Google gives are respelt, each in its place: what a client names itself (arguments, properties of
schemas, results) stays. Source: https://protobuf.dev/programming-guides/json.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

# What a field holds: fields again, or (None) what is left as it is.
Shape: TypeAlias = Mapping[str, "Shape | None"]

_UNDERSCORED = re.compile(rb'"[a-zA-Z]+_[a-zA-Z_]+"\s*:')
_LETTER = re.compile(r"_([a-z])")


def _plain(names: str) -> dict[str, "Shape | None"]:
    return dict.fromkeys(names.split())


_BLOB = _plain("mimeType data displayName")
_FILE = _plain("mimeType fileUri displayName")
_PART: dict[str, Shape | None] = {
    **_plain(
        "text thought thoughtSignature executableCode codeExecutionResult videoMetadata mediaResolution"
    ),
    "inlineData": _BLOB,
    "fileData": _FILE,
    "functionCall": _plain("id name args"),
    "functionResponse": {
        **_plain("id name response willContinue scheduling"),
        "parts": {"inlineData": _BLOB, "fileData": _FILE},
    },
}
CONTENT: Shape = {"role": None, "parts": _PART}
_DECLARATION = _plain("name description behavior parameters parametersJsonSchema response responseJsonSchema")
_TOOL: Shape = {
    "functionDeclarations": _DECLARATION,
    **_plain("googleSearch googleSearchRetrieval codeExecution urlContext googleMaps computerUse fileSearch"),
}
_CONFIG: Shape = {
    **_plain("temperature topP topK maxOutputTokens stopSequences seed presencePenalty frequencyPenalty"),
    **_plain("candidateCount responseMimeType responseSchema responseJsonSchema responseLogprobs logprobs"),
    **_plain("responseModalities speechConfig mediaResolution imageConfig enableEnhancedCivicAnswers"),
    "thinkingConfig": _plain("includeThoughts thinkingBudget thinkingLevel"),
}
GENERATE: Shape = {
    **_plain("model safetySettings cachedContent serviceTier store labels"),
    "contents": CONTENT,
    "systemInstruction": CONTENT,
    "tools": _TOOL,
    "toolConfig": {
        "functionCallingConfig": _plain("mode allowedFunctionNames"),
        "retrievalConfig": None,
    },
    "generationConfig": _CONFIG,
}
COUNT: Shape = {**GENERATE, "generateContentRequest": GENERATE}
_EMBED_CONFIG = _plain("taskType title outputDimensionality autoTruncate documentOcr audioTrackExtraction")
EMBED: Shape = {"model": None, "content": CONTENT, **_EMBED_CONFIG, "embedContentConfig": _EMBED_CONFIG}
EMBED_SEVERAL: Shape = {"requests": EMBED}


def camel(name: str) -> str:
    """A name in camel case."""
    return _LETTER.sub(lambda found: found[1].upper(), name)


def respelt(body: dict[str, Any], data: bytes, shape: Shape) -> dict[str, Any]:
    """`body` with Google's own names in camel case; `data` is the text it was read from."""
    if _UNDERSCORED.search(data) is None:
        return body
    found: dict[str, Any] = _respelt(body, shape)
    return found


def _respelt(value: Any, shape: Shape) -> Any:
    if type(value) is list:
        return [_respelt(item, shape) for item in value]
    if type(value) is not dict:
        return value
    found: dict[str, Any] = {}
    for name, inner in value.items():
        known = name if name in shape else camel(name)
        below = shape.get(known)
        found[known if known in shape else name] = inner if below is None else _respelt(inner, below)
    return found
