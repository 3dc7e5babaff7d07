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
    Record,
    Span,
    Status,
    TraceAttributes,
)
from tracecore.reporting import named_error

__all__ = ["ENVELOPE_BYTES", "Emitted", "FirstFields", "Unsealable", "observation", "payload_bytes"]

ENVELOPE_BYTES: Final = 640
"""What a span holds in memory besides its payloads, roughly: used for the buffer's byte bound."""
FirstFields: TypeAlias = tuple[str, str, str, str, int, str | None, ObservationType, int | None, Status]
"""The first nine fields of an observation, in their order."""
_KINDS: Final[dict[ObservationType, type[Span]]] = {
    "event": Event,
    **dict.fromkeys(GENERATION_TYPES, Generation),
}
_TYPE: Final = 6
"""Where the type is in a :data:`FirstFields`."""
_GENERATION_FIELDS: Final = frozenset(Generation.__struct_fields__) - frozenset(Span.__struct_fields__)
_SIZED: Final = frozenset({str, bytes, Raw})


def observation(  # noqa: PLR0917 - by position: the pump does this for every span, by keyword it takes twice as long
    first: FirstFields,
    input_: bytes,
    output: bytes,
    attributes: TraceAttributes,
    extra: dict[str, Any] | None,
    provenance: Provenance | None,
) -> Span:
    """Return the record of a span; ``input_`` and ``output`` are JSON, ``extra`` the fields that few spans have."""
    kind = _KINDS.get(first[_TYPE], Span)
    payloads = Raw(input_) if input_ else ABSENT, Raw(output) if output else ABSENT
    if extra is None and provenance is None:
        return kind(*first, "DEFAULT", None, *payloads, ABSENT, attributes)
    fields: dict[str, Any] = {**(extra or {}), "input": payloads[0], "output": payloads[1], "trace": attributes}
    if provenance is not None:
        fields["provenance"] = provenance
    if kind is not Generation and not _GENERATION_FIELDS.isdisjoint(fields):
        kind = Generation
    return kind(*first, **fields)


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


class Emitted(Struct, eq=False, gc=False):
    """A finished record on its way through the buffer (a score, or a session's own record)."""

    record: Record
    size: int = 0
    """Bytes in memory, roughly; reckoned from the record unless given."""

    def __post_init__(self) -> None:
        """Reckon the size."""
        self.size = self.size or ENVELOPE_BYTES + payload_bytes((self.record,))

    @property
    def trace_id(self) -> str | None:
        """Return the trace that the record says something about, if any."""
        return getattr(self.record, "trace_id", None)

    def tighten(self) -> None:
        """Do nothing: few records are emitted in this way."""

    def seal(self) -> Record:
        """Return the record."""
        return self.record


class Unsealable(Struct, eq=False):
    """Stand in the buffer for an item of which no record can be made: the pump meets the error, and counts it."""

    error: BaseException
    trace_id: str | None
    size: int = ENVELOPE_BYTES

    def tighten(self) -> None:
        """Do nothing: nothing is in it."""

    def seal(self) -> Record:
        """Raise what was the matter.

        Raises:
            ValueError: always.
        """
        message = f"no record can be made: {named_error(self.error)}"
        raise ValueError(message) from self.error
