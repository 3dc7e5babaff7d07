"""The conformance suite of session stores: lists, pages, totals."""

from __future__ import annotations

from itertools import permutations
from typing import Final

import pytest
from msgspec.structs import replace

from tracecore.backend import Page, SessionQuery, TraceQuery
from tracecore.errors import BackendRejected
from tracecore.records import Observation, Record, Session, TraceAttributes
from tracecore.rollup import roll_up, roll_up_session
from tracecore.testing.comparing import same
from tracecore.testing.contract import HOSTILE_TEXTS, Contract
from tracecore.testing.opening import MakeBackend, opened, opened_with, pages_of, sessions_in, traces_in
from tracecore.testing.samples import (
    PROJECT,
    SECOND,
    START,
    generation,
    session,
    span,
    trace_id_of,
)
from tracecore.testing.trace_suite import FORGED_CURSORS

__all__ = ["SessionSuite"]


def _in_session(number: int, session_id: str, user_id: str | None = None, **fields: object) -> Observation:
    said = TraceAttributes(session_id=session_id, user_id=user_id)
    return span(number, within=number, after_s=number, trace=said, **fields)


_MIXED: Final[tuple[Record, ...]] = (
    _in_session(1, "a", "u1"),
    _in_session(2, "b", "u2"),
    _in_session(3, "a", "u2"),
    _in_session(4, "c"),
    span(5, within=5, after_s=4, trace=TraceAttributes(session_id="d")),
    span(6, within=6, after_s=9),
    session("own 1"),
    session("own 2", bookmarked=True),
    session("b", public=True, environment="staging"),
)
"""Sessions whose last traces begin at 3 (a), 2 (b), 4 (c and d); two without a trace; one trace without a session."""
_FILTERS: Final[tuple[tuple[SessionQuery, tuple[str, ...]], ...]] = (
    (SessionQuery(), ("d", "c", "a", "b", "own 2", "own 1")),
    (SessionQuery(user_id="u1"), ("a",)),
    (SessionQuery(user_id="u2"), ("a", "b")),
    (SessionQuery(user_id="nobody"), ()),
    (SessionQuery(since_ns=START + 3 * SECOND), ("d", "c", "a")),
    (SessionQuery(until_ns=START + 3 * SECOND), ("b",)),
    (SessionQuery(since_ns=START + 3 * SECOND, until_ns=START + 3 * SECOND + 1), ("a",)),
    (SessionQuery(since_ns=0), ("d", "c", "a", "b")),
    (SessionQuery(until_ns=2**62), ("d", "c", "a", "b")),
    (SessionQuery(user_id="u2", since_ns=START + 3 * SECOND), ("a",)),
)


class SessionSuite(Contract):
    """Prove that sessions are read as :class:`tracecore.backend.SessionStore` says."""

    async def test_every_filter_selects_the_sessions_it_names(self, make: MakeBackend) -> None:
        """SessionQuery: "the one whose last trace started most recently first, ties by session id descending"."""
        async with opened_with(make(), _MIXED) as backend:
            for query, expected in _FILTERS:
                page = await sessions_in(backend).find(PROJECT, query)
                same([one.session_id for one in page.items], list(expected), query)
                assert page.next_cursor is None, query

    async def test_pages_of_sessions_join(self, make: MakeBackend) -> None:
        """SessionQuery: "Sessions without a trace come last", also when a page ends before or between them."""
        async with opened_with(make(), _MIXED) as backend:
            for query, expected in _FILTERS:
                for limit in (1, 2, 4, 5, 1000):
                    asked = SessionQuery(
                        limit=limit, user_id=query.user_id, since_ns=query.since_ns, until_ns=query.until_ns
                    )
                    pages = await pages_of(sessions_in(backend).find, PROJECT, asked)
                    same([one.session_id for page in pages for one in page], list(expected), asked)
                    assert len(pages) == max(1, -(-len(expected) // limit)), asked

    async def test_pages_of_sessions_are_stable(self, make: MakeBackend) -> None:
        """Page: cursors "stay valid while records are added": a new session of before is found, a newer one is not."""
        async with opened_with(make(), [_in_session(n, f"s{n}") for n in range(10, 16)]) as backend:
            find = sessions_in(backend).find
            first = await find(PROJECT, SessionQuery(limit=2))
            await backend.write([_in_session(20, "new"), _in_session(1, "old"), _in_session(2, "s15")])
            rest = await pages_of(find, PROJECT, SessionQuery(limit=2, cursor=first.next_cursor))
        shown = [one.session_id for page in [first.items, *rest] for one in page]
        same(shown, ["s15", "s14", "s13", "s12", "s11", "s10", "old"])

    async def test_forged_cursors_and_limits_of_sessions_are_refused(self, make: MakeBackend) -> None:
        """SessionStore.find: "Raises as TraceStore.find does", also for the cursor of another list."""
        async with opened_with(make(), _MIXED) as backend:
            find = sessions_in(backend).find
            of_traces = (await traces_in(backend).find(PROJECT, TraceQuery(limit=1))).next_cursor
            for cursor in (*FORGED_CURSORS, of_traces):
                with pytest.raises(BackendRejected):
                    await find(PROJECT, SessionQuery(cursor=cursor))
            for limit in (0, -1, 1001):
                with pytest.raises(BackendRejected):
                    await find(PROJECT, SessionQuery(limit=limit))

    async def test_unknown_sessions_are_absent(self, make: MakeBackend) -> None:
        """SessionStore.get: "None when neither a trace nor a session record names it"."""
        async with opened_with(make(), _MIXED) as backend:
            for unknown in ("nowhere", "", "\0", "\ud800", "' OR 1=1"):
                assert await sessions_in(backend).get(PROJECT, unknown) is None
                assert await sessions_in(backend).get(unknown, "a") is None
                same(await sessions_in(backend).find(unknown, SessionQuery()), Page(list[Session]()))

    async def test_totals_follow_the_law_whatever_the_order(self, make: MakeBackend) -> None:
        """SessionStore: "the set of traces that carry one session id, and the session's own record"."""
        said = TraceAttributes(session_id="s", user_id="u1")
        traces: list[Observation] = [
            generation(1, within=1, trace=said, usage_details={"input": 3, "output": 4}, total_cost=0.5),
            generation(2, within=2, after_s=5, trace=TraceAttributes(session_id="s", user_id="u0"), status="error"),
            generation(3, within=3, after_s=-5, trace=TraceAttributes(session_id="s"), usage_details={"input": 1}),
        ]
        own = session("s", bookmarked=False, environment="production")
        rolled = [roll_up(PROJECT, record.trace_id, [record]) for record in traces]
        expected = roll_up_session(own, rolled)
        everything: list[Record] = [*traces, own]
        async with opened(make()) as backend:
            for number, order in enumerate(permutations(everything)):
                project = f"order {number}"
                for record in order:
                    await backend.write([replace(record, project=project)])
                found = await sessions_in(backend).get(project, "s")
                same(found, replace(expected, project=project))
                same(
                    (await sessions_in(backend).find(project, SessionQuery())).items,
                    [replace(expected, project=project)],
                )

    async def test_totals_that_are_written_are_ignored(self, make: MakeBackend) -> None:
        """Session: "Roll-up fields are computed by the store and ignored on write"."""
        made_up = session(
            "s", public=True, trace_count=9, user_ids=("x",), start_ns=5, total_cost=9.0, cost_known=False
        )
        async with opened_with(make(), [made_up]) as backend:
            same(await sessions_in(backend).get(PROJECT, "s"), session("s", public=True))

    async def test_a_session_record_merges(self, make: MakeBackend) -> None:
        """Sink.write: "A later record wins field by field, only where it sets the field", False being set."""
        async with opened_with(make(), [session("s", public=True, environment="production")]) as backend:
            await backend.write([session("s", public=False), session("s", bookmarked=True)])
            await backend.write([session("s")])
            expected = session("s", public=False, environment="production", bookmarked=True)
            same(await sessions_in(backend).get(PROJECT, "s"), expected)

    async def test_a_trace_can_change_its_session(self, make: MakeBackend) -> None:
        """SessionStore: a session is "the set of traces that carry" its id: it loses a trace that goes elsewhere."""
        begun = span(1, status="running", trace=TraceAttributes(session_id="before"))
        async with opened_with(make(), [begun, session("kept")]) as backend:
            await backend.write([span(1, trace=TraceAttributes(session_id="after"))])
            assert await sessions_in(backend).get(PROJECT, "before") is None
            listed = (await sessions_in(backend).find(PROJECT, SessionQuery())).items
            assert [one.session_id for one in listed] == ["after", "kept"]
            assert [one.trace_count for one in listed] == [1, 0]

    async def test_sessions_of_projects_stay_apart(self, make: MakeBackend) -> None:
        """Backend: "Every read names its project": the same session id of another project is another session."""
        theirs = span(1, project="other", trace=TraceAttributes(session_id="a", user_id="x"))
        async with opened_with(make(), [*_MIXED, theirs, session("own 1", project="other", public=True)]) as backend:
            mine = await sessions_in(backend).get(PROJECT, "a")
            assert mine is not None
            assert (mine.trace_count, mine.user_ids) == (2, ("u1", "u2"))
            listed = (await sessions_in(backend).find("other", SessionQuery())).items
            assert [(one.session_id, one.user_ids, one.public) for one in listed] == [
                ("a", ("x",), None),
                ("own 1", (), True),
            ]
            same(await sessions_in(backend).get(PROJECT, "own 1"), session("own 1"))

    async def test_session_and_user_ids_are_any_text(self, make: MakeBackend) -> None:
        """SessionStore: ids are texts of any kind; every one of them is listed, paged past and found."""
        records = [_in_session(number, text, text) for number, text in enumerate(HOSTILE_TEXTS, 1)]
        async with opened_with(make(), records) as backend:
            pages = await pages_of(sessions_in(backend).find, PROJECT, SessionQuery(limit=1))
            same([one.session_id for page in pages for one in page], list(reversed(HOSTILE_TEXTS)))
            for number, text in enumerate(HOSTILE_TEXTS, 1):
                found = await sessions_in(backend).get(PROJECT, text)
                rolled = roll_up(PROJECT, trace_id_of(number), [_in_session(number, text, text)])
                same(found, roll_up_session(session(text), [rolled]))
                same((await sessions_in(backend).find(PROJECT, SessionQuery(user_id=text))).items, [found])

    async def test_sums_of_a_session_do_not_overflow(self, make: MakeBackend) -> None:
        """records.usage_totals: each number is cut "so that no sum over them overflows"."""
        records = [
            generation(n, within=n, trace=TraceAttributes(session_id="s"), usage_details={"input": 2**80})
            for n in range(1, 200)
        ]
        rolled = [roll_up(PROJECT, record.trace_id, [record]) for record in records]
        async with opened_with(make(), records) as backend:
            same(await sessions_in(backend).get(PROJECT, "s"), roll_up_session(session("s"), rolled))
