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
from tracecore.server.otlp.names import EventNames, GenAI, Langfuse, Logfire, PydanticAI, Vercel, Vertex
from tracecore.server.otlp.payloads import json_of, object_in, parsed, payload_of
from tracecore.server.otlp.received import Attributes, Happening
from tracecore.server.otlp.sorting import Sorted

__all__ = ["complete", "others_of", "prepare", "take_in"]

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


def prepare(attributes: Sorted) -> None:
    """Take in messages that are all in one attribute, and pass over what is there and says nothing.

    That is an empty object: Google's kit writes one where it calls a tool, which has names of its own.
    """
    if attributes.has("logged"):
        _take_logged(attributes)
    for field, key in (("input", Vertex.REQUEST), ("output", Vertex.RESPONSE)):
        if attributes.key_of(field) == key and attributes.get(key) == _EMPTY_OBJECT:
            attributes.skip(field)


def complete(fields: dict[str, Any], attributes: Sorted, keys: Sequence[str | None], *, is_root: bool) -> None:
    """Complete the input and the output of a span by what is said apart from them.

    ``keys`` are the names that filled them; ``is_root`` says that what is said of the trace may be meant.
    """
    said, answered = keys
    if "input" not in fields:
        _fill_empty(fields, "input", attributes, (Langfuse.INPUT, Langfuse.TRACE_INPUT), is_root=is_root)
    elif said in _WITH_SYSTEM and GenAI.SYSTEM_INSTRUCTIONS in attributes.rest:
        fields["input"] = _with_system(fields["input"], attributes.rest.pop(GenAI.SYSTEM_INSTRUCTIONS))
    if "output" not in fields:
        _fill_empty(fields, "output", attributes, (Langfuse.OUTPUT, Langfuse.TRACE_OUTPUT), is_root=is_root)
    elif answered == Vercel.TEXT and Vercel.TOOL_CALLS in attributes.rest:
        text, calls = bytes(fields["output"]), bytes(json_of(attributes.rest.pop(Vercel.TOOL_CALLS)))
        fields["output"] = Raw(b'{"role":"assistant","content":%b,"tool_calls":%b}' % (text, calls))


def _fill_empty(
    fields: dict[str, Any], field: str, attributes: Sorted, names: tuple[str, str], *, is_root: bool
) -> None:
    """Fill in what is said of the trace, of its root; or an empty text, where that is what was said."""
    own, of_trace = names
    if is_root and attributes.rest.get(of_trace):
        fields[field] = payload_of(attributes.rest.pop(of_trace))
    elif own in attributes.rest and attributes.rest.pop(own) == "":
        fields[field] = payload_of("")


def _take_logged(attributes: Sorted) -> None:
    """Take in messages as Logfire writes them: the choice is the output, all others the input."""
    events = _logged(attributes.get(Logfire.EVENTS)) or []
    spoken: list[Any] = [event for event in events if event["event.name"] != EventNames.CHOICE]
    chosen: list[Any] = [event for event in events if event["event.name"] == EventNames.CHOICE]
    if spoken:
        attributes.give("@logged.input", spoken)
    if chosen:
        attributes.give("@logged.output", chosen[0])
    if attributes.key_of("input") == "@logged.input" or attributes.key_of("output") == "@logged.output":
        attributes.drop("logged")


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
