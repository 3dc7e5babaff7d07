"""The conformance suite of SQL consoles: a person reads the views, and can do nothing else."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import pytest

from tracecore.backend import Backend
from tracecore.errors import BackendRejected, BackendUnavailable
from tracecore.records import Record, TraceAttributes
from tracecore.testing.comparing import same
from tracecore.testing.contract import Contract
from tracecore.testing.opening import MakeBackend, opened, opened_with, sql_of
from tracecore.testing.samples import (
    MINUTE,
    PROJECT,
    START,
    entry,
    event,
    full_generation,
    generation,
    json_of,
    score,
    session,
    span,
    span_id_of,
    trace_id_of,
)

__all__ = ["SqlSuite"]

_VIEWS: Final[dict[str, frozenset[str]]] = {
    "spans": frozenset((
        "project", "trace_id", "span_id", "parent_id", "type", "name", "start", "start_ns", "duration_ms",
        "duration_ns", "status", "level", "status_message", "is_error", "error_type", "error_message", "user_id",
        "session_id", "trace_name", "tags", "release", "environment", "version", "input", "output", "metadata", "model",
        "total_tokens", "total_cost",
    )),
    "generations": frozenset((
        "project", "trace_id", "span_id", "name", "model", "model_parameters", "input_tokens", "output_tokens",
        "total_tokens", "usage", "total_cost", "costs", "time_to_first_token_ms", "prompt_name", "prompt_version",
    )),
    "traces": frozenset((
        "project", "trace_id", "name", "start", "start_ns", "duration_ms", "duration_ns", "user_id", "session_id",
        "tags", "release", "version", "environment", "public", "metadata", "running", "observation_count",
        "error_count", "input_tokens", "output_tokens", "total_tokens", "total_cost", "cost_known", "root_id",
        "input", "output",
    )),
    "sessions": frozenset((
        "project", "session_id", "start", "start_ns", "last_start", "duration_ms", "trace_count", "user_ids",
        "observation_count", "error_count", "input_tokens", "output_tokens", "total_tokens", "total_cost", "cost_known",
        "environment", "public", "bookmarked",
    )),
    "scores": frozenset((
        "project", "score_id", "name", "time", "timestamp_ns", "data_type", "value", "string_value", "source",
        "trace_id", "observation_id", "session_id", "experiment_id", "comment", "metadata", "environment",
        "author_user_id",
    )),
    "ledger": frozenset((
        "project", "process", "minute", "minute_ns", "seen", "seen_ns", "emitted", "delivered", "waiting", "sampled",
        "lost_count", "lost", "unaccounted", "recovered", "restarts", "host", "pid", "service_name", "started",
        "started_ns", "ended",
    )),
    "losses": frozenset((
        "project", "process", "minute", "minute_ns", "reason", "lost", "host", "service_name",
    )),
}  # fmt: skip
"""The documented views, and columns that each has had since the first version: a view only grows."""
_WRITING: Final[tuple[str, ...]] = (
    "delete from spans", "update spans set name = 'x'", "insert into scores (score_id) values ('x')", "drop view spans",
    "create table t (a int)", "create view v as select 1", "alter table spans rename to t", "begin", "commit", "vacuum",
    "select 1; delete from spans", "with x as (select 1) delete from spans",
)  # fmt: skip
_WRONG: Final[tuple[str, ...]] = (
    "", ";", "--", "selec 1", "select", "select nothing from spans", "select * from nowhere", "select 1; select 2",
    "select '", "select \0", "select '\ud800'", "(" * 5000,
)  # fmt: skip


class SqlSuite(Contract):
    """Prove ``Capabilities.sql``: "Backend.sql runs read-only SQL over the documented views"."""

    endless: ClassVar[str] = (
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 1000000000) select count(*) from n"
    )
    """A statement that takes longer than any test waits; for another dialect say another."""

    async def test_every_view_has_its_columns(self, make: MakeBackend) -> None:
        """QueryConsole: "a person's SQL over the documented views"."""
        async with opened_with(make(), [span(1)]) as backend:
            for view, columns in _VIEWS.items():
                answer = await sql_of(backend).query(f"select * from {view}")  # noqa: S608 - a name of this file
                assert columns <= set(answer.columns), (view, columns - set(answer.columns))
                assert len(answer.columns) == len(set(answer.columns)), view

    async def test_views_say_what_was_written(self, make: MakeBackend) -> None:
        """QueryConsole: views hold what the records say: ids, times in ns, JSON text, NULL for what is not known."""
        records = [full_generation(1), span(2, after_s=1, status="running"), event(3)]
        async with opened_with(make(), records) as backend:
            columns = "span_id, type, start_ns, duration_ns, status, is_error, user_id, input"
            assert await _rows(backend, f"select {columns} from spans order by span_id") == [  # noqa: S608 - names of here
                (span_id_of(1), "embedding", START, 10**9, "error", 1, "user-1", '{"question": "why?"}'),
                (span_id_of(2), "span", START + 10**9, None, "running", 0, None, None),
                (span_id_of(3), "event", START, 0, "ok", 0, None, None),
            ]
            model = "select model, input_tokens, output_tokens, total_tokens, total_cost, prompt_name from generations"
            assert await _rows(backend, model) == [("gpt-x", 12, 5, 17, 0.75, "greet")]
            trace = "select trace_id, name, observation_count, running, error_count, session_id, total_cost from traces"
            assert await _rows(backend, trace) == [(trace_id_of(1), "chat", 3, 1, 1, "session-1", 0.75)]
            assert await _rows(backend, "select session_id, trace_count, user_ids from sessions") == [
                ("session-1", 1, '["user-1"]')
            ]

    async def test_scores_merge_like_every_record(self, make: MakeBackend) -> None:
        """Sink.write: scores too: "A later record wins field by field, only where it sets the field"."""
        first = score("c", value=0.0, comment="first", trace_id=trace_id_of(1), metadata=json_of({"a": 1}))
        later = score("c", name="renamed", timestamp_ns=START + 1, data_type="BOOLEAN", source="EVAL")
        columns = "name, timestamp_ns, data_type, value, source, comment, trace_id, metadata"
        expected = ("renamed", START + 1, "BOOLEAN", 0.0, "EVAL", "first", trace_id_of(1), '{"a": 1}')
        batches: tuple[list[Record], ...] = ([first, later], [later], [score("other", project="other")])
        async with opened_with(make(), batches[0]) as backend:
            for batch in batches[1:]:
                await backend.write(batch)
            sql = f"select {columns} from scores where project = '{PROJECT}'"  # noqa: S608 - names of this file
            assert await _rows(backend, sql) == [expected]

    async def test_sessions_without_traces_are_in_their_view(self, make: MakeBackend) -> None:
        """Session: a session is its own record and the traces that carry its id, either of which may be missing."""
        records: list[Record] = [
            session("own", bookmarked=True),
            session("both", public=True),
            span(1, trace=TraceAttributes(session_id="both")),
            generation(2, within=2, trace=TraceAttributes(session_id="traced"), total_cost=0.5),
        ]
        async with opened_with(make(), records) as backend:
            found = await _rows(
                backend,
                "select session_id, trace_count, total_cost, public, bookmarked from sessions order by session_id",
            )
        assert found == [("both", 1, None, 1, None), ("own", 0, None, None, 1), ("traced", 1, 0.5, None, None)]

    async def test_the_ledger_can_be_asked(self, make: MakeBackend) -> None:
        """QueryConsole: what became of every record, and what was lost in each minute, where a ledger is kept."""
        entries: list[Record] = [
            entry("a", emitted=9, delivered=4, waiting=2, lost={"ring_full": 3}, sampled=1, host="h", started_ns=START),
            entry("a", minute=2, emitted=20, delivered=10, lost={"ring_full": 3, "rejected": 6}, ended=True),
            entry("a", minute=3, emitted=20, delivered=10, lost={"ring_full": 4, "rejected": 6}, restarts=1),
            entry("b", minute=1, lost={"closing": 0}, recovered=7),
        ]
        async with opened_with(make(), entries if self.expected.ledger else []) as backend:
            counts = "emitted, delivered, waiting, lost_count, unaccounted, sampled, recovered, restarts, ended"
            found = await _rows(backend, f"select process, {counts} from ledger order by process, minute_ns")  # noqa: S608 - names of here
            lost = await _rows(
                backend, "select process, minute_ns, reason, lost from losses order by minute_ns, reason"
            )
        expected = [
            ("a", 9, 4, 2, 3, 0, 1, 0, 0, 0), ("a", 20, 10, 0, 9, 1, 0, 0, 0, 1), ("a", 20, 10, 0, 10, 0, 0, 0, 1, 0),
            ("b", 0, 0, 0, 0, 0, 0, 7, 0, 0),
        ]  # fmt: skip
        begun = START - START % MINUTE
        losses = [("a", begun, "ring_full", 3), ("a", begun + 2 * MINUTE, "rejected", 6)]
        losses.append(("a", begun + 3 * MINUTE, "ring_full", 1))
        assert (found, lost) == ((expected, losses) if self.expected.ledger else ([], []))

    async def test_nothing_can_be_written(self, make: MakeBackend) -> None:
        """QueryConsole.query: BackendRejected "for a statement that … would write"; and nothing is changed."""
        async with opened_with(make(), [span(1)]) as backend:
            for statement in _WRITING:
                with pytest.raises(BackendRejected):
                    await sql_of(backend).query(statement)
            assert await _rows(backend, "select count(*), max(name) from spans") == [(1, "work 1")]
            await backend.write([span(2)])
            assert await _rows(backend, "select count(*) from spans") == [(2,)]

    async def test_a_wrong_statement_is_refused(self, make: MakeBackend) -> None:
        """QueryConsole.query: "Raises BackendRejected for a statement that is wrong", whatever is wrong with it."""
        async with opened_with(make(), [span(1)]) as backend:
            for statement in _WRONG:
                with pytest.raises(BackendRejected):
                    await sql_of(backend).query(statement)
            assert await _rows(backend, "select 1") == [(1,)]

    async def test_rows_are_limited_and_the_answer_says_so(self, make: MakeBackend) -> None:
        """Rows.truncated: "more rows exist than were asked for"; never more than ``limit`` rows are returned."""
        async with opened_with(make(), [span(n) for n in range(1, 6)]) as backend:
            for limit, truncated in ((1, True), (4, True), (5, False), (6, False), (1000, False)):
                answer = await sql_of(backend).query("select span_id from spans order by span_id", limit=limit)
                assert answer.truncated is truncated, limit
                same(answer.rows, [(span_id_of(n),) for n in range(1, min(limit, 5) + 1)])
                assert answer.columns == ["span_id"]
            with pytest.raises(BackendRejected):
                await sql_of(backend).query("select 1", limit=0)

    async def test_a_statement_ends_when_its_time_is_up(self, make: MakeBackend) -> None:
        """QueryConsole.query: "BackendUnavailable when the time is up"; the next statement runs as ever."""
        async with opened_with(make(), [span(1)]) as backend:
            with pytest.raises(BackendUnavailable):
                await sql_of(backend).query(self.endless, timeout=0.05)
            assert await _rows(backend, "select count(*) from spans") == [(1,)]
            await backend.write([span(2)])

    async def test_what_was_just_written_is_in_the_views(self, make: MakeBackend, make_reader: MakeBackend) -> None:
        """Sink.write: what was written "is then visible to reads", for a person's SQL as for everybody."""
        async with opened_with(make(), []) as backend, opened(make_reader()) as reader:
            for number in range(1, 4):
                await backend.write([span(number)])
                for one in (backend, reader):
                    assert await _rows(one, "select count(*) from spans") == [(number,)]


async def _rows(backend: Backend, sql: str) -> list[tuple[Any, ...]]:
    return (await sql_of(backend).query(sql)).rows
