"""The statements of the writer, put together: columns and packed rows in the places that ``statements.sql`` leaves."""

from __future__ import annotations

from functools import cache
from typing import Final

from msgspec import Struct

from tracecore_postgres.packing import source
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.ledger import LEDGER_COLUMNS
from tracecore_sql.scores import SCORE_COLUMNS
from tracecore_sql.statements import load_statements

__all__ = ["BODIES", "ENTRIES", "SCORES", "SESSIONS", "STAGED", "UNITED", "Sql", "sql"]

_TYPES: Final = {
    "kind": "smallint", "start_ns": "bigint", "duration_ns": "bigint", "app_root": "smallint",
    "completion_start_ns": "bigint", "received_ns": "bigint", "public": "smallint", "input_tokens": "bigint",
    "output_tokens": "bigint", "total_tokens": "bigint", "total_cost": "double precision", "prompt_version": "bigint",
}  # fmt: skip
"""The types of the columns that are no text."""
_ATTRIBUTES: Final = (
    "trace_name", "user_id", "session_id", "tags", "release", "version", "environment", "public", "metadata",
)  # fmt: skip
_ROLLED: Final = (
    "name", "root_id", "start_ns", "end_ns", "observation_count", "running", "error_count", "input_tokens",
    "output_tokens", "total_tokens", "total_cost", "cost_known", *_ATTRIBUTES, "disagree",
)  # fmt: skip
"""The columns of ``tc_traces`` that follow from observations."""

STAGED: Final = {"id": "bigint", **{name: _TYPES.get(name, "text") for name in LIST_COLUMNS}, "process": "text"}
BODIES: Final = {"id": "bigint", **dict.fromkeys(BODY_COLUMNS, "text")}
UNITED: Final = {"project": "text", "trace_id": "text"} | {name: _TYPES.get(name, "text") for name in _ATTRIBUTES}
SESSIONS: Final = {
    "project": "text", "session_id": "text", "last_start_ns": "bigint", "own": "smallint", "environment": "text",
    "public": "smallint", "bookmarked": "smallint",
}  # fmt: skip
SCORES: Final = dict.fromkeys(SCORE_COLUMNS, "text") | {"timestamp_ns": "bigint", "value": "double precision"}
_ENTRY_TEXTS: Final = ("project", "process", "lost", "host", "service_name")
ENTRIES: Final = {name: "text" if name in _ENTRY_TEXTS else "bigint" for name in LEDGER_COLUMNS}


class Sql(Struct, frozen=True):
    """Hold the statements of the writer."""

    write_new: str
    write_only_new: str
    """The same; an error, where an observation of a new trace is there already."""
    write_known: str
    lock_traces: str
    find_observations: str
    remove_observations: str
    roll_up: str
    sayings: str
    unite_traces: str
    upsert_sessions: str
    follow_traces: str
    upsert_scores: str
    upsert_ledger: str
    end_processes: str
    abandoned: str


@cache
def sql() -> Sql:
    """Return the statements of the writer."""
    named = load_statements("tracecore_postgres", "statements.sql")
    of_traces = named["of_traces"]
    rolled_up = named["rolled_up"].format
    new_owners = named["new_owners"].format(rolled=_list(_ROLLED), rolled_up=rolled_up(observations="staged"))
    return Sql(
        write_new=_write(named, first=4, owners=new_owners, answer=named["new_answer"]),
        write_only_new=_write(named, first=4, owners=new_owners, answer=named["new_answer"], only_new=True),
        write_known=_write(named, first=5, owners=named["known_owners"], answer=named["known_answer"]),
        lock_traces=named["lock_traces"],
        find_observations=named["find_observations"].format(
            listed=_list(LIST_COLUMNS, "o."), body=_list(BODY_COLUMNS, "b.")
        ),
        remove_observations=named["remove_observations"],
        roll_up=named["roll_up"].format(
            rolled=_list(_ROLLED), r_rolled=_list(_ROLLED, "r."), rolled_up=rolled_up(observations=of_traces)
        ),
        sayings=named["sayings"].format(observations=of_traces),
        unite_traces=named["unite_traces"].format(united=source(UNITED, 2)),
        upsert_sessions=named["upsert_sessions"].format(sessions=source(SESSIONS, 2)),
        follow_traces=named["follow_traces"],
        upsert_scores=named["upsert_scores"].format(scored=_list(SCORE_COLUMNS), scores=source(SCORES, 2)),
        upsert_ledger=named["upsert_ledger"].format(
            entry=_list(LEDGER_COLUMNS),
            entries=source(ENTRIES, 2),
            entry_rest=_list(LEDGER_COLUMNS[3:-1]),
            excluded_rest=_list(LEDGER_COLUMNS[3:-1], "excluded."),
        ),
        end_processes=named["end_processes"],
        abandoned=named["abandoned"],
    )


def _write(named: dict[str, str], *, first: int, owners: str, answer: str, only_new: bool = False) -> str:
    return named["write"].format(
        staged=source(STAGED, first),
        bodies=source(BODIES, first + len(STAGED)),
        owners=owners,
        answer=answer,
        if_there="" if only_new else "ON CONFLICT DO NOTHING",
        if_queued="" if only_new else "ON CONFLICT (week, id) DO UPDATE SET id = excluded.id",
        listed=_list(LIST_COLUMNS),
        s_listed=_list(LIST_COLUMNS, "s."),
        body=_list(BODY_COLUMNS),
        b_body=_list(BODY_COLUMNS, "b."),
    )


def _list(columns: tuple[str, ...], table: str = "") -> str:
    return ", ".join(f"{table}{column}" for column in columns)
