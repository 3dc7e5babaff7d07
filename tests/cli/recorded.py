"""Records with small numbers for ids, and what a command that was run left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tracecore.records import Generation, Record, Span

SECOND = 10**9
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return the answer as the program that reads it would."""
        return msgspec.json.decode(self.out)


Cli = Callable[..., Result]
Store = Callable[[Sequence[Record]], str]


def span(number: int, *, trace: int = 1, parent: int | None = None, after_s: float = 0.0, **fields: Any) -> Span:
    """Return a span of one second; ``number`` and ``trace`` make its ids."""
    return Span(**_fields(number, trace, parent, after_s=after_s, **fields))


def generation(
    number: int, *, trace: int = 1, parent: int | None = None, after_s: float = 0.0, **fields: Any
) -> Generation:
    """Return a generation of one second."""
    return Generation(**{"type": "generation", **_fields(number, trace, parent, after_s=after_s, **fields)})


def _fields(number: int, trace: int, parent: int | None, *, after_s: float, **fields: Any) -> dict[str, Any]:
    if "about" in fields:
        fields["trace"] = fields.pop("about")
    payloads = {key: raw(fields.pop(key)) for key in ("input", "output", "metadata") if key in fields}
    return {
        "project": "default",
        "name": f"step {number}",
        "trace_id": f"{trace:032x}",
        "span_id": f"{number:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "start_ns": START + round(after_s * SECOND),
        "duration_ns": SECOND,
        **fields,
        **payloads,
    }


def raw(value: Any) -> msgspec.Raw:
    """Return a payload."""
    return msgspec.Raw(msgspec.json.encode(value))
