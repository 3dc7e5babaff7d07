"""Writing a batch: one transaction, on the thread of the writing connection.

The ordinary case, in which no record was known before, is a plain insert. The rows that the unique key turned away
(records written again, spans that were running) are read, merged and replaced one by one. Both ways give the same rows:
the fast one skips work whose result is known.
"""

# ruff: noqa: S608 - the SQL is made of constants of this package; every value is a parameter

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from tracecore.backend import Batch
from tracecore.errors import BackendRejected
from tracecore.records import LedgerEntry, Observation, Score, Session, Span, TraceAttributes, merge
from tracecore.rollup import Saying, unite_attributes
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.from_rows import observation_of, payload_of, text_of, unpack_tags
from tracecore_sql.ledger import LEDGER_COLUMNS, ledger_values
from tracecore_sql.statements import load_statements
from tracecore_sql.to_rows import attribute_values, body_values, list_values, score_values, session_values, storable
from tracecore_sqlite.bulk import NULL, ROWS_AT_ONCE, Insert, padded

__all__ = ["Writer", "Writing"]

Identity: TypeAlias = tuple[str, str, str]
"""Project, trace id, span id."""
T = TypeVar("T")
_TRACES_AT_ONCE: Final = 1024
_LIST: Final = ", ".join(LIST_COLUMNS)
_BODY: Final = ", ".join(BODY_COLUMNS)
_INSERT_LISTED: Final = (
    f"INSERT INTO tc_observations ({_LIST}) {{rows}} ON CONFLICT (project, trace_id, span_id) DO NOTHING"
)
_REPLACE_LISTED: Final = f"INSERT OR REPLACE INTO tc_observations (id, {_LIST}) {{rows}}"
_INSERT_BODIES: Final = f"INSERT OR REPLACE INTO tc_bodies (id, {_BODY}) {{rows}}"
_SELECT_ONE: Final = (
    f"SELECT o.id, {', '.join(f'o.{c}' for c in LIST_COLUMNS)}, {', '.join(f'b.{c}' for c in BODY_COLUMNS)} "
    "FROM tc_observations o LEFT JOIN tc_bodies b ON b.id = o.id "
    "WHERE o.project = ? AND o.trace_id = ? AND o.span_id = ?"
)


class Writing(Protocol):
    """Runs functions on the thread of the writing connection."""

    async def __call__(self, change: Callable[[Writer], T], /) -> T:
        """Run a function and return what it returns."""
        ...


class _Kinds(Struct):
    """Hold the records of a batch, each kind in its order."""

    observations: list[Observation] = []
    sessions: list[Session] = []
    scores: list[Score] = []
    entries: list[LedgerEntry] = []


class Writer:
    """Write batches through one connection; every method runs on its thread."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._sql = load_statements("tracecore_sqlite", "statements.sql")
        self._insert_listed = Insert(raw, _INSERT_LISTED, len(LIST_COLUMNS))
        self._replace_listed = Insert(raw, _REPLACE_LISTED, len(LIST_COLUMNS) + 1)
        self._insert_bodies = Insert(raw, _INSERT_BODIES, len(BODY_COLUMNS) + 1)
        self._unite_traces = Insert(raw, self._sql["unite_traces"], 11)
        self._upsert_sessions = Insert(raw, self._sql["upsert_sessions"], 6)
        self._upsert_scores = Insert(raw, self._sql["upsert_scores"], 19)
        self._upsert_ledger = Insert(raw, self._sql["upsert_ledger"], len(LEDGER_COLUMNS))

    @property
    def raw(self) -> sqlite3.Connection:
        """Return the connection."""
        return self._raw

    def write(self, batch: Batch) -> None:
        """Keep every record of the batch, or none of it.

        Raises:
            BackendRejected: something in the batch is no record.
            sqlite3.Error, OverflowError: as the driver puts it.
        """
        kinds = _sorted_out(batch)
        try:
            self._transact(kinds, _as_they_are)
        except UnicodeEncodeError:
            # Some text holds a lone surrogate; looking for it beforehand would cost every batch.
            self._transact(kinds, storable)

    def _transact(self, kinds: _Kinds, prepare: Callable[[list[Any]], list[Any]]) -> None:
        raw = self._raw
        raw.execute("BEGIN IMMEDIATE")
        try:
            self._write_observations(kinds.observations, prepare)
            self._roll_up(kinds.observations, prepare)
            if kinds.sessions:
                self._upsert_sessions(prepare(session_values(kinds.sessions, NULL)))
            if kinds.scores:
                self._upsert_scores(prepare(score_values(kinds.scores, NULL)))
            if kinds.entries:
                self._write_ledger(kinds.entries, prepare)
            raw.execute("COMMIT")
        except BaseException:
            # A full disk may have ended the transaction already.
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise

    def _write_ledger(self, entries: list[LedgerEntry], prepare: Callable[[list[Any]], list[Any]]) -> None:
        self._upsert_ledger(prepare(ledger_values(entries, NULL)))
        for entry in entries:
            if entry.ended:  # also where a later entry stands in its place
                self._raw.execute(self._sql["end_process"], prepare([entry.project, entry.process, entry.minute_ns]))

    def _write_observations(self, observations: list[Observation], prepare: Callable[[list[Any]], list[Any]]) -> None:
        bodies: list[Any] = []
        for start in range(0, len(observations), ROWS_AT_ONCE):
            part = observations[start : start + ROWS_AT_ONCE]
            inserted, last = self._insert_listed(prepare(list_values(part, NULL)))
            if inserted == len(part):
                bodies += body_values(part, range(last - inserted + 1, last + 1), NULL)
            else:
                new, turned_away = self._told_apart(part, inserted)
                self._insert_bodies(prepare(bodies + body_values(new.values(), new, NULL)))
                bodies = []
                for record in turned_away:
                    self._merge_into_row(record, prepare)
        self._insert_bodies(prepare(bodies))

    def _told_apart(
        self, observations: list[Observation], inserted: int
    ) -> tuple[dict[int, Observation], list[Observation]]:
        """Return the records that were inserted, by their new id, and those that were turned away."""
        rows = self._raw.execute(self._sql["last_observations"], (inserted,)).fetchall()
        ids: dict[Identity, int] = {(text_of(p), text_of(t), text_of(s)): number for number, p, t, s in rows}
        new: dict[int, Observation] = {}
        turned_away: list[Observation] = []
        for record in observations:
            # The first record of an identity is the one that was inserted.
            number = ids.pop((record.project, record.trace_id, record.span_id), None)
            if number is None:
                turned_away.append(record)
            else:
                new[number] = record
        return new, turned_away

    def _merge_into_row(self, record: Observation, prepare: Callable[[list[Any]], list[Any]]) -> None:
        identity = prepare([record.project, record.trace_id, record.span_id])
        number, *row = self._raw.execute(_SELECT_ONE, identity).fetchone()
        known = observation_of(row)
        merged = merge(known, record)
        if merged == known or not isinstance(merged, Span):
            return
        self._replace_listed(prepare([number, *list_values([merged], NULL)]))
        body = body_values([merged], [number], NULL)
        if not body:  # an error that replaces another may have no stack
            self._raw.execute("DELETE FROM tc_bodies WHERE id = ?", (number,))
        self._insert_bodies(prepare(body))
        self._raw.execute(self._sql["mark_stale"], (number,))

    def _roll_up(self, observations: list[Observation], prepare: Callable[[list[Any]], list[Any]]) -> None:
        """Recompute every trace that the observations belong to from all that is stored of it."""
        traces: dict[str, dict[str, None]] = {}
        for record in observations:
            traces.setdefault(record.project, {})[record.trace_id] = None
        for project, trace_ids in traces.items():
            every = list(trace_ids)
            for start in range(0, len(every), _TRACES_AT_ONCE):
                values = prepare([project, *padded(every[start : start + _TRACES_AT_ONCE])])
                self._of_traces("roll_up_traces", values)
                disagreeing = [trace_id for (trace_id,) in self._of_traces("disagreeing_traces", values).fetchall()]
                if disagreeing:
                    self._unite([values[0], *padded(disagreeing)], prepare)

    def _unite(self, project_and_traces: list[Any], prepare: Callable[[list[Any]], list[Any]]) -> None:
        """Unite the attributes of traces whose observations carry different ones."""
        sayings: dict[Any, list[Saying]] = {}
        for trace_id, *row in self._of_traces("sayings", project_and_traces).fetchall():
            sayings.setdefault(trace_id, []).append(_saying(row))
        self._unite_traces(
            prepare(
                [
                    value
                    for trace_id, said in sayings.items()
                    for value in (*attribute_values(unite_attributes(said), NULL), project_and_traces[0], trace_id)
                ]
            )
        )

    def _of_traces(self, name: str, project_and_traces: list[Any]) -> sqlite3.Cursor:
        marks = ", ".join("?" * (len(project_and_traces) - 1))
        return self._raw.execute(self._sql[name].format(trace_ids=marks), project_and_traces)


def _as_they_are(values: list[Any]) -> list[Any]:
    return values


def _sorted_out(batch: Batch) -> _Kinds:
    kinds = _Kinds()
    observations = kinds.observations
    for record in batch:
        if isinstance(record, Span):
            observations.append(record)
        elif isinstance(record, Session):
            kinds.sessions.append(record)
        elif isinstance(record, Score):
            kinds.scores.append(record)
        elif isinstance(record, LedgerEntry):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may not be typed
            kinds.entries.append(record)
        else:
            raise BackendRejected(f"a batch cannot hold a {type(record).__name__}", "write records only")
    return kinds


def _saying(row: list[Any]) -> Saying:
    last, name, user_id, session_id, tags, release, version, environment, public, metadata = map(text_of, row)
    return (
        int(last[:20]),
        last[20:],
        TraceAttributes(
            name, user_id, session_id, unpack_tags(tags), payload_of(metadata), release, version, environment,
            None if public is None else bool(public),
        ),
    )  # fmt: skip
