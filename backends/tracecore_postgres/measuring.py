"""Measuring, all of it by PostgreSQL, on connections that hold up nobody else."""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

from typing import Final

from tracecore.measures import MeasureQuery, MeasureRow
from tracecore_postgres.meeting import DIALECT
from tracecore_postgres.reading import Reading, fetch, within_patience
from tracecore_sql.measuring import Measuring, measured_rows, measuring_sql

__all__ = ["MEASURING", "PostgresMeasures"]

_MEMBER: Final = r"""'"(([^"\\]|\\.)*)":(-{0,1}[0-9][-+.0-9eE]*)'"""
"""A member of an object of numbers, as it is packed; an escape never ends in what a bucket is looked for by."""
_IS_JSON: Final = " AND ".join(f"strpos(o.costs, {held}) = 0" for held in (r"'\'", r"U&'\0001'", r"U&'\D7FF'"))
"""Whether costs are what PostgreSQL knows as JSON: the name of a bucket may hold half a surrogate pair, or a NUL."""
_OBSERVED: Final = (
    "LEFT JOIN tc_observations o "
    "ON o.week = t.week AND o.project = s.project AND o.trace_id = s.trace_id AND o.span_id = s.observation_id"
)


def _month(seconds: str) -> str:
    return f"to_char(timezone('UTC', to_timestamp({seconds})), 'YYYY-MM')"


def _day(seconds: str) -> str:
    return f"to_char(timezone('UTC', to_timestamp({seconds})), 'YYYY-MM-DD')"


def _cost(direction: str) -> str:
    plain = _summed("value", "key", direction, "json_each_text(CAST(o.costs AS json))")
    odd = _summed("m[3]", "m[1]", direction, f"regexp_matches(o.costs, {_MEMBER}, 'g') m")  # six times as slow
    return f"CASE WHEN o.costs IS NULL THEN NULL WHEN {_IS_JSON} THEN {plain} ELSE {odd} END"


def _summed(cost: str, bucket: str, direction: str, source: str) -> str:
    total = f"coalesce(sum(CAST({cost} AS double precision)), 0)"
    return f"(SELECT {total} FROM {source} WHERE strpos({bucket}, '{direction}') > 0)"


def _percentile(value: str, fraction: float) -> str:
    return f"percentile_cont({fraction}) WITHIN GROUP (ORDER BY {value})"


def _gathered(value: str, _: int) -> str:
    return f"array_agg({value}) FILTER (WHERE {value} IS NOT NULL)"


def _binned(gathered: str, bins: int) -> str:
    """Return the least value, the greatest, and how many are in each bin, as JSON."""
    edges = f"(SELECT min(v) AS low, max(v) AS high FROM unnest({gathered}) v) e"
    place = f"least({bins - 1}, floor(coalesce((v - low) / nullif(high - low, 0) * {bins}, 0)))::integer"
    counts = f"SELECT low, high, {place} AS place, count(*) AS n FROM unnest({gathered}) v, {edges} GROUP BY 1, 2, 3"
    found = "json_build_array(min(low), max(high), json_object_agg(place, n))::text"
    return f"(SELECT {found} FROM ({counts}) c HAVING count(*) > 0)"


MEASURING: Final = Measuring(
    dialect=DIALECT, month=_month, day=_day, cost=_cost, percentile=_percentile, gathered=_gathered, binned=_binned,
    sorted_text=lambda text: text, observed=_OBSERVED,
)  # fmt: skip


class PostgresMeasures:
    """Measure what is kept; see :class:`tracecore.measures.MeasureStore`."""

    def __init__(self, reading: Reading) -> None:
        self.reading: Final = reading

    async def measure(self, project: str, query: MeasureQuery) -> list[MeasureRow]:
        """Return the rows of the answer."""
        sql, values = measuring_sql(project, query, MEASURING)
        async with within_patience("nothing was measured", "ask for less: a shorter time, fewer percentiles"):
            return measured_rows(await fetch(self.reading, sql, values), query)
