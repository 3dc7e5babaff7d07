"""How a store finds its answers: by an index or by walking, and with payloads or without. Asked of the database itself.

Each question of :mod:`benchmarks.reader` is asked once more, by somebody who has every statement explained that the
store runs for it. :func:`check` raises where a list reads payloads, or where any answer walks through a table.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any, Final

from msgspec import Struct

from benchmarks.reader import LISTS, SEARCHES, Reader, reading
from benchmarks.request_mix import Texts
from tracecore_postgres.observations import PostgresObservations
from tracecore_postgres.traces import PostgresTraces
from tracecore_sqlite.search import add_functions

__all__ = ["Plan", "Plans", "check", "postgres_plans", "sqlite_plans"]

_PAYLOADS: Final = "tc_bodies"
_OBSERVATIONS: Final = "tc_observations"
_SMALL: Final = 1_000
"""Rows of a table that may be read as it lies: an empty partition, the queue of an index."""
_COUNTED: Final = 25_000
"""Rows that a search may look at to learn whether what it looks for is rare."""
_ONE_TRACE: Final = "trace"
_SELECTS: Final = ("SELECT", "WITH", "(")


class Plan(Struct):
    """Say how one statement found its rows."""

    indexes: set[str] = set()
    """The indexes that were followed."""
    tables: set[str] = set()
    """The tables that were read; of a partitioned one each partition."""
    walked: dict[str, float] = {}
    """How many rows of each table were walked through, one after the other, at a time."""


Plans = Mapping[str, list[Plan]]
"""The plans of all statements that answered a question, by the question."""


def check(plans: Plans) -> int:
    """Return how many plans there are.

    Raises:
        RuntimeError: one of them is not as it has to be; the message says which.
    """
    for question, all_of_it in plans.items():
        most = _COUNTED if question in SEARCHES else _SMALL
        for plan in all_of_it:
            if long := sorted(name for name, rows in plan.walked.items() if rows > most):
                raise RuntimeError(f"{question}: {', '.join(long)} is walked through: {plan}")
            if question in LISTS and any(table.startswith(_PAYLOADS) for table in plan.tables):
                raise RuntimeError(f"{question}: a list reads payloads: {plan}")
        if not any(plan.indexes or plan.walked for plan in all_of_it):  # what is small need not have an index
            raise RuntimeError(f"{question}: no index is followed: {all_of_it}")
        parts = {table for plan in all_of_it for table in plan.tables if table.startswith(_OBSERVATIONS)}
        if question == _ONE_TRACE and len(parts) != 1:
            raise RuntimeError(f"{question}: it lies in one place, and was looked for in {sorted(parts)}")
    return sum(map(len, plans.values()))


async def _asked(reader: Reader, seed: int, plans: list[Plan]) -> Plans:
    """Ask every question once, and return the plans that were noted meanwhile."""
    chance = random.Random(seed)
    await reader.learn()
    found: dict[str, list[Plan]] = {}
    for question, ask in reader.asks.items():
        plans.clear()
        await ask(chance)
        found[question] = list(plans)
    return found


# -- PostgreSQL


class _Explaining:
    """Stand for a connection whose statements are run by EXPLAIN first."""

    def __init__(self, connection: Any, plans: list[Plan]) -> None:
        self._connection = connection
        self._plans = plans

    async def fetch(self, query: str, *args: Any) -> Any:
        """Run a statement, twice."""
        if query.lstrip().startswith(_SELECTS):
            [[explained]] = await self._connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *args)
            self._plans.append(_plan_of(json.loads(explained)[0]["Plan"]))
        return await self._connection.fetch(query, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Stores(Struct):
    """Hold the stores that are asked."""

    traces: PostgresTraces
    observations: PostgresObservations


async def postgres_plans(url: str, texts: Texts, requests: int, *, seed: int) -> Plans:
    """Return how a PostgreSQL schema of the request mix finds the answer to each question."""
    plans: list[Plan] = []
    async with reading(url) as backend:
        lend: Any = getattr(backend, "reading")  # noqa: B009 - no member of the contract

        @asynccontextmanager
        async def explaining() -> AsyncGenerator[_Explaining]:
            async with lend() as connection:
                yield _Explaining(connection, plans)

        stores = _Stores(PostgresTraces(explaining), PostgresObservations(explaining))
        return await _asked(Reader(stores, texts, requests), seed, plans)


def _plan_of(root: Mapping[str, Any]) -> Plan:
    """Return what a plan in JSON says of the nodes that were run."""
    plan = Plan()
    for node in _run_nodes(root):
        name, kind = node.get("Relation Name", ""), node["Node Type"]
        if name:
            plan.tables.add(name)
        if "Index Name" in node:
            plan.indexes.add(node["Index Name"])
        if kind in {"Seq Scan", "Sample Scan"}:
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            plan.walked[name] = max(plan.walked.get(name, 0), rows)
    return plan


def _run_nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if node.get("Actual Loops", 0):
        yield node
        for below in node.get("Plans", ()):
            yield from _run_nodes(below)


# -- SQLite


async def sqlite_plans(url: str, texts: Texts, requests: int, *, seed: int) -> Plans:
    """Return how an SQLite file of the request mix finds the answer to each question."""
    plans: list[Plan] = []
    async with reading(url) as backend:
        with closing(sqlite3.connect(backend.location, cached_statements=0, check_same_thread=False)) as raw:
            add_functions(raw)
            await _explain_with(backend, raw, plans)
            return await _asked(Reader(backend, texts, requests), seed, plans)


async def _explain_with(backend: Any, raw: sqlite3.Connection, plans: list[Plan]) -> None:
    """Have every statement that reads something of ours explained by another connection, on the thread that runs it."""
    connection = await backend._reader()  # noqa: SLF001 - whose connection it is

    def note(sql: str) -> None:
        if sql.lstrip().startswith(_SELECTS) and "FROM tc_" in sql:
            plans.append(_explained(raw, sql))

    await connection.run(connection.raw.set_trace_callback, note)


def _explained(raw: sqlite3.Connection, sql: str) -> Plan:
    """Return how a statement finds its rows."""
    plan = Plan()

    def note(action: int, table: str | None, column: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ and table and column:
            plan.tables.add(table)
        return sqlite3.SQLITE_OK

    raw.set_authorizer(note)
    lines = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}")]
    plan.indexes = {
        line.partition("INDEX ")[2].split()[0] for line in lines if " USING " in line and "INDEX " in line
    } | {line.split()[1] for line in lines if "VIRTUAL TABLE" in line}
    inner = {line.partition(" ")[2] for line in lines if line.startswith(("CO-ROUTINE", "MATERIALIZE"))}
    scanned = [line[5:] for line in lines if line.startswith("SCAN ") and "VIRTUAL TABLE" not in line]
    walked = [name for name in scanned if name not in inner | {"CONSTANT ROW"} and not name.startswith("(")]
    raw.set_authorizer(None)
    plan.walked = {name: _rows_of(raw, name) for name in walked}
    return plan


def _rows_of(raw: sqlite3.Connection, name: str) -> float:
    """Return how many rows a table has; of what a statement calls by another name any number may be in it."""
    if raw.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone() is None:
        return float("inf")
    [[rows]] = raw.execute(f'SELECT count(*) FROM (SELECT 1 FROM "{name}" LIMIT {_COUNTED + 1})')  # noqa: S608 - it is there
    return float(rows)
