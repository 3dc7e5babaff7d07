"""Lists of what is of an experiment follow the indexes that hold nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.sqlite.files import opened, span
from tracecore.backend import ObservationQuery
from tracecore.records import Experiment, Provenance
from tracecore_sql.experiments import index_for
from tracecore_sql.filters import observation_conditions, start_column
from tracecore_sqlite.meeting import DIALECT
from tracecore_sqlite.observations import _walk

MORE: dict[str, Any] = {"since_ns": 5, "name": "s7", "bodies": True, "has_error": True}


def _plan(raw: sqlite3.Connection, query: ObservationQuery) -> list[str]:
    where = observation_conditions("default", query, DIALECT)
    sql = _walk(query, "o.span_id", where, f"{start_column(query)} DESC, span_id DESC, trace_id DESC")
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql} LIMIT 51", where.values)]


async def test_lists_of_experiments(tmp_path: Path) -> None:
    """One experiment is a range of its index, items of all are walked by theirs; nothing is sorted but among ties."""
    path = tmp_path / "a.db"
    async with opened(path) as writing:
        spans = [replace(span(number, trace=number // 3), provenance=Provenance("otel")) for number in range(2_000)]
        of = [replace(one, experiment=Experiment("e", item_root_span_id=one.span_id)) for one in spans[:20]]
        await writing.write(of + spans[20:])
    with closing(sqlite3.connect(path)) as raw:
        for index in ("tc_observations_by_experiment", "tc_observations_experiment_items"):
            [(pages,)] = raw.execute("SELECT count(*) FROM dbstat WHERE name = ?", (index,))
            assert pages == 1  # of two thousand rows it holds twenty
        for asked, chosen in product(
            ({"experiment_id": "e"}, {"experiment_items": True}, {"experiment_id": "e", "experiment_items": True}),
            product((False, True), repeat=len(MORE)),
        ):
            more = {name: MORE[name] for name, is_set in zip(MORE, chosen, strict=True) if is_set}
            query = ObservationQuery(**asked, **more)
            lines = _plan(raw, query)
            index = index_for(query)
            keys = "project=? AND <expr>=?" if "experiment_id" in asked else "project=?"
            assert lines[0].startswith(f"SEARCH o USING INDEX {index} ({keys}"), lines
            assert "USE TEMP B-TREE FOR ORDER BY" not in lines
            assert not [line for line in lines if line.startswith("SCAN")]
        of_trace = ObservationQuery(experiment_items=True, trace_id=f"{1:032x}")
        assert "sqlite_autoindex_tc_observations_1" in _plan(raw, of_trace)[0]
