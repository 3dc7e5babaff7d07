"""The fast ways of writing store the very rows that the slow ones do: whatever is written, however it is cut."""

from __future__ import annotations

import asyncio
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from tests.sqlite.files import asked, keep, opened
from tracecore.records import Generation, LedgerEntry, Record, Score, Span
from tracecore.testing.strategies import entries, observations, records
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.from_rows import observation_of
from tracecore_sql.ledger import ledger_values
from tracecore_sql.to_rows import (
    attribute_values,
    body_values,
    list_values,
    score_values,
    session_values,
    storable,
)
from tracecore_sqlite.bulk import NULL

TABLES = (
    "SELECT o.*, b.* FROM tc_observations o LEFT JOIN tc_bodies b ON b.id = o.id",
    "SELECT * FROM tc_traces",
    "SELECT * FROM tc_sessions",
    "SELECT * FROM tc_scores",
    "SELECT * FROM tc_ledger",
)
some = st.lists(st.one_of(records, records, entries), min_size=1, max_size=12)
fewer = settings(max_examples=20)


@cache
def template() -> bytes:
    """Return an empty file of the newest schema."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.db")
        asyncio.run(keep(path))
        return path.read_bytes()


@contextmanager
def written(batches: Iterable[Sequence[Record]]) -> Iterator[Path]:
    """Yield a file into which batches were written, one after the other."""

    async def write(path: Path) -> None:
        async with opened(path) as backend:
            for batch in batches:
                await backend.write(batch)

    folder = tempfile.mkdtemp()
    try:
        path = Path(folder, "a.db")
        path.write_bytes(template())
        asyncio.run(write(path))
        yield path
    finally:
        shutil.rmtree(folder)


def rows_of(path: Path, projects: Sequence[str] = ("p", "q")) -> list[list[Any]]:
    """Return every row of some projects, table by table, without the numbers that say in what order they came."""
    found: list[list[Any]] = []
    with closing(sqlite3.connect(path)) as raw:
        raw.row_factory = sqlite3.Row
        for table in TABLES:
            rows = [row for row in raw.execute(table) if row["project"] in projects]
            names = [name for name in rows[0].keys() if not name.startswith("id")] if rows else []  # noqa: SIM118 - a Row iterates over values
            found.append(sorted(([(name, row[name]) for name in names] for row in rows), key=repr))
    return found


def stored(*batches: Sequence[Record], projects: Sequence[str] = ("p", "q")) -> list[list[Any]]:
    """Return every row after some batches."""
    with written(batches) as path:
        return rows_of(path, projects)


@fewer
@given(some, st.data())
def test_any_cut_into_batches(batch: list[Record], data: st.DataObject) -> None:
    """One batch, one record at a time and any cut between leave the same rows in every table."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(batch)))))
    parts = [batch[start:end] for start, end in zip([0, *cuts], [*cuts, len(batch)], strict=True)]
    at_once = stored(batch)
    assert any(at_once)
    assert stored(*([record] for record in batch)) == at_once
    assert stored(*parts) == at_once


def _of_two_spans(record: Span) -> Span:
    return replace(record, project="p", trace_id=f"{1:032x}", span_id=f"{int(record.span_id, 16) % 2:016x}")


@fewer
@given(st.lists(observations.map(_of_two_spans), min_size=2, max_size=6))
def test_the_same_spans_many_times_in_a_batch(batch: list[Span]) -> None:
    """Records of one span in one batch are merged in their order, as if they had come one by one."""
    assert stored(batch) == stored(*([record] for record in batch))


@fewer
@given(some)
def test_again(batch: list[Record]) -> None:
    """A batch that is written again changes no row."""
    at_once = stored(batch)
    assert stored(batch, batch) == at_once


@fewer
@given(some)
def test_beside_a_lone_surrogate(batch: list[Record]) -> None:
    """A text that UTF-8 cannot hold makes the whole batch take another way, on which the rows are the same."""
    odd = Span("odd", "0" * 31 + "1", "0" * 15 + "1", "\ud800", 1, duration_ns=1)
    assert stored([*batch, odd]) == stored([odd], batch) == stored(batch)


@given(observations)
@example(Generation("p", "0" * 32, "0" * 16, "n", 1, usage_details={}, cost_details={}, provided_usage_details={}))
def test_records_to_rows_and_back(record: Span) -> None:
    """Every field of every kind of observation comes back from the values of its row as it was."""
    listed = list_values([record], None)
    body = body_values([record], [5], None)
    assert len(listed) == len(LIST_COLUMNS)
    assert len(body) in (0, 1 + len(BODY_COLUMNS))
    for prepare in (list, storable):
        row = [*prepare(listed), *(prepare(body[1:]) or [None] * len(BODY_COLUMNS))]
        assert observation_of(row) == record


@fewer
@given(
    st.lists(observations, min_size=1, max_size=8, unique_by=lambda span: (span.project, span.trace_id, span.span_id))
)
def test_records_through_a_file(batch: list[Span]) -> None:
    """Every observation comes out of a file as it went in, payloads byte for byte, alone and in its tree."""

    async def read(path: Path) -> list[Any]:
        found: list[Any] = []
        async with opened(path, "read") as backend:
            for record in batch:
                found.append(await backend.observations.get(record.project, record.trace_id, record.span_id))
                assert found[-1] in await backend.observations.tree(record.project, record.trace_id)
        return found

    with written([batch]) as path:
        assert asyncio.run(read(path)) == batch


@given(st.one_of(records, entries))
def test_null_is_what_a_dialect_says(record: Record) -> None:
    """What is not said is bound as the dialect's NULL at the same places, and nothing else is."""
    if isinstance(record, Span):
        makers: list[Any] = [
            lambda null: list_values([record], null),
            lambda null: body_values([record], [1], null),
            lambda null: attribute_values(record.trace, null),
        ]
    elif isinstance(record, Score):
        makers = [lambda null: score_values([record], null)]
    elif isinstance(record, LedgerEntry):
        makers = [lambda null: ledger_values([record], null)]
    else:
        makers = [lambda null: session_values([record], null)]
    for values_with in makers:
        plain, bound = values_with(None), values_with(NULL)
        assert [value is None for value in plain] == [value is NULL for value in bound]
        assert [value for value in plain if value is not None] == [value for value in bound if value is not NULL]


def generation(number: int, **fields: Any) -> Generation:
    """Return a generation that used units."""
    return Generation(
        "p", f"{1:032x}", f"{number:016x}", "call", number, type="generation", duration_ns=1,
        usage_details={"input": 3}, **fields,
    )  # fmt: skip


async def test_costs_that_are_no_numbers(tmp_path: Path) -> None:
    """A cost that is not a number is unknown, however it is written, and makes no sum anything else."""
    odd = generation(1, total_cost=math.nan, cost_details={"input": math.nan, "output": 0.5})
    told = generation(2, total_cost=0.25, cost_details={"input": 0.25})
    for name, batches in (
        ("together", [[odd, told]]),
        ("one by one", [[odd], [told]]),
        ("twice", [[odd, told], [odd]]),
    ):
        path = tmp_path / f"{name}.db"
        async with opened(path) as backend:
            for batch in batches:
                await backend.write(batch)
            first, second = await backend.observations.tree("p", f"{1:032x}")
            assert isinstance(first, Generation)
            assert (first.total_cost, first.cost_details) == (None, {"output": 0.5})
            assert second == told
            trace = await backend.traces.get("p", f"{1:032x}")
            assert trace is not None
            assert (trace.total_cost, trace.cost_known) == (0.25, False)
        assert asked(path, "SELECT span_id, total_cost FROM generations ORDER BY 1") == [
            (f"{1:016x}", None), (f"{2:016x}", 0.25),
        ]  # fmt: skip


async def test_a_score_that_is_no_number(tmp_path: Path) -> None:
    """A score whose value is not a number has none, and a later one without a value leaves the earlier."""
    path = await keep(tmp_path / "a.db", Score("p", "c", "n", 1, value=math.nan), Score("p", "d", "n", 1, value=0.5))
    await keep(path, Score("p", "d", "n", 2, value=math.nan))
    assert asked(path, "SELECT score_id, value, timestamp_ns FROM scores ORDER BY 1") == [("c", None, 1), ("d", 0.5, 2)]


async def test_every_unsaid_column_is_null(tmp_path: Path) -> None:
    """A span that says nothing but its identity has NULL, and no number, in every column that may be NULL."""
    path = await keep(tmp_path / "a.db", Span("p", "0" * 32, "0" * 16, "n", 1), generation(1))
    with closing(sqlite3.connect(path)) as raw:
        raw.row_factory = sqlite3.Row
        first = raw.execute("SELECT * FROM tc_observations LIMIT 1").fetchone()
    said = {name for name in first.keys() if first[name] is not None}  # noqa: SIM118 - a Row iterates over values
    assert said == {"id", "project", "trace_id", "span_id", "type", "name", "start_ns", "status"}
    assert asked(path, "SELECT count(*) FROM tc_bodies") == [(0,)]


@pytest.mark.parametrize("size", [1, 3, 63, 64, 65, 300, 1100])
async def test_payloads_stay_with_their_span(tmp_path: Path, size: int) -> None:
    """However a batch is cut into statements, and wherever payloads are missing, each span keeps its own."""
    batch = [_with_some_payloads(number) for number in range(size)]
    async with opened(tmp_path / "a.db") as backend:
        await backend.write(batch[: size // 2])
        await backend.write(batch)
        found = [span for trace in range(7) for span in await backend.observations.tree("default", f"{trace:032x}")]
    assert sorted(found, key=lambda record: record.span_id) == batch


def _with_some_payloads(number: int) -> Span:
    wanted = {"input": 2, "output": 3, "metadata": 5}
    said = {name: Raw(b'"%s %d"' % (name.encode(), number)) for name, every in wanted.items() if number % every == 0}
    return Span("default", f"{number % 7:032x}", f"{number:016x}", f"s{number}", number, duration_ns=1, **said)
