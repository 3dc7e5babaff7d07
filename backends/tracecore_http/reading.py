"""The stores of a tracecore server: each method is one request; what it answers is read within bounds."""

from __future__ import annotations

from typing import Any, Final, cast

from tracecore.backend import (
    LedgerQuery,
    LedgerTotals,
    ObservationQuery,
    Page,
    ScoreQuery,
    SessionQuery,
    TraceQuery,
)
from tracecore.errors import BackendRejected, Closed
from tracecore.measures import MeasureQuery, MeasureRow
from tracecore.records import LedgerEntry, Observation, Score, Session, Trace
from tracecore.wire import LARGEST_ANSWER, READS, Lookup, encode, encode_search
from tracecore_http.answers import understood, unpacked
from tracecore_http.meaning import problem_in
from tracecore_http.remote import Remote
from tracecore_http.transport import Answer

__all__ = [
    "RemoteLedger", "RemoteMeasures", "RemoteObservations", "RemoteScores", "RemoteSessions", "RemoteTraces",
]  # fmt: skip

_HEADERS: Final = [("content-type", "application/json")]
_ACCEPTED: Final = [("accept-encoding", "zstd")]


class _Store:
    """Ask one store of a server."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._headers = [*_HEADERS, *_ACCEPTED] if remote.has_zstd else _HEADERS

    async def _ask(self, store: str, method: str, question: bytes) -> Any:
        read, remote = READS[store, method], self._remote
        if not remote.is_open:
            raise Closed(f"{remote.location} is not open; open it first")

        def explain(answer: Answer) -> BackendRejected | None:
            problem = problem_in(answer)
            if problem is None or problem.title != "NoSuchRoute":
                return None
            return BackendRejected(f"{remote.location} knows no {store}", "bring that server up to date")

        answer = await remote.ask(read.path, question, headers=self._headers, most=LARGEST_ANSWER, explain=explain)
        answer = unpacked(answer, LARGEST_ANSWER, remote.location)
        if not answer.is_whole:
            raise BackendRejected(f"the answer of {remote.location} is too large", "ask for a shorter page")
        return understood(answer, read.answers, remote.location)


class RemoteTraces(_Store):
    """Read traces; see :class:`tracecore.backend.TraceStore`."""

    async def find(self, project: str, query: TraceQuery) -> Page[Trace]:
        """Return one page of traces, newest start first."""
        return cast("Page[Trace]", await self._ask("traces", "find", encode_search(project, query)))

    async def get(self, project: str, trace_id: str) -> Trace | None:
        """Return one trace with the input and output of its root, or None."""
        found = await self._ask("traces", "get", encode(Lookup(project, trace_id=trace_id)))
        return cast("Trace | None", found)


class RemoteObservations(_Store):
    """Read observations; see :class:`tracecore.backend.ObservationStore`."""

    async def find(self, project: str, query: ObservationQuery) -> Page[Observation]:
        """Return one page of observations, newest start first."""
        found = await self._ask("observations", "find", encode_search(project, query))
        return cast("Page[Observation]", found)

    async def get(self, project: str, trace_id: str, span_id: str) -> Observation | None:
        """Return one observation with its payloads, or None."""
        question = encode(Lookup(project, trace_id=trace_id, span_id=span_id))
        return cast("Observation | None", await self._ask("observations", "get", question))

    async def tree(self, project: str, trace_id: str) -> list[Observation]:
        """Return every observation of a trace, by start then span id."""
        question = encode(Lookup(project, trace_id=trace_id))
        return cast("list[Observation]", await self._ask("observations", "tree", question))


class RemoteSessions(_Store):
    """Read sessions; see :class:`tracecore.backend.SessionStore`."""

    async def find(self, project: str, query: SessionQuery) -> Page[Session]:
        """Return one page of sessions, the one with the most recently started trace first."""
        return cast("Page[Session]", await self._ask("sessions", "find", encode_search(project, query)))

    async def get(self, project: str, session_id: str) -> Session | None:
        """Return one session, or None when neither a trace nor a session record names it."""
        found = await self._ask("sessions", "get", encode(Lookup(project, session_id=session_id)))
        return cast("Session | None", found)


class RemoteScores(_Store):
    """Read scores; see :class:`tracecore.backend.ScoreStore`."""

    async def find(self, project: str, query: ScoreQuery) -> Page[Score]:
        """Return one page of scores, newest first."""
        return cast("Page[Score]", await self._ask("scores", "find", encode_search(project, query)))

    async def get(self, project: str, score_id: str) -> Score | None:
        """Return one score, or None."""
        return cast("Score | None", await self._ask("scores", "get", encode(Lookup(project, score_id=score_id))))


class RemoteLedger(_Store):
    """Read the ledger; see :class:`tracecore.backend.LedgerStore`."""

    async def find(self, project: str, query: LedgerQuery) -> Page[LedgerEntry]:
        """Return one page of entries, newest minute first."""
        return cast("Page[LedgerEntry]", await self._ask("ledger", "find", encode_search(project, query)))

    async def totals(self, project: str, since_ns: int | None = None) -> LedgerTotals:
        """Return the sum over the last entry of each process, less what it had said before ``since_ns``."""
        found = await self._ask("ledger", "totals", encode(Lookup(project, since_ns=since_ns)))
        return cast("LedgerTotals", found)


class RemoteMeasures(_Store):
    """Measure what a server keeps; see :class:`tracecore.measures.MeasureStore`."""

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Return the rows of the answer."""
        found = await self._ask("measures", "measure", encode_search(project, query))
        return cast("list[MeasureRow]", found)
