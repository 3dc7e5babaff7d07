"""The contract between tracecore and whatever keeps its records.

A **sink** is the least a backend can be: it opens, writes batches and closes. A **backend** is a sink plus any of the
stores it supports. Both are Protocols: a backend inherits from nothing of ours, imports only the contract modules
(``backend``, ``catalog``, ``conditions``, ``erasure``, ``measures``, ``records``, ``rollup``, ``ledger``, ``phrase``,
``filtering``, ``measuring``, ``selection``, ``json_lines``, ``codec``, ``ids``, ``clock``, ``forks``, ``errors``;
``wire`` where it speaks to our own server) and is found through the entry-point group ``tracecore.backends``, whose
names are URL schemes and whose values are :class:`BackendFactory` callables.

What holds for every method:

* It raises :class:`~tracecore.errors.BackendUnavailable` (try again; its subclass ``DiskFull`` where there is no
  space, which is counted apart), :class:`~tracecore.errors.BackendRejected` (never will), or for misuse a subclass of
  :class:`~tracecore.errors.TracecoreError`; driver errors stay in ``__cause__``.
* Results are the caller's to keep: a store never hands out what it will change later.
* An unknown id is absent (``None``, or missing from a page), never an error.
* Every read names its project; there is no way to leave it out.
* Methods are called from one event loop. Reads may run beside each other and beside a write; writes are never
  concurrent within one opened sink.

``tracecore.testing`` holds the conformance suite, whose tests quote these paragraphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from msgspec import Struct

from tracecore.queries import LedgerQuery, ObservationQuery, ScoreQuery, SessionQuery, TraceQuery
from tracecore.records import LedgerEntry, Observation, Record, Score, Session, Trace

__all__ = [
    "LARGEST_PAGE", "LARGEST_PAGE_BYTES", "Access", "Backend", "BackendFactory", "Batch", "Capabilities",
    "Inspectable", "LedgerQuery", "LedgerStore", "LedgerTotals", "Level", "Migratable", "ObservationQuery",
    "ObservationStore", "Page", "QueryConsole", "Receipt", "Repeatable", "Replayable", "Rows", "SchemaStatus",
    "ScoreQuery", "ScoreStore", "SessionQuery", "SessionStore", "Sink", "TraceQuery", "TraceStore",
]  # fmt: skip

Batch: TypeAlias = Sequence[Record]
"""What a sink receives: records in the order in which they were drained, with repeats possible."""

LARGEST_PAGE: Final = 1000
"""The greatest ``limit`` of a query; every store refuses a greater one."""
LARGEST_PAGE_BYTES: Final = 16 << 20
"""About how many bytes of payloads a page has, and of comments on scores; one item is always on it."""

Level: TypeAlias = Literal["accepted", "handed_over", "durable", "received"]
"""How safe a record is, each level safer than those before it.

* ``accepted`` (L0): it is in our memory, and survives nothing.
* ``handed_over`` (L1): it survives ``kill -9`` of our process.
* ``durable`` (L2): it survives a loss of power too, if the disk honours sync.
* ``received`` (L3): it survives the loss of our host.
"""

T = TypeVar("T")


class Capabilities(Struct, frozen=True):
    """Declare what a backend can do; the default is the least capable backend.

    Tests take the expected capabilities from the test file, never from the backend under test, because a silently
    skipped test reads like a passing one.
    """

    durable: bool = False
    """What was written is still there after the process died."""
    traces: bool = False
    observations: bool = False
    sessions: bool = False
    scores: bool = False
    search: bool = False
    """``TraceQuery.search`` and ``ObservationQuery.search`` find words of any script in payloads."""
    sql: bool = False
    """``Backend.sql`` runs read-only SQL over the documented views."""
    ledger: bool = False
    """Ledger entries are kept, in one transaction with the rest of their batch, and ``Backend.ledger`` reads them."""
    catalog: bool = False
    """What people manage is kept: :class:`tracecore.catalog.Catalogued`."""
    measures: bool = False
    """What is kept is counted and summed up: :class:`tracecore.measures.Measuring`."""
    level: Level = "accepted"
    """The level that a batch has reached when ``Sink.write`` returns."""


class Receipt(Struct, frozen=True):
    """Say that a batch was written in part: what was rejected of it will not be accepted another time either."""

    rejected: int = 0
    """Records of the batch that were not kept."""
    reason: str | None = None
    """Why, for people."""


class Sink(Protocol):
    """Take batches of records and keep them."""

    async def open(self) -> None:
        """Make the sink ready: connect, create or migrate the schema.

        Raises ``BackendUnavailable`` when it may succeed later (a locked file, a refused connection, a read-only
        directory) and ``BackendRejected`` when it will not (not a database, a schema newer than this program). Opening
        an open sink does nothing.
        """
        ...

    async def write(self, batch: Batch) -> Receipt | None:
        """Keep every record of the batch, or none of it.

        Returns None when all of it was kept. A sink that hands the batch on to somebody who takes it record by record
        says in a receipt how many of them were rejected.

        * Idempotent by identity: writing a record twice equals writing it once.
        * A later record wins field by field, only where it sets the field (a value other than the field's default).
        * A record with status ``running`` never overrides an ended one; it only fills what that one left unset.
          A status ``abandoned`` stands between the two: it overrides ``running``, and every ended one overrides it,
          whichever comes first. All of these rules are :func:`tracecore.records.merge`.
        * A sink without ``Capabilities.ledger`` may refuse ledger entries, and is sent none.
        * Returns after the data is durable by the backend's stated meaning, and is then visible to reads.
        * May be called again with the same batch after it failed. ``BackendUnavailable.retry_after`` says how many
          seconds to wait at least.
        * May be cancelled, when it takes too long; the batch is then written again. What a cancelled write still does
          must happen neither beside the next one nor after it.
        * Never called concurrently by one pump. Pumps of other processes may write to the same data meanwhile.

        Raises ``BackendUnavailable`` or ``BackendRejected``, nothing else.
        """
        ...

    async def maintain(self) -> bool:
        """Do one bounded slice of deferred work (search index, clean-up); return whether more remains.

        Called by the pump when there is nothing to write. A slice takes at most some tens of milliseconds.

        With ``Capabilities.ledger`` part of it is to find what was abandoned: an observation that still runs although
        the process that its ``provenance.service_instance_id`` names has ended, or was not seen for two minutes, by
        the ledger of its project. It becomes ``abandoned``, with the time from its start to the last moment at which
        that process was seen as its duration, and its trace follows. One that names no process, or one that the ledger
        does not know, is left alone.
        """
        ...

    async def close(self) -> None:
        """Let go of every file, thread and connection. Closing twice, or before opening, does nothing."""
        ...


class Page(Struct, Generic[T], frozen=True):
    """Hold one page of a list and the cursor of the next; ``next_cursor`` is None on the last page.

    One that is not the last may be shorter than was asked for: of observations with payloads, and of scores, it ends
    before the item with which it would be longer than ``LARGEST_PAGE_BYTES``.

    Cursors are opaque, name a position by key (never by count) and stay valid while records are added.
    """

    items: list[T]
    next_cursor: str | None = None


class LedgerTotals(Struct, frozen=True):
    """Hold the sums over processes: what their last entries say, less what they had said by some earlier time.

    ``waiting`` is how much waits, or waited when its process ended and was not recovered since. ``unbalanced`` counts
    the processes whose last entry does not prove itself; all others together do, if no time was named.
    """

    processes: int = 0
    ended: int = 0
    unbalanced: int = 0
    emitted: int = 0
    delivered: int = 0
    waiting: int = 0
    sampled: int = 0
    lost: dict[str, int] = {}
    """Only reasons for which something was lost."""
    recovered: int = 0
    restarts: int = 0


class TraceStore(Protocol):
    """Read traces: their attributes and roll-ups, recomputed whenever one of their observations is written.

    What a trace says follows from its observations alone, whatever the order in which they were written:
    :func:`tracecore.rollup.roll_up` is the rule.
    """

    async def find(self, project: str, query: TraceQuery) -> Page[Trace]:
        """Return one page of traces, without payloads (``input`` and ``output`` are ``ABSENT``).

        Raises ``BackendRejected`` for a cursor that this store did not make and for a limit out of range.
        """
        ...

    async def get(self, project: str, trace_id: str) -> Trace | None:
        """Return one trace with the input and output of its root, or None."""
        ...


class ObservationStore(Protocol):
    """Read observations."""

    async def find(self, project: str, query: ObservationQuery) -> Page[Observation]:
        """Return one page of observations. Raises as :meth:`TraceStore.find` does."""
        ...

    async def get(self, project: str, trace_id: str, span_id: str) -> Observation | None:
        """Return one observation with its payloads, or None."""
        ...

    async def tree(self, project: str, trace_id: str) -> list[Observation]:
        """Return every observation of a trace with payloads, by start then span id; empty when unknown."""
        ...


class SessionStore(Protocol):
    """Read sessions: the set of traces that carry one session id, and the session's own record."""

    async def find(self, project: str, query: SessionQuery) -> Page[Session]:
        """Return one page of sessions. Raises as :meth:`TraceStore.find` does."""
        ...

    async def get(self, project: str, session_id: str) -> Session | None:
        """Return one session, or None when neither a trace nor a session record names it."""
        ...


class ScoreStore(Protocol):
    """Read scores, whether or not what they judge is stored here."""

    async def find(self, project: str, query: ScoreQuery) -> Page[Score]:
        """Return one page of scores. Raises as :meth:`TraceStore.find` does."""
        ...

    async def get(self, project: str, score_id: str) -> Score | None:
        """Return one score, or None."""
        ...


class LedgerStore(Protocol):
    """Read the ledger: what became of everything that was recorded, process by process and minute by minute.

    The last entry of a process is that of its latest minute.
    """

    async def find(self, project: str, query: LedgerQuery) -> Page[LedgerEntry]:
        """Return one page of entries. Raises as :meth:`TraceStore.find` does."""
        ...

    async def totals(self, project: str, since_ns: int | None = None) -> LedgerTotals:
        """Return the sum over the last entry of each process.

        With ``since_ns``, over the processes that have an entry of a minute that began then or later, and of that what
        came after each one's last entry before: what happened in these minutes.
        """
        ...


class Rows(Struct, frozen=True):
    """Hold the answer to one SQL query; ``truncated`` says that more rows exist than were asked for."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool = False


class QueryConsole(Protocol):
    """Run a person's SQL over the documented views."""

    async def query(self, sql: str, *, limit: int = 1000, timeout: float = 30.0) -> Rows:
        """Run one read-only statement and return at most ``limit`` rows within ``timeout`` seconds.

        Raises ``BackendRejected`` for a statement that is wrong or would write, ``BackendUnavailable`` when the time is
        up.
        """
        ...


class Backend(Sink, Protocol):
    """A sink plus the stores that its capabilities declare; a store it lacks is None."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what this backend can do; constant for its lifetime."""
        ...

    @property
    def location(self) -> str:
        """Return where the data is: a path or a URL without credentials, the same for everybody who has this data.

        A journal writes it down, and delivers what a process left only to a backend of this location.
        """
        ...

    @property
    def traces(self) -> TraceStore | None:
        """Return the trace store."""
        ...

    @property
    def observations(self) -> ObservationStore | None:
        """Return the observation store."""
        ...

    @property
    def sessions(self) -> SessionStore | None:
        """Return the session store."""
        ...

    @property
    def scores(self) -> ScoreStore | None:
        """Return the score store."""
        ...

    @property
    def ledger(self) -> LedgerStore | None:
        """Return the ledger."""
        ...

    @property
    def sql(self) -> QueryConsole | None:
        """Return the SQL console."""
        ...


@runtime_checkable
class Repeatable(Protocol):
    """What a backend is besides, whose URL may mean another place once the program has changed its directory.

    Every pump has a backend of its own: a forked child's, and one that takes the place of another.
    """

    def another(self) -> Backend:
        """Return an unopened backend of the same data, with the same access."""
        ...


@runtime_checkable
class Replayable(Protocol):
    """What a sink without stores is besides, that can be read from beginning to end: to copy from it takes no more."""

    async def replay(self, project: str, *, cursor: str | None = None, limit: int = 100) -> Page[Record]:
        """Return some records of a project in the order in which they were written; later ones say what is new.

        Returns at most ``limit`` of them; called while it is open. The cursor of a page stays valid while records are
        added; one that this sink did not make is ``BackendRejected``.
        """
        ...


class SchemaStatus(Struct, frozen=True):
    """Say how far the schema of some data is behind this program."""

    version: int
    """The version that the data has; 0 where there is none yet."""
    newest: int
    """The version that this program makes of it."""
    pending: tuple[str, ...] = ()
    """The names of the migrations between the two, in their order."""


@runtime_checkable
class Migratable(Protocol):
    """What a backend is besides, whose data has a schema: opening it for writing brings that up to date."""

    async def schema(self) -> SchemaStatus:
        """Return what opening would do to the schema, and change nothing; called before ``open``.

        Raises as :meth:`Sink.open` does: for a schema newer than this program, too.
        """
        ...


@runtime_checkable
class Inspectable(Protocol):
    """What a backend is besides, that knows more of where its data is than a location: for who looks for a mistake."""

    async def facts(self) -> Mapping[str, str]:
        """Return facts by name, such as the server's version, without credentials; called while it is open."""
        ...


Access: TypeAlias = Literal["write", "read"]


class BackendFactory(Protocol):
    """Make a backend from a URL, without touching the disk or the network yet."""

    def __call__(self, url: str, *, access: Access = "write") -> Backend:
        """Return an unopened backend for ``url``.

        With ``access="read"`` nothing is created or changed, and ``write`` raises ``BackendRejected``. Raises
        ``ConfigError`` for a URL it cannot use and ``MissingDriver`` when its driver is not installed.
        """
        ...
