"""Rejected: ``COPY`` into a temporary table, and from there into the tables."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec import Raw, Struct

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import interleaved, ratio, row_of
from benchmarks.postgres_server import postgres_server
from benchmarks.progress import Step
from tracecore.records import Generation, Observation, Span
from tracecore_postgres.packing import NULL, columns_of, packed, source
from tracecore_postgres.sql import BODIES, STAGED
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.to_rows import body_values, list_values

__all__ = ["REASON", "SCHEMA", "WAYS", "Store", "joined", "rows_of_ways", "run", "spans_of", "store"]

REASON: Final = (
    "`COPY` is the fastest way of many rows into PostgreSQL, but not of some hundred. It writes into a table, and only"
    " a statement can merge what is there already: so the rows go into a temporary table first and are written twice."
    " That table has to be asked for in every transaction (behind a pooler each may have another session), it is"
    " emptied at every commit, and every `COPY` is three messages there and back. The driver encodes each value by"
    " itself. Rows that are joined to one text per column are one statement, which stages nothing; joining costs the"
    " client less than encoding. Batches of 256 spans, one in five with 3 KB of payload, a transaction each, into one"
    " table with a key and one with the payloads."
)

Store: TypeAlias = Callable[[Any, Sequence[Observation]], Awaitable[object]]
_BATCH: Final = 256
_BATCHES: Final = 24
_ROUNDS: Final = 5
_SPANS: Final = 5
_PROMPT: Final = Raw(b'"' + b"x" * 2_048 + b'"')
_ANSWER: Final = Raw(b'"' + b"y" * 1_024 + b'"')
_CHOSEN: Final = "this ÷ chosen"
_LISTED: Final = ", ".join(f"{name} {type_}" for name, type_ in STAGED.items())
_BODY: Final = ", ".join(f"{name} {type_}" for name, type_ in BODIES.items())
SCHEMA: Final = (
    f"CREATE SCHEMA rejected; SET search_path = rejected;"
    f"CREATE TABLE spans ({_LISTED}, PRIMARY KEY (project, trace_id, span_id)); CREATE TABLE bodies ({_BODY});"
)
_STAGES: Final = (
    f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_spans ({_LISTED}) ON COMMIT DELETE ROWS;"
    f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_bodies ({_BODY}) ON COMMIT DELETE ROWS;"
)
_FROM_STAGES: Final = "INSERT INTO spans SELECT * FROM staged_spans; INSERT INTO bodies SELECT * FROM staged_bodies"
_JOINED: Final = (
    f"WITH kept AS (INSERT INTO bodies SELECT * FROM {source(BODIES, 2 + len(STAGED))} b)"  # noqa: S608 - made of constants
    f" INSERT INTO spans SELECT * FROM {source(STAGED, 2)} s"
)


class Stored(Struct, frozen=True):
    """Hold one round of a way: rows per second, and µs of the client's CPU per row."""

    rate: float
    cpu: float


def spans_of(batch: int) -> list[Observation]:
    """Return the spans of one batch."""
    spans: list[Observation] = []
    for number in range(batch * _BATCH, (batch + 1) * _BATCH):
        common = ("p", f"{number // _SPANS:032x}", f"{number:016x}", f"step {number % 9}", number)
        if number % _SPANS:
            spans.append(Span(*common, duration_ns=7))
        else:
            spans.append(
                Generation(*common, type="generation", duration_ns=7, input=_PROMPT, output=_ANSWER, model="m")
            )
    return spans


async def _copied(connection: Any, spans: Sequence[Observation]) -> None:
    await connection.execute(_STAGES)
    width, rest = len(LIST_COLUMNS), len(BODY_COLUMNS) + 1
    listed, bodies = list_values(spans, None), body_values(spans, range(len(spans)), None)
    rows = [(number, *listed[number * width : (number + 1) * width], None) for number in range(len(spans))]
    await connection.copy_records_to_table("staged_spans", records=rows, columns=list(STAGED))
    rows = [tuple(bodies[at : at + rest]) for at in range(0, len(bodies), rest)]
    await connection.copy_records_to_table("staged_bodies", records=rows, columns=list(BODIES))
    await connection.execute(_FROM_STAGES)


async def joined(connection: Any, spans: Sequence[Observation]) -> None:
    """Store spans as one text per column."""
    listed = columns_of(list_values(spans, NULL), len(LIST_COLUMNS))
    bodies = columns_of(body_values(spans, range(len(spans)), NULL), len(BODY_COLUMNS) + 1)
    columns = [range(len(spans)), *listed, [NULL] * len(spans), *bodies]
    texts = packed(columns, (*STAGED.values(), *BODIES.values()), escaped=False)
    await connection.execute(_JOINED, NULL, *texts)


WAYS: Final[dict[str, tuple[str, Store]]] = {
    "copy": ("COPY into temporary tables", _copied),
    "joined": ("chosen: one text per column", joined),
}


async def store(way: Store, batches: int, dsn: str) -> Stored:
    """Store batches into empty tables, a transaction each, in one way."""
    import asyncpg  # noqa: PLC0415 - only whoever measures PostgreSQL needs the driver

    connection = await asyncpg.connect(dsn, max_cacheable_statement_size=0)
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS rejected CASCADE; {SCHEMA}")
        prepared = [spans_of(batch) for batch in range(batches)]
        began, cpu = time.perf_counter(), time.process_time()
        for spans in prepared:
            await connection.execute("BEGIN")
            await way(connection, spans)
            await connection.execute("COMMIT")
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        stored = await connection.fetchval("SELECT count(*) FROM spans")
        if stored != batches * _BATCH:
            raise RuntimeError(f"{stored} rows are stored, expected {batches * _BATCH}")
        return Stored(stored / seconds, 1e6 * cpu / stored)
    finally:
        await connection.close()


def rows_of_ways(prefix: str, ways: Mapping[str, tuple[str, Store]], settings: Settings, step: Step) -> list[Row]:
    """Store in each way into a server of its own, in turn; the way called ``joined`` is the one that was chosen."""
    batches = max(1, settings.size_of(_BATCHES))
    with postgres_server() as server:
        dsn = server.url("rejected").partition("?")[0]
        candidates = {
            name: partial(lambda way: asyncio.run(store(way, batches, dsn)), way) for name, (_, way) in ways.items()
        }
        taken = interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=step)
    rows: list[Row] = []
    for name, (label, _) in ways.items():
        for unit, what in (("rows/s", "rate"), ("µs", "cpu")):
            figures = [float(getattr(one, what)) for one in taken[name]]
            best = statistics.median(float(getattr(one, what)) for one in taken["joined"])
            ratios = {} if name == "joined" else {_CHOSEN: ratio(statistics.median(figures), best)}
            said = label if what == "rate" else f"{label}, CPU of the client per row"
            rows.append(row_of(f"{prefix}.{name}.{what}", said, unit, figures, ratios=ratios))
    return rows


def run(settings: Settings, step: Step) -> Table:
    """Store in both ways, in turn."""
    rows = rows_of_ways("rejected.copy_stage", WAYS, settings, step)
    return Table(suite="rejected/copy_stage", title="Into PostgreSQL", method=REASON, rows=rows)
