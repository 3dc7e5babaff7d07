r"""A record as one line of text, and back, losing nothing: what a file or a pipe of records holds.

A line is the JSON of a record (:mod:`tracecore.exact_json`) and a line feed. A payload may have line breaks between its
values, where JSON allows white space: in a line a tab stands for what follows it, ``\t\t`` for a tab, ``\t \t`` for a
line feed, and a tab and two blanks for a carriage return. That is white space, too: whoever reads lines as JSON reads
the same values, and only who wants every byte of a payload has to know.

Several lines may speak of one record: the later line says what is new (:func:`tracecore.records.merge`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from tracecore.exact_json import Malformed, decode, encode
from tracecore.records import Event, Generation, LedgerEntry, Record, Score, Session, Span, Trace, merge

__all__ = ["Malformed", "identity", "line_of", "merged", "record_in"]

Identity: TypeAlias = tuple[str | int, ...]
_BREAKS: Final = re.compile(rb"[\t\n\r]")
_WRITTEN: Final = {b"\t": b"\t\t", b"\n": b"\t \t", b"\r": b"\t  "}
_MARKED: Final = re.compile(rb"\t(?:\t| \t|  )")
_READ: Final = {written: breaking for breaking, written in _WRITTEN.items()}
_LINE: Final[Any] = Span | Generation | Event | Session | Score | LedgerEntry | Trace


def line_of(record: Record | Trace) -> bytes:
    """Return the line of a record, with the line feed that ends it."""
    encoded = encode(record)
    if _BREAKS.search(encoded) is not None:
        encoded = _BREAKS.sub(lambda found: _WRITTEN[found[0]], encoded)
    return encoded + b"\n"


def record_in(line: bytes) -> Record | Trace:
    """Return the record of a line, with or without the line feed at its end.

    Raises:
        Malformed: the line is not the JSON of a record.
    """
    encoded = line.removesuffix(b"\n")
    if b"\t" in encoded:
        encoded = _MARKED.sub(lambda found: _READ[found[0]], encoded)
    record: Record | Trace = decode(encoded, _LINE)
    return record


def identity(record: Record) -> Identity:
    """Return what tells a record from every other one; equal for two records that say something of the same."""
    if isinstance(record, Span):
        return "observation", record.project, record.trace_id, record.span_id
    if isinstance(record, Session):
        return "session", record.project, record.session_id
    if isinstance(record, Score):
        return "score", record.project, record.score_id
    return "ledger", record.project, record.process, record.minute_ns


def merged(records: Iterable[Record]) -> list[Record]:
    """Return each record once, as all that was said of it together, in the order in which they first come."""
    found: dict[Identity, Record] = {}
    for record in records:
        key = identity(record)
        known = found.get(key)
        found[key] = record if known is None else merge(known, record)
    return list(found.values())
