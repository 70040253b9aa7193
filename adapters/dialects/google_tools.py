"""Tools of Google's routes: functions of the client's, tools that Google runs itself, and how they are to be used."""

from collections.abc import Mapping
from typing import Any

from adapters.dialects.fields import Fields
from adapters.dialects.google_contents import required
from adapters.dialects.google_fields import word
from adapters.dialects.google_schemas import json_schema
from pipeline.values.messages import Tool, ToolChoice

_FUNCTIONS = "functionDeclarations"
# What a declaration may say beside its name, and only Google understands.
_BESIDE = ("behavior", "response", "responseJsonSchema")


def tools_of(fields: Fields, beside: dict[str, Any]) -> tuple[tuple[Tool, ...], dict[str, Any]]:
    """The functions, and by name the tools that Google runs."""
    found: list[Tool] = []
    others: dict[str, Any] = {}
    for offered in fields.objects("tools"):
        found += [_declared(function, beside) for function in offered.objects(_FUNCTIONS)]
        others.update({name: value for name, value in offered.values.items() if name != _FUNCTIONS})
    return tuple(found), others


def acts_by_itself(others: Mapping[str, Any]) -> bool:
    """Whether Google is to run one of these tools; the computer is the client's."""
    return any(value is not None for name, value in others.items() if name != "computerUse")


def _declared(function: Fields, beside: dict[str, Any]) -> Tool:
    for name in _BESIDE:
        if function.values.get(name) is not None:
            beside[f"tools.{name}"] = True
    schema = function.mapping("parametersJsonSchema")
    older = function.mapping("parameters")
    if schema is None and older is not None:
        schema = json_schema(older)
    return Tool(required(function, "name"), function.text("description"), schema)


def choice_of(
    fields: Fields, tools: tuple[Tool, ...], extra: dict[str, Any], beside: dict[str, Any]
) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """The choice, and the tools that may be chosen; what else stands in `toolConfig` goes to `extra`."""
    config = fields.inner("toolConfig")
    if config is None:
        return None, tools
    if others := {name: value for name, value in config.values.items() if name != "functionCallingConfig"}:
        extra["toolConfig"] = others
    calling = config.inner("functionCallingConfig")
    if calling is None:
        return None, tools
    mode, names = word(calling, "mode"), calling.texts("allowedFunctionNames")
    if not tools:
        return None, tools
    if names:
        tools = _allowed(calling, names, tools)
    match mode:
        case "":
            return None, tools
        case "AUTO":
            return ToolChoice("auto"), tools
        case "NONE":
            return ToolChoice("none"), tools
        case "ANY":
            return (ToolChoice("named", names[0]) if len(names) == 1 else ToolChoice("required")), tools
        case "VALIDATED":
            beside["toolConfig.mode"] = mode
            return ToolChoice("auto"), tools
    path = calling.at("mode")
    calling.faults.note(f"{path} must be AUTO, ANY, NONE or VALIDATED", path)
    return None, tools


def _allowed(calling: Fields, names: tuple[str, ...], tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Of the tools those that may be called: only they are offered. One by name stays among the others."""
    known: Mapping[str, Tool] = {tool.name: tool for tool in tools}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        path = calling.at("allowedFunctionNames")
        calling.faults.note(f"{path}: {unknown} is not declared", path)
    return tools if len(names) == 1 else tuple(tool for tool in tools if tool.name in names)
