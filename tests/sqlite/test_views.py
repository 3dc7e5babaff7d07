"""The views that people query say what the stores say, for recent and settled traces, and are documented in full."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tests.sqlite.files import asked, keep, opened
from tests.sqlite.test_equivalence import written
from tracecore.backend import ObservationQuery, SessionQuery, TraceQuery
from tracecore.records import (
    ErrorInfo,
    Generation,
    LedgerEntry,
    Record,
    Score,
    Session,
    Span,
    Trace,
    TraceAttributes,
    usage_totals,
)
from tracecore.rollup import failed
from tracecore.testing.strategies import records
from tracecore_sql.views import VIEWS
from tracecore_sqlite import SqliteBackend, settling

Row = dict[str, Any]
PROJECTS = ("p", "q")


def iso(ns: int) -> str:
    """Return a time as the views write it."""
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def same(value: Any) -> Any:
    """Return a value in the form in which both sides are compared: text as bytes, payloads as their JSON."""
    if isinstance(value, Raw):
        return bytes(value) or None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value


def about(span: Span) -> Row:
    """Return what a view says of any observation, from its record."""
    said, error = span.trace, span.error
    return {
        "project": span.project, "trace_id": span.trace_id, "span_id": span.span_id, "parent_id": span.parent_id,
        "type": span.type, "name": span.name, "start": iso(span.start_ns), "start_ns": span.start_ns,
        "duration_ms": None if span.duration_ns is None else span.duration_ns / 1e6, "duration_ns": span.duration_ns,
        "status": span.status, "level": span.level, "status_message": span.status_message,
        "is_error": int(failed(span)), "user_id": said.user_id, "session_id": said.session_id,
        "trace_name": said.name, "release": said.release, "environment": said.environment,
        "version": said.version if span.version is None else span.version, "input": span.input, "output": span.output,
        "metadata": span.metadata, "trace_metadata": said.metadata,
        "error_stack": None if error is None else error.stack or None,
    }  # fmt: skip


def about_call(call: Generation) -> Row:
    """Return what the view of generations says besides."""
    read, written_, total = usage_totals(call.usage_details)
    used = call.usage_details is not None
    first = None if call.completion_start_ns is None else (call.completion_start_ns - call.start_ns) / 1e6
    return {
        **about(call), "model": call.model, "model_parameters": call.model_parameters,
        "input_tokens": read if used else None, "output_tokens": written_ if used else None,
        "total_tokens": total if used else None, "total_cost": call.total_cost, "time_to_first_token_ms": first,
        "prompt_name": call.prompt_name, "prompt_version": call.prompt_version,
    }  # fmt: skip


def totals(of: Trace | Session) -> Row:
    """Return the sums that traces and sessions have in common."""
    return {
        "observation_count": of.observation_count, "error_count": of.error_count, "input_tokens": of.input_tokens,
        "output_tokens": of.output_tokens, "total_tokens": of.total_tokens, "total_cost": of.total_cost,
        "cost_known": int(of.cost_known),
    }  # fmt: skip


def about_trace(trace: Trace) -> Row:
    """Return what the view of traces says, from its record."""
    said = trace.attributes
    return {
        "project": trace.project, "trace_id": trace.trace_id, "name": trace.name, "start": iso(trace.start_ns),
        "start_ns": trace.start_ns, "duration_ms": trace.duration_ns / 1e6, "duration_ns": trace.duration_ns,
        "user_id": said.user_id, "session_id": said.session_id, "release": said.release, "version": said.version,
        "environment": said.environment, "public": None if said.public is None else int(said.public),
        "metadata": said.metadata, "running": trace.running, **totals(trace), "root_id": trace.root_id,
        "input": trace.input, "output": trace.output,
    }  # fmt: skip


def about_session(session: Session) -> Row:
    """Return what the view of sessions says, from its record."""
    start, end = session.start_ns, session.end_ns
    return {
        "project": session.project, "session_id": session.session_id, "start": None if start is None else iso(start),
        "start_ns": start, "duration_ms": None if start is None or end is None else (end - start) / 1e6,
        "trace_count": session.trace_count, **totals(session), "environment": session.environment,
        "public": None if session.public is None else int(session.public),
        "bookmarked": None if session.bookmarked is None else int(session.bookmarked),
    }  # fmt: skip


async def view(backend: SqliteBackend, name: str) -> list[Row]:
    """Return the rows of a view, through the console that people use."""
    found = await backend.sql.query("SELECT * FROM " + name, limit=10_000)  # noqa: S608 - one of our views
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def agree(rows: list[Row], expected: list[Row]) -> None:
    """Assert that the rows of a view are those expected, in the columns that the expected ones have."""
    assert len(rows) == len(expected)
    columns = list(expected[0]) if expected else []
    shown = sorted([[same(row[name]) for name in columns] for row in rows], key=repr)
    assert shown == sorted([[same(row[name]) for name in columns] for row in expected], key=repr)


async def views_agree(path: Path) -> None:
    """Assert that every view of a file says what the stores say."""
    async with opened(path, "read") as backend:
        spans: list[Span] = []
        traces: list[Trace] = []
        sessions: list[Session] = []
        for project in PROJECTS:
            found = await backend.observations.find(project, ObservationQuery(limit=1000, bodies=True))
            spans += found.items
            listed = (await backend.traces.find(project, TraceQuery(limit=1000))).items
            whole = [await backend.traces.get(project, trace.trace_id) for trace in listed]
            traces += [trace for trace in whole if trace is not None]
            sessions += (await backend.sessions.find(project, SessionQuery(limit=1000))).items
        agree(await view(backend, "spans"), [about(span) for span in spans])
        calls = [span for span in spans if isinstance(span, Generation)]
        agree(await view(backend, "generations"), [about_call(call) for call in calls])
        agree(await view(backend, "traces"), [about_trace(trace) for trace in traces])
        agree(await view(backend, "sessions"), [about_session(session) for session in sessions])


async def settle(path: Path) -> None:
    """Settle every trace of a file."""
    async with opened(path) as backend:
        while await backend.maintain():
            pass
    assert asked(path, "SELECT count(*) FROM tc_traces WHERE settled IS NULL") == [(0,)]


def settling_everything() -> pytest.MonkeyPatch:
    """Make the next settling leave no trace recent."""
    patch = pytest.MonkeyPatch()
    patch.setattr(settling, "_KEPT", 0)
    patch.setattr(settling, "_SLICE", 1)
    return patch


@settings(max_examples=20)
@given(st.lists(records, min_size=1, max_size=10), st.lists(records, max_size=4))
def test_views_say_what_the_stores_say(batch: list[Record], more: list[Record]) -> None:
    """Recent traces, settled ones and those that change once they are settled read the same in views and stores."""
    with written([batch]) as path:
        asyncio.run(views_agree(path))
        patch = settling_everything()
        asyncio.run(settle(path))
        patch.undo()
        asyncio.run(views_agree(path))
        asyncio.run(_write(path, more))
        asyncio.run(views_agree(path))


async def _write(path: Path, batch: list[Record]) -> None:
    async with opened(path) as backend:
        await backend.write(batch)


@pytest.mark.parametrize("name", VIEWS)
async def test_columns_are_documented(tmp_path: Path, name: str) -> None:
    """Each view has the documented columns in the documented order, and no other."""
    path = await keep(tmp_path / "a.db")
    columns = [row[1] for row in asked(path, f"PRAGMA table_info({name})")]
    assert columns == list(VIEWS[name])
    assert all(meaning.strip() for meaning in VIEWS[name].values())


async def test_no_view_is_undocumented(tmp_path: Path) -> None:
    """The views of a file are the documented ones."""
    path = await keep(tmp_path / "a.db")
    assert {name for (name,) in asked(path, "SELECT name FROM sqlite_master WHERE type = 'view'")} == set(VIEWS)


async def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    """Tags, users, usage, costs and errors are JSON that SQLite's own functions read."""
    path = tmp_path / "a.db"
    await keep(path, *_told())
    assert asked(path, "SELECT json_extract(tags, '$[1]') FROM traces") == [("b,c",)]
    assert asked(path, "SELECT json_extract(usage, '$.input'), json_extract(costs, '$.input') FROM generations") == [
        (3, 0.5)
    ]
    assert asked(path, "SELECT error_type, error_message, error_stack, is_error FROM spans WHERE is_error") == [
        ("ValueError", "no such city", "line 1", 1)
    ]
    ((users, count, cost, known),) = asked(path, "SELECT user_ids, trace_count, total_cost, cost_known FROM sessions")
    assert (json.loads(users), count, cost, known) == (["u"], 1, 0.5, 1)


def _told() -> list[Record]:
    said = TraceAttributes(user_id="u", session_id="s", tags=("a", "b,c"))
    wrong = ErrorInfo("ValueError", "no such city", "line 1")
    return [
        Span("p", "1" * 32, "1" * 16, "n", 1, status="error", error=wrong, trace=said, duration_ns=5),
        Generation(
            "p", "1" * 32, "2" * 16, "call", 2, "1" * 16, "generation", 3, trace=said, model="m",
            usage_details={"input": 3}, cost_details={"input": 0.5}, total_cost=0.5,
        ),
    ]  # fmt: skip


async def test_scores(tmp_path: Path) -> None:
    """A score is read as it was written, field by field."""
    score = Score(
        "p", "c", "helpful", 1_700_000_000_123_456_789, "CATEGORICAL", None, "very", "ANNOTATION", "1" * 32, "2" * 16,
        "s", "e", "why not", Raw(b'{"a":1}'), "cfg", "production", "ada", "queue", "3" * 32,
    )  # fmt: skip
    path = await keep(tmp_path / "a.db", score, Score("p", "d", "n", 5, value=0.25))
    async with opened(path, "read") as backend:
        rows = {row["score_id"]: row for row in await view(backend, "scores")}
    shown = {name: getattr(score, name) for name in VIEWS["scores"] if name != "time"}
    assert rows["c"] == {**shown, "time": "2023-11-14T22:13:20.123456Z", "metadata": '{"a":1}'}
    assert (rows["d"]["value"], rows["d"]["data_type"], rows["d"]["source"]) == (0.25, "NUMERIC", "API")


async def test_the_ledger(tmp_path: Path) -> None:
    """An entry is read as it was written, with its times as text; what it does not say is NULL, lost is an object."""
    full = LedgerEntry(
        "p", "one", 60 * 10**9, 61 * 10**9 + 1000, 9, 4, 1, 2, {"rejected": 3, "a b": 1}, 5, 6, "host", 7, "shop",
        10**9, ended=True,
    )  # fmt: skip
    path = await keep(tmp_path / "a.db", full, LedgerEntry("p", "two", 0))
    async with opened(path, "read") as backend:
        one, two = sorted(await view(backend, "ledger"), key=lambda row: row["process"])
        losses = await view(backend, "losses")
    names = [name for name in VIEWS["ledger"] if name in full.__struct_fields__ and name != "lost"]
    assert {name: one[name] for name in names} == {name: getattr(full, name) for name in names}
    times = [one["minute"], one["seen"], one["started"]]
    assert times == ["1970-01-01T00:01:00.000000Z", "1970-01-01T00:01:01.000001Z", "1970-01-01T00:00:01.000000Z"]
    assert (json.loads(one["lost"]), one["lost_count"], one["unaccounted"]) == (full.lost, 4, 0)
    assert (two["lost"], two["started"], two["started_ns"], two["host"], two["ended"]) == ("{}", None, None, None, 0)
    about = {"project": "p", "process": "one", "minute": times[0], "minute_ns": 60 * 10**9, "host": "host"}
    assert sorted(losses, key=lambda row: row["reason"]) == [
        {**about, "reason": "a b", "lost": 1, "service_name": "shop"},
        {**about, "reason": "rejected", "lost": 3, "service_name": "shop"},
    ]


async def test_times_to_the_last_digit(tmp_path: Path) -> None:
    """ISO times keep microseconds with their zeros, before and after each full second, and sort as the numbers do."""
    starts = [0, 1, 999, 1_000, 999_999_999, 1_000_000_000, 1_000_000_001, 1_700_000_000_000_001_000, 2**62]
    spans = [Span("p", f"{number:032x}", "1" * 16, "n", start, duration_ns=0) for number, start in enumerate(starts)]
    path = await keep(tmp_path / "a.db", *spans)
    rows = asked(path, "SELECT start FROM spans ORDER BY start_ns")
    assert [start for (start,) in rows] == [iso(start) for start in starts]
    assert rows == sorted(rows)
