"""Rejected: one array per column, as a parameter for ``unnest``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.figures import Settings, Table
from benchmarks.progress import Step
from benchmarks.rejected.copy_stage import Store, joined, rows_of_ways
from tracecore.records import Observation
from tracecore_postgres.packing import columns_of
from tracecore_postgres.sql import BODIES, STAGED
from tracecore_sql.columns import BODY_COLUMNS, LIST_COLUMNS
from tracecore_sql.to_rows import body_values, list_values

__all__ = ["REASON", "WAYS", "run"]

REASON: Final = (
    "`INSERT … SELECT … FROM unnest($1::text[], $2::text[], …)` is one statement for a batch of any size, as is what"
    " was chosen. But the driver looks at every element twice, once to find out whether it is an array itself, and"
    ' spends 150 ns on each, where a row has 38; most of them are NULL. `"\\x02".join(column)` spends 15 ns, and'
    " `string_to_table` takes the text apart on the server about as fast as `unnest` takes an array apart. What that"
    " needs: a separator that no stored text holds, and a text that stands for NULL and is nobody's. Batches as above."
)
_LISTED: Final = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(STAGED.values(), 1))
_BODY: Final = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(BODIES.values(), 1 + len(STAGED)))
_ARRAYS: Final = (
    f"WITH kept AS (INSERT INTO bodies SELECT * FROM unnest({_BODY}))"  # noqa: S608 - made of constants
    f" INSERT INTO spans SELECT * FROM unnest({_LISTED})"
)


async def _arrays(connection: Any, spans: Sequence[Observation]) -> None:
    listed = columns_of(list_values(spans, None), len(LIST_COLUMNS))
    bodies = columns_of(body_values(spans, range(len(spans)), None), len(BODY_COLUMNS) + 1)
    await connection.execute(_ARRAYS, range(len(spans)), *listed, [None] * len(spans), *bodies)


WAYS: Final[dict[str, tuple[str, Store]]] = {
    "arrays": ("one array per column", _arrays),
    "joined": ("chosen: one text per column", joined),
}


def run(settings: Settings, step: Step) -> Table:
    """Store in both ways, in turn."""
    rows = rows_of_ways("rejected.array_parameters", WAYS, settings, step)
    return Table(suite="rejected/array_parameters", title="Into PostgreSQL", method=REASON, rows=rows)
