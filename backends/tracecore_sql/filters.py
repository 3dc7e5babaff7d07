"""The query Structs as WHERE clauses. Columns come from this file, values are always parameters.

A condition is a piece of SQL with ``?`` marks and the values for them. The dialects of both databases agree on all of
it but some expressions, which are parameters. Search is not here: each dialect has its own index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from tracecore.backend import LARGEST_PAGE, ObservationQuery, SessionQuery, TraceQuery
from tracecore.conditions import Condition
from tracecore.errors import BackendRejected
from tracecore_sql import experiments
from tracecore_sql.to_rows import pack_tags
from tracecore_sql.where import Dialect, part_of

__all__ = [
    "NEVER",
    "Conditions",
    "check_limit",
    "observation_conditions",
    "session_conditions",
    "start_column",
    "trace_conditions",
]

NEVER: Final = -(2**63)
"""The ``last_start_ns`` of a session without a trace."""

FAILED: Final = "(status IN ('error', 'abandoned') OR level = 'ERROR')"


class Conditions(Struct):
    """Collect conditions that must all hold."""

    parts: list[str] = []
    values: list[Any] = []

    def add(self, sql: str, *values: Any) -> None:
        """Add a condition and the values of its marks."""
        self.parts.append(sql)
        self.values.extend(values)

    def equal(self, **wanted: Any) -> None:
        """Add ``column = value`` for each value that is not None."""
        for column, value in wanted.items():
            if value is not None:
                self.add(f"{column} = ?", value)

    def among(self, column: str, values: Sequence[Any]) -> None:
        """Add that a column has one of these values, at least one."""
        self.add(f"{column} IN ({', '.join('?' * len(values))})", *values)

    def between(self, column: str, since_ns: int | None, until_ns: int | None) -> None:
        """Add the half-open interval of times."""
        if since_ns is not None:
            self.add(f"{column} >= ?", since_ns)
        if until_ns is not None:
            self.add(f"{column} < ?", until_ns)

    def after(self, key: tuple[Any, ...], *columns: str) -> None:
        """Add the position after ``key`` in descending order of the columns; an index on the first one helps."""
        first, *ties = columns
        marks = ", ".join("?" * len(ties))
        self.add(f"{first} <= ? AND ({first} < ? OR ({', '.join(ties)}) < ({marks}))", key[0], key[0], *key[1:])

    @property
    def sql(self) -> str:
        """Return the conditions joined."""
        return " AND ".join(self.parts)


def trace_conditions(
    project: str, query: TraceQuery, *, position: str = "instr", lasted: str = "end_ns - start_ns"
) -> Conditions:
    """Return the conditions on ``traces``, all but ``search`` and ``cursor``.

    ``position`` is the function that says where a text stands in another, from 1, or 0. ``lasted`` is the difference of
    two integers that may not fit into one.
    """
    found = Conditions()
    found.equal(project=project, user_id=query.user_id, session_id=query.session_id, name=query.name)
    found.equal(release=query.release, version=query.version, environment=query.environment)
    found.between("start_ns", query.since_ns, query.until_ns)
    for tag in query.tags:
        # Tags are packed one by one, so `,"tag"` stands in `,"a","b"]` only where a tag begins and ends.
        found.add(f"{position}(',' || substr(tags, 2), ?) > 0", f",{pack_tags((tag,))[1:-1]}")
    if query.has_error is not None:
        found.add("error_count > 0" if query.has_error else "error_count = 0")
    if query.running is not None:
        found.add("running > 0" if query.running else "running = 0")
    if query.min_duration_ns is not None:
        found.add(f"{lasted} >= ?", query.min_duration_ns)
    if query.min_cost is not None:
        found.add("total_cost >= ?", query.min_cost)
    return found


def observation_conditions(project: str, query: ObservationQuery, dialect: Dialect) -> Conditions:
    """Return the conditions on ``observations o``, all but ``search`` and ``cursor``."""
    found = Conditions()
    found.equal(project=project, trace_id=query.trace_id, name=query.name, type=query.type, model=query.model)
    found.equal(user_id=query.user_id, session_id=query.session_id)
    found.between(start_column(query), query.since_ns, query.until_ns)
    if query.has_error is not None:
        found.add(FAILED if query.has_error else f"{FAILED} IS NOT TRUE")
    if query.running is not None:
        found.add("status = 'running'" if query.running else "status <> 'running'")
    if query.min_duration_ns is not None:
        found.add("coalesce(duration_ns, 0) >= ?", query.min_duration_ns)
    for sql, values in experiments.parts_of(query):
        found.add(sql, *values)
    for condition in query.where:
        sql, values = part_of(condition, start_column(query), dialect)
        found.add(sql, *values)
    return found


def start_column(query: ObservationQuery) -> str:
    """Return the start as conditions and orders name it: within some traces, so that no index over all traces is taken.

    A trace is one range of the unique index, and is sorted at once; its spans among those of all traces may be far.
    """
    return "+start_ns" if query.trace_id is not None or any(map(_names_traces, query.where)) else "start_ns"


def _names_traces(condition: Condition) -> bool:
    return condition.column == "trace_id" and condition.operator in {"=", "any of"}


def session_conditions(query: SessionQuery) -> Conditions:
    """Return the conditions on the last start of a session, all but the project, ``user_id`` and ``cursor``."""
    found = Conditions()
    found.between("last_start_ns", query.since_ns, query.until_ns)
    if query.since_ns is not None or query.until_ns is not None:
        found.add("last_start_ns > ?", NEVER)
    return found


def check_limit(limit: int) -> None:
    """Refuse a page size out of range.

    Raises:
        BackendRejected: it is not 1 to 1,000.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise BackendRejected(f"limit = {limit}", f"ask for 1 to {LARGEST_PAGE} items")
