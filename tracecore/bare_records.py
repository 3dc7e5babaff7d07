"""What can be kept of a record that a sink refused: the same fact with less said about it.

Somewhere in it is a value that the sink cannot take: text it cannot store, a number too large. Each form leaves out
more and says so in ``metadata``; identity, times, type and status are in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from tracecore.records import ABSENT, Generation, Record, Score, Span

__all__ = ["REJECTED", "bare_forms"]

REJECTED: Final = "$rejected"
"""The key under which ``metadata`` says why the rest was left out."""

_MAX_NAME: Final = 200
_MAX_REASON: Final = 500


def bare_forms(record: Record, reason: str) -> Iterator[Record]:
    """Return what may be written in place of a refused record: first without its payloads, then in its barest form."""
    flag = Raw(msgspec.json.encode({REJECTED: _plain(reason, _MAX_REASON)}))
    if isinstance(record, Span):
        yield _without_payloads(record, flag)
        yield _barest(record, flag)
    elif isinstance(record, Score):
        yield replace(record, name=_plain(record.name, _MAX_NAME), comment=None, metadata=flag)


def _without_payloads(span: Span, flag: Raw) -> Span:
    """Keep who and what it cost: model, usage, trace attributes."""
    changes: dict[str, Any] = {"model_parameters": ABSENT} if isinstance(span, Generation) else {}
    return replace(
        span,
        name=_plain(span.name, _MAX_NAME),
        input=ABSENT,
        output=ABSENT,
        metadata=flag,
        status_message=None,
        error=None,
        tool_definitions=ABSENT,
        tool_calls=ABSENT,
        **changes,
    )


def _barest(span: Span, flag: Raw) -> Span:
    """Keep that it happened, when, below what, and how it ended."""
    return type(span)(
        project=span.project,
        trace_id=span.trace_id,
        span_id=span.span_id,
        name=_plain(span.name, _MAX_NAME),
        start_ns=span.start_ns,
        parent_id=span.parent_id,
        type=span.type,
        duration_ns=span.duration_ns,
        status=span.status,
        level=span.level,
        app_root=span.app_root,
        metadata=flag,
    )


def _plain(text: str, most: int) -> str:
    """Return text in printable ASCII, everything else as escapes."""
    return ascii(text)[1:-1][:most]
