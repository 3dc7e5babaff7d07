"""Tools: which ones a model was offered, and which it called, out of the shapes in which frameworks say so.

Definitions are an array (OpenTelemetry's ``gen_ai.tool.definitions``, which is taken as it is); calls are an array of
``{"id", "name", "type", "arguments", "index"}``, each as far as it was said. Shapes: OpenAI's chat and responses,
Anthropic's content, LangChain's messages, the Vercel AI SDK's, OpenTelemetry's parts and OpenInference's messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from msgspec import Raw

from tracecore.records import ABSENT
from tracecore.server.otlp.names import PydanticAI
from tracecore.server.otlp.payloads import parsed, payload_of, text_of
from tracecore.server.otlp.sorting import Sorted

__all__ = ["fill_tools"]

_MOST: Final = 1_000
"""Tools, or calls, of one span."""
_DEEPEST: Final = 6
"""Objects inside each other in which calls are looked for."""
_CALL_TYPES: Final = frozenset({"function", "function_call", "tool_call", "tool-call", "tool_use"})
_INSIDE: Final = ("message", "choices", "messages", "content", "parts", "output", "additional_kwargs", "generations")
_LISTS: Final = ("tool_calls", "toolCalls")


def fill_tools(fields: dict[str, Any], attributes: Sorted) -> None:
    """Fill in the tools that a model was offered, and the calls that it asked for."""
    if attributes.has("tool_definitions"):
        fields["tool_definitions"] = _defined(attributes)
    elif (given := fields.get("input")) is not None and b'"tools"' in bytes(given):
        said = parsed(given)
        tools: Any = cast("dict[str, Any]", said).get("tools") if isinstance(said, dict) else None
        fields["tool_definitions"] = _array(tools) or ABSENT
    if "tool_calls" in fields or "tool_call_names" in fields:
        return
    answered = fields.get("output")
    if answered is None:
        return
    raw = bytes(answered)
    # A text asks for nothing; in every other shape there is one of these words.
    if raw[:1] != b'"' and (b"tool" in raw or b"function_call" in raw):
        calls = _distinct(_calls(parsed(answered), 0))
        if calls:
            fields["tool_calls"] = payload_of(calls)
            fields["tool_call_names"] = tuple(dict.fromkeys(call["name"] for call in calls))


def _defined(attributes: Sorted) -> Raw:
    key = attributes.key_of("tool_definitions")
    found = attributes.take("tool_definitions", _definitions)
    if found is not None and key == PydanticAI.REQUEST_PARAMETERS:  # says other things besides
        attributes.rest[key] = attributes.value(key)
    return found or ABSENT


def _definitions(value: Any) -> Raw | None:
    if isinstance(value, str):
        said = parsed(value)
        if isinstance(said, dict) and "function_tools" in said:
            return _array(cast("dict[str, Any]", said)["function_tools"])
        return payload_of(value) if isinstance(said, list | dict) and said else None
    return _array(value)


def _array(value: Any) -> Raw | None:
    """Return definitions as an array, each of them out of its text, or out of OpenInference's names."""
    if not isinstance(value, list) or not value:
        return None
    found = [_definition(one) for one in cast("Sequence[Any]", value)[:_MOST]]
    return payload_of([one for one in found if isinstance(one, dict)]) if any(found) else None


def _definition(value: Any) -> Any:
    if isinstance(value, str):
        return parsed(value)
    if isinstance(value, dict):
        inside = cast("dict[str, Any]", value).get("tool")
        if isinstance(inside, dict) and "json_schema" in inside:
            return _definition(cast("dict[str, Any]", inside)["json_schema"])
    return cast("Any", value)


def _calls(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the calls in a message, or in messages inside each other."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for one in cast("Sequence[Any]", value):
            yield from _calls(one, depth + 1)
    elif isinstance(value, dict):
        said = cast("dict[str, Any]", value)
        call = _call(said)
        yield from _called(said, depth) if call is None else (call,)


def _called(message: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """Yield the calls that a message names as such, then those in what is inside it."""
    for name in _LISTS:
        for one in _listed(message.get(name)):
            call = _call(one, is_known=True)
            if call is not None:
                yield call
    for name in _INSIDE:
        if isinstance(message.get(name), list | dict):
            yield from _calls(message[name], depth + 1)


def _listed(value: Any) -> list[dict[str, Any]]:
    found = parsed(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        return []
    return [cast("dict[str, Any]", one) for one in cast("Sequence[Any]", found) if isinstance(one, dict)]


def _call(said: dict[str, Any], *, is_known: bool = False) -> dict[str, Any] | None:
    """Return a call, or None for what is none; ``is_known`` says that it was where calls are."""
    inside = said.get("tool_call")
    if isinstance(inside, dict):
        return _call({**said, **cast("dict[str, Any]", inside), "tool_call": None}, is_known=True)
    function = said.get("function")
    function = cast("dict[str, Any]", function) if isinstance(function, dict) else {}
    name = function.get("name", said.get("name", said.get("toolName")))
    arguments = _first(function, "arguments", said, "arguments", "args", "input")
    is_call = is_known or said.get("type") in _CALL_TYPES or ("toolName" in said and said.get("type") != "tool-result")
    if not isinstance(name, str) or not name or not is_call or (arguments is None and not is_known):
        return None
    found = {
        "id": text_of(said.get("id", said.get("toolCallId", said.get("call_id")))), "name": name,
        "type": text_of(said.get("type")), "arguments": arguments, "index": said.get("index"),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value is not None}


def _first(function: dict[str, Any], name: str, said: dict[str, Any], *names: str) -> Any:
    found = function.get(name)
    return found if found is not None else next((said[one] for one in names if said.get(one) is not None), None)


def _distinct(calls: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return calls once each: the same one is often said in two shapes."""
    found: dict[str, dict[str, Any]] = {}
    for call in calls:
        key = call.get("id") or f"{call['name']} {call.get('arguments')}"
        found.setdefault(str(key), call)
        if len(found) == _MOST:
            break
    return list(found.values())
