"""Making the record of a span from what its end left behind, off the program's path, and reckoning what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any, Final, TypeAlias, cast

from msgspec import Raw, Struct

from tracecore.records import (
    ABSENT,
    GENERATION_TYPES,
    Event,
    Generation,
    ObservationType,
    Provenance,
    Span,
    Status,
    TraceAttributes,
)

__all__ = ["ENVELOPE_BYTES", "Head", "observation", "payload_bytes"]

ENVELOPE_BYTES: Final = 512
"""What a span holds in memory besides its payloads, roughly: used for the buffer's byte bound."""
Head: TypeAlias = tuple[str, str, str, str, int, str | None, ObservationType, int | None, Status]
"""The first nine fields of an observation, in their order."""
_KINDS: Final[dict[ObservationType, type[Span]]] = {
    "event": Event,
    **dict.fromkeys(GENERATION_TYPES, Generation),
}
_TYPE: Final = 6
"""Where the type is in a :data:`Head`."""
_GENERATION_FIELDS: Final = frozenset(Generation.__struct_fields__) - frozenset(Span.__struct_fields__)
_SIZED: Final = frozenset({str, bytes, Raw})


def observation(  # noqa: PLR0917 - by position: the pump does this for every span, by keyword it takes twice as long
    head: Head,
    input_: bytes,
    output: bytes,
    attributes: TraceAttributes,
    extra: dict[str, Any] | None,
    provenance: Provenance | None,
) -> Span:
    """Return the record of a span; ``input_`` and ``output`` are JSON, ``extra`` the fields that few spans have."""
    kind = _KINDS.get(head[_TYPE], Span)
    payloads = Raw(input_) if input_ else ABSENT, Raw(output) if output else ABSENT
    if extra is None and provenance is None:
        return kind(*head, "DEFAULT", None, *payloads, ABSENT, attributes)
    fields: dict[str, Any] = {**(extra or {}), "input": payloads[0], "output": payloads[1], "trace": attributes}
    if provenance is not None:
        fields["provenance"] = provenance
    if kind is not Generation and not _GENERATION_FIELDS.isdisjoint(fields):
        kind = Generation
    return kind(*head, **fields)


def payload_bytes(values: Iterable[object]) -> int:
    """Return the bytes of text and JSON among the fields of a record, roughly: what its size depends on."""
    size = 0
    for value in values:
        kind = type(value)
        if kind in _SIZED:
            size += len(cast("Sized", value))
        elif kind is dict or kind is tuple:
            size += 64 * len(cast("Sized", value))
        elif kind is not int and kind is not float and isinstance(value, Struct):
            size += payload_bytes(getattr(value, name) for name in value.__struct_fields__)
    return size
