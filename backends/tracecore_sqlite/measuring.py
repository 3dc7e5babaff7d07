"""Measuring: groups are made by SQLite, their percentiles and histograms by functions that it calls with each value."""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final, cast

import msgspec

from tracecore.filtering import cost_of
from tracecore.measures import MeasureQuery, MeasureRow
from tracecore.measuring import FRACTIONS, counted, percentile
from tracecore_sql.from_rows import unpack
from tracecore_sql.measuring import Measuring, measured_rows, measuring_sql
from tracecore_sqlite.meeting import DIALECT, within_patience
from tracecore_sqlite.reading import Reader, Rows, rows_of

__all__ = ["MEASURING", "Sorted", "SqliteMeasures", "add_measuring"]

_RUN: Final = 16_384
"""Numbers that are sorted at once: a millisecond or two."""
_costs: Final = msgspec.json.Decoder(dict[str, float])
_OBSERVED: Final = (
    "LEFT JOIN tc_observations o ON o.project = s.project AND o.trace_id = s.trace_id AND o.span_id = s.observation_id"
)
MEASURING: Final = Measuring(
    dialect=DIALECT,
    month=lambda seconds: f"strftime('%Y-%m', {seconds}, 'unixepoch')",
    day=lambda seconds: f"strftime('%Y-%m-%d', {seconds}, 'unixepoch')",
    cost=lambda direction: f"tc_cost('{direction}', o.costs)",
    percentile=lambda value, fraction: f"tc_p{fraction * 100:.0f}({value})",
    gathered=lambda value, bins: f"tc_histogram({value}, {bins})",
    binned=lambda gathered, _: gathered,
    sorted_text=lambda text: f"CAST({text} AS BLOB)",
    observed=_OBSERVED,
)


class SqliteMeasures:
    """Measure what is kept; see :class:`tracecore.measures.MeasureStore`."""

    def __init__(self, reader: Reader) -> None:
        self.connection: Final = reader

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Return the rows of the answer."""
        sql, values = measuring_sql(project, query, MEASURING)
        connection = await self.connection()
        return measured_rows(await connection.run(_measured, connection.raw, sql, values), query)


def add_measuring(raw: sqlite3.Connection) -> None:
    """Give a connection what measuring calls: ``tc_cost``, ``tc_p50`` and the like, ``tc_histogram``."""
    raw.create_function("tc_cost", 2, _cost, deterministic=True)
    raw.create_aggregate("tc_histogram", 2, cast("Any", _Histogram))
    for name, fraction in FRACTIONS.items():
        raw.create_aggregate(f"tc_{name}", 1, cast("Any", partial(_Percentile, fraction)))


class Sorted(Sequence[float]):
    """Hold numbers in ascending order, in runs each of which is sorted at once.

    A million of them take some hundred ms to sort, during which no other thread of Python does anything: here nothing
    takes longer than a run, and which number stands at a place is found by looking into every run.
    """

    def __init__(self) -> None:
        self._runs: list[array[float]] = []
        self._rest = array("d")
        self._count = 0

    def add(self, number: float) -> None:
        """Add a number."""
        self._count += 1
        self._rest.append(number)
        if len(self._rest) >= _RUN:
            self._end_run()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        """Return the number at a place, which is one."""
        self._end_run()
        low, high = [0] * len(self._runs), [len(run) for run in self._runs]
        while True:
            _, widest = max((high[at] - low[at], at) for at in range(len(self._runs)))
            pivot = self._runs[widest][(low[widest] + high[widest]) // 2]
            below = [bisect_left(run, pivot) for run in self._runs]
            until = [bisect_right(run, pivot) for run in self._runs]
            if sum(below) <= place < sum(until):
                return pivot
            if place < sum(below):
                high = list(map(min, high, below))
            else:
                low = list(map(max, low, until))

    def _end_run(self) -> None:
        if self._rest:
            self._runs.append(array("d", sorted(self._rest)))
            self._rest = array("d")


class _Percentile:
    """Find the percentile of one group."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction
        self._values = Sorted()

    def step(self, value: float | None) -> None:
        """Take one value."""
        if value is not None:
            self._values.add(value)

    def finalize(self) -> float | None:
        """Return the percentile."""
        return percentile(self._values, self._fraction)


class _Histogram:
    """Count the values of one group, bin by bin."""

    def __init__(self) -> None:
        self._values = array("d")
        self._bins = 1

    def step(self, value: float | None, bins: int) -> None:
        """Take one value."""
        self._bins = bins
        if value is not None:
            self._values.append(value)

    def finalize(self) -> str | None:
        """Return what is counted, as JSON."""
        return msgspec.json.encode(counted(self._values, self._bins)).decode() if self._values else None


def _measured(raw: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Rows:
    with within_patience(raw, "nothing was measured", "ask for less: a shorter time, fewer percentiles"):
        return rows_of(raw, sql, values)


@lru_cache(maxsize=1024)
def _cost(direction: str, packed: str | bytes | None) -> float | None:
    return None if packed is None else cost_of(unpack(_costs, packed), direction)
