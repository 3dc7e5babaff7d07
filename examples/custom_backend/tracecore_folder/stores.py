"""Reading: everything of a project is read and chosen from, by the conditions of ``tracecore.selection``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from msgspec.structs import replace

from tracecore import selection
from tracecore.backend import ObservationQuery, Page, ScoreQuery, SessionQuery, TraceQuery
from tracecore.records import ABSENT, Observation, Score, Session, Trace
from tracecore.rollup import roll_up, roll_up_session
from tracecore_folder.folder import Folder, on_a_thread

P = ParamSpec("P")
T = TypeVar("T")


class Reading:
    """Run reads of an open folder on a thread; what went wrong is told by ``run``."""

    def __init__(self, folder: Folder, run: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]) -> None:
        self.folder = folder
        self._run = run

    async def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns that blocks."""
        return await self._run(lambda: on_a_thread(function, *args, **kwargs))


class FolderTraces:
    """Read traces; see ``tracecore.backend.TraceStore``."""

    def __init__(self, read: Reading) -> None:
        self._read = read

    async def find(self, project: str, query: TraceQuery) -> Page[Trace]:
        """Return one page of traces, newest start first."""
        spans = await self._read(self._read.folder.traces, project)
        found = [
            replace(trace, input=ABSENT, output=ABSENT)
            for trace in (roll_up(project, trace_id, own) for trace_id, own in spans.items())
            if selection.trace_matches(trace, query)
            and (query.search is None or selection.any_says(spans[trace.trace_id], query.search))
        ]
        return selection.page_of("folder traces", found, lambda trace: (trace.start_ns, trace.trace_id), query)

    async def get(self, project: str, trace_id: str) -> Trace | None:
        """Return one trace with the input and output of its root, or None."""
        spans = await self._read(self._read.folder.trace, project, trace_id)
        return roll_up(project, trace_id, spans) if spans else None


class FolderObservations:
    """Read observations; see ``tracecore.backend.ObservationStore``."""

    def __init__(self, read: Reading) -> None:
        self._read = read

    async def find(self, project: str, query: ObservationQuery) -> Page[Observation]:
        """Return one page of observations, newest start first."""
        if query.trace_id is None:
            spans = [one for own in (await self._read(self._read.folder.traces, project)).values() for one in own]
        else:
            spans = await self._read(self._read.folder.trace, project, query.trace_id)
        found = [one for one in spans if selection.observation_matches(one, query)]
        if not query.bodies:
            found = [selection.without_payloads(one) for one in found]
        return selection.page_of("folder observations", found, _place, query, selection.length_of_observation)

    async def get(self, project: str, trace_id: str, span_id: str) -> Observation | None:
        """Return one observation with its payloads, or None."""
        spans = await self._read(self._read.folder.trace, project, trace_id)
        return next((span for span in spans if span.span_id == span_id), None)

    async def tree(self, project: str, trace_id: str) -> list[Observation]:
        """Return every observation of a trace, by start then span id."""
        spans = await self._read(self._read.folder.trace, project, trace_id)
        return sorted(spans, key=lambda span: (span.start_ns, span.span_id))


class FolderSessions:
    """Read sessions; see ``tracecore.backend.SessionStore``."""

    def __init__(self, read: Reading) -> None:
        self._read = read

    async def find(self, project: str, query: SessionQuery) -> Page[Session]:
        """Return one page of sessions, the one with the most recently started trace first."""
        found = [
            (last_start, session)
            for last_start, session in (await self._read(self._all, project)).values()
            if selection.session_matches(session, last_start, query)
        ]
        page = selection.page_of("folder sessions", found, lambda entry: (entry[0], entry[1].session_id), query)
        return Page([session for _, session in page.items], page.next_cursor)

    async def get(self, project: str, session_id: str) -> Session | None:
        """Return one session, or None when neither a trace nor a session record names it."""
        _, session = (await self._read(self._all, project)).get(session_id, (None, None))
        return session

    def _all(self, project: str) -> dict[str, tuple[int | None, Session]]:
        """Return every session with the start of its last trace."""
        own = self._read.folder.sessions(project)
        traces: dict[str, list[Trace]] = {session_id: [] for session_id in own}
        for trace_id, spans in self._read.folder.traces(project).items():
            trace = roll_up(project, trace_id, spans)
            if trace.attributes.session_id is not None:
                traces.setdefault(trace.attributes.session_id, []).append(trace)
        return {
            session_id: (
                max((trace.start_ns for trace in its_own), default=None),
                roll_up_session(own.get(session_id) or Session(project, session_id), its_own),
            )
            for session_id, its_own in traces.items()
        }


class FolderScores:
    """Read scores; see ``tracecore.backend.ScoreStore``."""

    def __init__(self, read: Reading) -> None:
        self._read = read

    async def find(self, project: str, query: ScoreQuery) -> Page[Score]:
        """Return one page of scores, newest timestamp first."""
        scores = (await self._read(self._read.folder.scores, project)).values()
        found = [score for score in scores if selection.score_matches(score, query)]
        return selection.page_of(
            "folder scores", found, lambda score: (score.timestamp_ns, score.score_id), query, selection.length_of_score
        )

    async def get(self, project: str, score_id: str) -> Score | None:
        """Return one score, or None."""
        return (await self._read(self._read.folder.scores, project)).get(score_id)


def _place(span: Observation) -> tuple[int, str, str]:
    """Return where an observation stands in lists."""
    return span.start_ns, span.span_id, span.trace_id
