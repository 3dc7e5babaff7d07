"""What both ends of tracecore's own HTTP endpoint share: paths, messages, errors, and JSON that loses nothing.

A client asks ``POST {base}/api/tracecore/v1/...`` with one JSON value and is answered with another. ``batch`` takes an
array of records and answers with :class:`Written`; each of ``READS`` takes a :class:`Lookup` or a :class:`Search` and
answers with what the method of the store of that name returns; ``maintain`` answers with :class:`Slice` and
``capabilities`` (a GET) with :class:`About`. Whatever goes wrong is a :class:`Problem`.

All of it is JSON as :mod:`tracecore.exact_json` writes it. A body may be compressed with zstd or gzip; a long answer to
a read is, with zstd, where the request accepts that.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from tracecore.backend import (
    Batch,
    LedgerQuery,
    LedgerTotals,
    ObservationQuery,
    Page,
    ScoreQuery,
    SessionQuery,
    TraceQuery,
)
from tracecore.errors import (
    AccessDenied,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Closed,
    ConfigError,
    Conflict,
    DiskFull,
    NotFound,
    TracecoreError,
)
from tracecore.exact_json import Malformed, decode, encode
from tracecore.measures import MeasureQuery, MeasureRow
from tracecore.records import LedgerEntry, Observation, Record, Score, Session, Trace

__all__ = [
    "BASE",
    "LARGEST_ANSWER",
    "LARGEST_BATCH",
    "LARGEST_WINDOW_LOG",
    "MOST_RECORDS",
    "READS",
    "About",
    "Lookup",
    "Malformed",
    "Problem",
    "Read",
    "Search",
    "Slice",
    "Written",
    "decode",
    "decode_batch",
    "encode",
    "encode_search",
    "error_of",
    "managing_error_of",
    "problem_of",
]

BASE: Final = "/api/tracecore/v1"
"""What every path of the endpoint begins with, behind whatever prefix the server has."""
LARGEST_BATCH: Final = 64 << 20
"""Bytes of a batch before compression; a server refuses a larger one with 413."""
LARGEST_ANSWER: Final = 32 << 20
"""Bytes of the answer to a read; a server answers with a shorter page instead."""
LARGEST_WINDOW_LOG: Final = 23
"""What a zstd frame may ask whoever inflates it to remember, as a power of two: 8 MiB."""
MOST_RECORDS: Final = 200_000
"""Records of a batch; a server refuses more with 413."""
_LONGEST_FACT: Final = 200
"""Characters of a value that an error shows."""

Q = TypeVar("Q", bound=Struct)


class About(Struct, frozen=True, omit_defaults=True):
    """Say what a server can do, and which one it is; what an older one does not say is empty."""

    ledger: bool = False
    """Whether its backend keeps one; further members are those of :class:`~tracecore.backend.Capabilities`."""
    version: str = ""
    """Of tracecore."""
    backend: str = ""
    """The scheme of the location of the backend behind it, or ``file``."""
    project: str = ""
    """The one project that the request reaches; empty where it reaches each that it asks for."""
    measures: bool = False
    """Whether its backend measures what it keeps."""


class Lookup(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Ask for what has these ids; a method uses those that it needs."""

    project: str
    trace_id: str | None = None
    span_id: str | None = None
    session_id: str | None = None
    score_id: str | None = None
    since_ns: int | None = None


class Search(Struct, Generic[Q], frozen=True, forbid_unknown_fields=True):
    """Ask for a page of what a query selects."""

    project: str
    query: Q


class Written(Struct, frozen=True):
    """Answer to a batch: how many of its records were kept, and how many never will be."""

    accepted: int
    rejected: int = 0
    reason: str | None = None
    """Why some were rejected, for people."""


class Slice(Struct, frozen=True):
    """Answer to a slice of deferred work: whether more of it remains."""

    more: bool


class Read(Struct, frozen=True):
    """Describe one method of one store."""

    store: str
    method: str
    asks: Any
    """The type of the request."""
    answers: Any
    """The type of the answer."""
    arguments: tuple[str, ...]
    """The fields of the request that the method takes after the project."""

    @property
    def path(self) -> str:
        """Return the path of this method's route."""
        return f"{BASE}/{self.store}/{self.method}"


READS: Final[dict[tuple[str, str], Read]] = {
    (read.store, read.method): read
    for read in (
        Read("traces", "find", Search[TraceQuery], Page[Trace], ("query",)),
        Read("traces", "get", Lookup, Trace | None, ("trace_id",)),
        Read("observations", "find", Search[ObservationQuery], Page[Observation], ("query",)),
        Read("observations", "get", Lookup, Observation | None, ("trace_id", "span_id")),
        Read("observations", "tree", Lookup, list[Observation], ("trace_id",)),
        Read("sessions", "find", Search[SessionQuery], Page[Session], ("query",)),
        Read("sessions", "get", Lookup, Session | None, ("session_id",)),
        Read("scores", "find", Search[ScoreQuery], Page[Score], ("query",)),
        Read("scores", "get", Lookup, Score | None, ("score_id",)),
        Read("ledger", "find", Search[LedgerQuery], Page[LedgerEntry], ("query",)),
        Read("ledger", "totals", Lookup, LedgerTotals, ("since_ns",)),
        Read("measures", "measure", Search[MeasureQuery], list[MeasureRow], ("query",)),
    )
}
"""Every read, by store and method."""


class Problem(Struct, frozen=True, omit_defaults=True):
    """Say what went wrong (RFC 9457): ``title`` is the class of the error, ``detail`` what happened."""

    title: str
    status: int
    detail: str
    remedy: str = ""
    """What to do next."""
    retry_after: float | None = None
    """In how many seconds the same may succeed."""
    about: dict[str, str | int | float | bool | None] = {}
    """The facts of which the error is made, where ``detail`` and ``remedy`` do not hold them."""


_STATUS: Final[tuple[tuple[type[TracecoreError], int], ...]] = (
    (BackendUnavailable, 503),
    (BackendRejected, 422),
    (ConfigError, 400),
    (AccessDenied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Closed, 503),
)


def problem_of(error: TracecoreError) -> Problem:
    """Return what an error of ours is on the wire."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, BackendError):
        retry_after = error.retry_after if isinstance(error, BackendUnavailable) else None
        return Problem(type(error).__name__, status, error.what, error.remedy, retry_after)
    return Problem(type(error).__name__, status, str(error), about=_facts(error))


def error_of(problem: Problem) -> BackendError | None:
    """Return the error that a problem was, or None where it was none that a backend raises."""
    if problem.title == "BackendRejected":
        return BackendRejected(problem.detail, problem.remedy)
    if problem.title in {"DiskFull", "BackendUnavailable", "Closed"}:
        kind = DiskFull if problem.title == "DiskFull" else BackendUnavailable
        return kind(problem.detail, problem.remedy, retry_after=problem.retry_after)
    return None


def managing_error_of(problem: Problem) -> TracecoreError | None:
    """Return the error that a problem was, also one that only managing raises; None where it was none of ours."""
    said = {name: str(value) for name, value in problem.about.items()}
    found: TracecoreError
    match problem.title:
        case "NotFound":
            found = NotFound(said.get("kind", ""), said.get("name", ""), said.get("remedy", ""))
        case "ConfigError":
            value = problem.about.get("value")
            found = ConfigError(said.get("key", ""), value, said.get("source", ""), said.get("expected", ""))
        case "Conflict":
            return Conflict(problem.detail)
        case "AccessDenied":
            return AccessDenied(problem.detail)
        case _:
            return error_of(problem)
    found.args = (problem.detail,)  # the same words, however much of a fact came with them
    return found


def _facts(error: TracecoreError) -> dict[str, str | int | float | bool | None]:
    """Return what an error is made of; of a value no more than its sentence shows."""
    if isinstance(error, NotFound):
        return {"kind": error.kind, "name": error.name[:_LONGEST_FACT], "remedy": error.remedy}
    if isinstance(error, ConfigError):
        value = _short(error.value)
        return {"key": error.key, "value": value, "source": error.source, "expected": error.expected}
    return {}


def _short(value: object) -> str | int | float | bool | None:
    """Return of a value what an error shows of it, as JSON can hold it."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 53):
        return value
    return (value if isinstance(value, str) else repr(value))[:_LONGEST_FACT]


def encode_search(project: str, query: Struct) -> bytes:
    """Return the request for a page: of the query only what is set, so that older servers understand it."""
    fields = msgspec.structs.fields(query)
    asked = {field.name: value for field in fields if (value := getattr(query, field.name)) != field.default}
    return encode({"project": project, "query": asked})


def decode_batch(data: bytes) -> Batch:
    """Return the records of a batch.

    Raises:
        Malformed: the bytes are no array of records.
    """
    return decode(data, list[Record])
