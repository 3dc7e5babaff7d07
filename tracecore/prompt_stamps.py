"""What a span says of the prompts that were asked for inside of it: which version was served, from where, and how old.

A stamp is a reference and a moment, because it is made where a prompt is served in less than a microsecond; it becomes
JSON when the span's record is made. It is kept among the rare fields of the span under a name that no record has, and
leaves them as metadata ``tracecore.prompts``: a list with one object for each prompt, in the order of asking. A
generation that names no prompt by hand is one of the last that was served.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec import Raw, Struct

from tracecore.metadata import metadata
from tracecore.records import GENERATION_TYPES, ObservationType

__all__ = ["IN_METADATA", "MOST_STAMPS", "PromptStamp", "ServedFrom", "keep_stamp", "with_stamps"]

ServedFrom: TypeAlias = Literal["memory", "disk", "server", "fallback"]

IN_METADATA: Final = "tracecore.prompts"
MOST_STAMPS: Final = 20
"""Prompts that one span speaks of; who asks for more inside of one span is no prompt's reader but a list's."""
_FIELD: Final = "stamps"
"""Where a span keeps them until its record is made; no record has such a field."""
_NO_JSON: Final = Raw()


class PromptStamp(Struct, frozen=True, eq=False, kw_only=True):
    """Say which prompt was served to whom: what is recorded of it."""

    name: str
    version: int | None = None
    """None where the caller's own fallback was served."""
    label: str | None = None
    """By which it was asked for; None where a version was."""
    source: ServedFrom = "server"
    """Where it came from: ``server`` where the store was asked for it, ``memory`` where it was known."""
    stale: bool = False
    """Whether it was older than it may be, and is being asked for again."""
    fetched_ns: int = 0
    """When the store was asked for it, in monotonic ns of this process; 0 where it was not."""
    shares: tuple[tuple[int, float], ...] = ()
    """The versions that its label is split between, with their weights, where this one was chosen among them."""


def keep_stamp(extra: dict[str, Any] | None, stamp: PromptStamp, now_ns: int) -> dict[str, Any]:
    """Note among the rare fields of a span that a prompt was served at a moment of the monotonic clock."""
    if extra is None:
        return {_FIELD: {stamp: now_ns}}
    stamps = extra.get(_FIELD)
    if stamps is None:
        extra[_FIELD] = {stamp: now_ns}
    elif len(stamps) < MOST_STAMPS and (stamp.version is not None or not _is_said(stamp, stamps)):
        stamps[stamp] = now_ns
    return extra


def _is_said(fallback: PromptStamp, stamps: Iterable[PromptStamp]) -> bool:
    """Return whether a fallback was served there before: each time it is another object."""
    said = [(one.name, one.label) for one in stamps if one.version is None]
    return (fallback.name, fallback.label) in said


def with_stamps(extra: dict[str, Any], type_: ObservationType) -> dict[str, Any]:
    """Return the rare fields of a record: those of the span, with its stamps as metadata."""
    if _FIELD not in extra:
        return extra
    fields = {**extra}  # in one step: the program may go on while the pump does this
    stamps = cast("dict[PromptStamp, int]", fields.pop(_FIELD)).copy()
    said = [_said(*one) for one in stamps.items()]
    fields["metadata"] = metadata(fields.get("metadata", _NO_JSON), {IN_METADATA: said})
    if type_ in GENERATION_TYPES and fields.get("prompt_name") is None:
        last = next(reversed(stamps))
        fields["prompt_name"] = last.name
        if last.version is not None:
            fields["prompt_version"] = last.version
    return fields


def _said(stamp: PromptStamp, now_ns: int) -> dict[str, object]:
    """Return what is recorded of one prompt."""
    said: dict[str, object] = {
        "name": stamp.name,
        "version": stamp.version,
        "label": stamp.label,
        "source": stamp.source,
    }
    if stamp.fetched_ns:
        said["age_ms"] = max(0, (now_ns - stamp.fetched_ns) // 1_000_000)
    if stamp.stale:
        said["stale"] = True
    if stamp.shares:
        said["split"] = {str(version): weight for version, weight in stamp.shares}
    return {key: value for key, value in said.items() if value is not None}
