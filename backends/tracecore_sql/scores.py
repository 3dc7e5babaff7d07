"""Scores as rows and back, and conditions on them. Their rows are made by ``to_rows.score_values``."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tracecore.backend import ScoreQuery
from tracecore.records import Score
from tracecore.selection import score_values_of
from tracecore_sql.filters import Conditions
from tracecore_sql.from_rows import Row, payload_of, text_of

__all__ = ["SCORE_COLUMNS", "score_conditions", "score_of", "single_values"]

SCORE_COLUMNS: Final = (
    "project", "score_id", "name", "timestamp_ns", "data_type", "value", "string_value", "source", "trace_id",
    "observation_id", "session_id", "experiment_id", "comment", "metadata", "config_id", "environment",
    "author_user_id", "queue_id", "execution_trace_id",
)  # fmt: skip
"""The columns of a score, in the order of its fields; the first two are its key."""
_METADATA: Final = SCORE_COLUMNS.index("metadata")


def score_of(row: Row) -> Score:
    """Return the record of a row of ``SCORE_COLUMNS``."""
    values = [text_of(value) for value in row]
    values[_METADATA] = payload_of(row[_METADATA])  # its bytes, which need be no text
    return Score(*values)


def score_conditions(project: str, query: ScoreQuery) -> Conditions:
    """Return the conditions on the scores, all but ``cursor``."""
    found = Conditions()
    found.equal(project=project, name=query.name, data_type=query.data_type, source=query.source)
    found.equal(trace_id=query.trace_id, observation_id=query.observation_id, session_id=query.session_id)
    found.equal(experiment_id=query.experiment_id, environment=query.environment)
    found.between("timestamp_ns", query.since_ns, query.until_ns)
    if query.min_value is not None:
        found.add("value >= ?", query.min_value)
    if query.max_value is not None:
        found.add("value <= ?", query.max_value)
    for column, values in score_values_of(query):
        found.among(column, values)
    return found


def single_values(query: ScoreQuery) -> ScoreQuery:
    """Return the same query with each tuple of one value as that value, for which there may be a better index."""
    single = {
        column: values[0]
        for column, values in score_values_of(query)
        if len(values) == 1 and getattr(query, column, "") is None
    }
    return replace(query, **single, **{f"{column}s": () for column in single})
