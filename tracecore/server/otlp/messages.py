"""Input and output: out of attributes, of flat names, and of events of a span.

What a convention says in pieces becomes one payload: messages with their roles, in order, the system's instructions
before them. What it says in one piece is that piece (:mod:`tracecore.server.otlp.payloads`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from tracecore.records import ABSENT
from tracecore.server.otlp.names import EventNames, GenAI, Langfuse, PydanticAI, Vercel, Vertex
from tracecore.server.otlp.payloads import json_of, object_in, parsed, payload_of
from tracecore.server.otlp.received import Attributes, Happening
from tracecore.server.otlp.sorting import Sorted

__all__ = ["input_of", "others_of", "output_of", "take_in"]

_ROLES: Final = {
    EventNames.SYSTEM: "system", EventNames.USER: "user", EventNames.ASSISTANT: "assistant", EventNames.TOOL: "tool",
}  # fmt: skip
_USED_BY: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_ROLES, ("@messages",)),
    EventNames.CHOICE: ("@choices",),
    EventNames.DETAILS: ("@details.input", "@details.output"),
    EventNames.PROMPT: ("@prompt",),
    EventNames.COMPLETION: ("@completion",),
}
"""What an event with messages fills, by its name."""
_EMPTY_OBJECT: Final = "{}"
_WITH_SYSTEM: Final = frozenset({GenAI.INPUT_MESSAGES, PydanticAI.ALL_MESSAGES})
"""Messages to which the system's instructions belong, which are said apart."""
_messages: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_SYSTEM: Final = b'"system"'


def take_in(attributes: Sorted, events: Sequence[Happening]) -> None:
    """Take in what events of a span say of its input and output."""
    said = [event for event in events if event.name in _USED_BY]
    if not said:
        return
    spoken: list[Any] = [{"role": _ROLES[one.name], **_unpacked(one)} for one in said if one.name in _ROLES]
    chosen: list[Any] = [_unpacked(one) for one in said if one.name == EventNames.CHOICE]
    if spoken:
        attributes.give("@messages", spoken)
    if chosen:
        attributes.give("@choices", chosen[0] if len(chosen) == 1 else chosen)
    for one in said:
        if one.name == EventNames.DETAILS:
            _take_details(attributes, one.attributes)
        elif one.name == EventNames.PROMPT:
            attributes.give("@prompt", one.attributes.get(GenAI.PROMPT, _unpacked(one)))
        elif one.name == EventNames.COMPLETION:
            attributes.give("@completion", one.attributes.get(GenAI.COMPLETION, _unpacked(one)))


def others_of(attributes: Sorted, events: Sequence[Happening]) -> list[Happening]:
    """Return the events that are not input or output of the record."""
    return [event for event in events if not any(map(attributes.was_taken, _USED_BY.get(event.name, ())))]


def input_of(attributes: Sorted, *, is_root: bool) -> Raw:
    """Return the input of a span of which Langfuse's name says none.

    ``is_root`` says that what is said of the trace may be meant.
    """
    _skip_empty(attributes, "input", Vertex.REQUEST)
    found = attributes.take("input", _input)
    if found is None:
        return _empty_or_of_trace(attributes, Langfuse.INPUT, Langfuse.TRACE_INPUT, is_root=is_root)
    instructions = attributes.rest.get(GenAI.SYSTEM_INSTRUCTIONS)
    if instructions is not None and any(map(attributes.was_taken, _WITH_SYSTEM)):
        found = _with_system(found, instructions)
        del attributes.rest[GenAI.SYSTEM_INSTRUCTIONS]
    return found


def output_of(attributes: Sorted, *, is_root: bool) -> Raw:
    """Return the output of a span of which Langfuse's name says none; see :func:`input_of`."""
    _skip_empty(attributes, "output", Vertex.RESPONSE)
    found = attributes.take("output", _output)
    if found is None:
        return _empty_or_of_trace(attributes, Langfuse.OUTPUT, Langfuse.TRACE_OUTPUT, is_root=is_root)
    if attributes.was_taken(Vercel.TEXT) and Vercel.TOOL_CALLS in attributes.rest:
        calls = json_of(attributes.rest.pop(Vercel.TOOL_CALLS))
        return Raw(b'{"role":"assistant","content":%b,"tool_calls":%b}' % (bytes(found), bytes(calls)))
    return found


def _skip_empty(attributes: Sorted, field: str, key: str) -> None:
    """Pass over an empty object: Google's kit writes one where it calls a tool, which has names of its own."""
    if attributes.key_of(field) == key and attributes.value(key) == _EMPTY_OBJECT:
        attributes.skip(field)


def _empty_or_of_trace(attributes: Sorted, own: str, of_trace: str, *, is_root: bool) -> Raw:
    """Return what is said of the trace, of its root; or an empty text, where that is what was said."""
    if is_root and attributes.rest.get(of_trace):
        return payload_of(attributes.rest.pop(of_trace))
    return payload_of("") if attributes.rest.pop(own, None) == "" else ABSENT


def _input(value: Any) -> Raw | None:
    events = _logged(value)
    if events is not None:
        spoken = [event for event in events if event.get("event.name") != EventNames.CHOICE]
        return payload_of(spoken) if spoken else None
    return None if value is None else payload_of(value)


def _output(value: Any) -> Raw | None:
    events = _logged(value)
    if events is not None:
        chosen = [event for event in events if event.get("event.name") == EventNames.CHOICE]
        return payload_of(chosen[0]) if chosen else None
    return None if value is None else payload_of(value)


def _logged(value: Any) -> list[dict[str, Any]] | None:
    """Return the events that Logfire writes into one attribute, or None for anything else."""
    if isinstance(value, str) and '"event.name"' in value:
        value = parsed(value)
    if not isinstance(value, list):
        return None
    events = cast("Sequence[Any]", value)
    if not events or not all(isinstance(one, dict) and "event.name" in one for one in events):
        return None
    return cast("list[dict[str, Any]]", value)


def _unpacked(event: Happening) -> Attributes:
    """Return the attributes of an event, those that are JSON as what they say."""
    return {key: payload_of(value) if isinstance(value, str) else value for key, value in event.attributes.items()}


def _take_details(attributes: Sorted, details: Attributes) -> None:
    """Take in the event that holds the messages since version 1.38 of the conventions."""
    said, answered = details.get(GenAI.INPUT_MESSAGES), details.get(GenAI.OUTPUT_MESSAGES)
    instructions = details.get(GenAI.SYSTEM_INSTRUCTIONS)
    if said is not None or instructions is not None:
        spoken = payload_of(said if said is not None else [])
        attributes.give("@details.input", spoken if instructions is None else _with_system(spoken, instructions))
    if answered is not None:
        attributes.give("@details.output", payload_of(answered))


def _with_system(messages: Raw, instructions: Any) -> Raw:
    """Return messages with the system's instructions before them, unless there is a message of the system."""
    said = _system_messages(instructions)
    try:
        spoken = _messages.decode(messages)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return messages
    if not said or any(bytes(one.get("role", ABSENT)) == _SYSTEM for one in spoken):
        return messages
    first = bytes(payload_of(said))[:-1]
    return Raw(first + (b"," if spoken else b"") + bytes(messages).lstrip()[1:])


def _system_messages(instructions: Any) -> list[Any]:
    """Return instructions as messages: complete ones as they are, texts and parts as one."""
    found = parsed(instructions) if isinstance(instructions, str) else instructions
    if isinstance(instructions, str) and (found is None or isinstance(found, int | float)):
        found = instructions
    if isinstance(found, str):
        return [{"role": "system", "content": found}] if found else []
    if not isinstance(found, list):
        return []
    parts = cast("Sequence[Any]", found)
    if parts and all(isinstance(one, dict) and "parts" in one for one in parts):
        return [{"role": "system", **one} for one in parts]
    texts = [text for one in parts for text in _texts(one)]
    return [{"role": "system", "content": "\n".join(texts)}] if texts else []


def _texts(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    inside = object_in(part) or {}
    text = inside.get("content", inside.get("text"))
    if isinstance(text, str):
        return [text]
    return [text for one in inside.get("parts") or () for text in _texts(one)]
