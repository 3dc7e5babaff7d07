"""A batch costs a bounded number of statements: each row that is stepped to gives the GIL up once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.sqlite.files import opened, span
from tracecore.records import Generation, Record, Score, Session, Span, TraceAttributes
from tracecore_sqlite import SqliteBackend

MOST_STATEMENTS = 48
"""Two tables, a handful of sizes of which at most three are needed each, and the roll-up; whatever the batch holds."""

Count = Callable[[list[Record]], Awaitable[int]]


def of_one_trace(count: int) -> list[Record]:
    """Return spans of one trace."""
    return [span(number, trace=count) for number in range(1, count + 1)]


def of_many_traces(count: int) -> list[Record]:
    """Return spans of a trace, a user and a session each."""
    return [
        replace(span(number), trace=TraceAttributes(user_id=f"u{number}", session_id=f"s{number}", tags=("a",)))
        for number in range(1, count + 1)
    ]


def of_every_kind(count: int) -> list[Record]:
    """Return a third of generations, scores and sessions each."""
    made: list[Record] = []
    for number in range(1, max(1, count // 3) + 1):
        plain = span(number)
        made += [
            Generation(plain.project, plain.trace_id, plain.span_id, "call", number, usage_details={"input": number}),
            Score("default", f"score {number}", "good", number, value=1.0, trace_id=plain.trace_id),
            Session("default", f"s{number}", public=True),
        ]
    return made


async def counted(backend: SqliteBackend, batch: list[Record]) -> int:
    """Write a batch and return how many statements that took; those of triggers are comments."""
    said: list[str] = []
    assert backend._writing is not None
    backend._writing.raw.set_trace_callback(said.append)
    await backend.write(batch)
    backend._writing.raw.set_trace_callback(None)
    return sum(not statement.startswith("--") for statement in said)


@pytest.mark.parametrize("make", [of_one_trace, of_many_traces, of_every_kind])
@pytest.mark.parametrize("count", [1, 2, 15, 63, 255, 511, 512, 1023])
async def test_statements_are_bounded(tmp_path: Path, make: Callable[[int], list[Record]], count: int) -> None:
    """The number of statements of a batch does not grow with what is in it."""
    async with opened(tmp_path / "a.db") as backend:
        for round_ in range(2):  # an empty file, and one that holds something
            statements = await counted(backend, [_moved(record, round_) for record in make(count)])
            assert 3 <= statements <= MOST_STATEMENTS


def _moved(record: Record, by: int) -> Record:
    """Return a record of another identity."""
    return replace(record, project=f"project {by}")


@pytest.mark.parametrize("make", [of_one_trace, of_many_traces])
async def test_a_usual_batch(tmp_path: Path, make: Callable[[int], list[Record]]) -> None:
    """512 new spans are about a statement per table and two for the traces."""
    async with opened(tmp_path / "a.db") as backend:
        assert await counted(backend, make(512)) <= 12


async def test_what_is_stored_again_is_left_alone(tmp_path: Path) -> None:
    """A batch that is written again changes no row: nothing of it is indexed again."""
    async with opened(tmp_path / "a.db") as backend:
        batch = of_many_traces(64)
        await backend.write(batch)
        assert backend._writing is not None
        raw = backend._writing.raw
        state = "SELECT (SELECT max(id) FROM tc_observations), (SELECT count(*) FROM tc_stale)"
        before = raw.execute(state).fetchone()
        await backend.write(batch)
        assert raw.execute(state).fetchone() == before
        running = [replace(record, status="running", duration_ns=None) for record in batch if isinstance(record, Span)]
        await backend.write(running)
        assert raw.execute(state).fetchone() == before
