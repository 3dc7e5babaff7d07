"""The views that people query, the same on every SQL backend: a view only grows, a column never changes its meaning.

Every view holds every project: name the one you mean. Times come twice: as ISO 8601 text in UTC (``start``), which
sorts and reads, and in ns since the epoch (``start_ns``), which is exact. NULL means unknown or not said.
"""

from __future__ import annotations

from typing import Final

__all__ = ["VIEWS"]

_OBSERVATION: Final = {
    "project": "the project it belongs to",
    "trace_id": "its trace: 32 hexadecimal characters",
    "span_id": "itself: 16 hexadecimal characters",
    "parent_id": "the span it ran inside; NULL for a root",
    "type": "span, generation, event, agent, tool, chain, retriever, evaluator, embedding or guardrail",
    "name": "what the program calls it",
    "start": "when it began, ISO 8601",
    "start_ns": "the same in ns",
    "duration_ms": "how long it took; NULL while it runs",
    "duration_ns": "the same in ns",
    "status": "running, ok, error, cancelled or abandoned",
    "level": "DEBUG, DEFAULT, WARNING or ERROR",
    "status_message": "what the program said about its outcome",
    "is_error": "1 when its status is error or abandoned or its level is ERROR",
    "error_type": "the type of the exception that ended it",
    "error_message": "the exception's text",
    "user_id": "the user that its trace is for, as it carries it",
    "session_id": "the session of its trace, as it carries it",
    "trace_name": "the name given to its trace",
    "tags": "the tags of its trace, a JSON array",
    "release": "the deployment",
    "environment": "production, staging, …",
    "version": "the version of the program, its own or its trace's",
    "input": "JSON text",
    "output": "JSON text",
    "metadata": "JSON text",
    "trace_metadata": "JSON text: what is said about the whole trace",
    "error_stack": "the exception's stack",
}
_TOTALS: Final = {
    "observation_count": "how many spans, generations and events",
    "error_count": "how many of them count as errors",
    "input_tokens": "units in buckets named *input*, over its generations",
    "output_tokens": "units in buckets named *output*",
    "total_tokens": "all units",
    "total_cost": "USD, the sum of what is known; NULL when nothing is",
    "cost_known": "0 when a generation that used units has no cost",
}

VIEWS: Final[dict[str, dict[str, str]]] = {
    "spans": _OBSERVATION
    | {"model": "the model that was called", "total_tokens": "units used", "total_cost": "USD; NULL when unknown"},
    "generations": _OBSERVATION
    | {
        "model": "the model, as the program names it",
        "model_parameters": "JSON text",
        "input_tokens": "units in buckets named *input*",
        "output_tokens": "units in buckets named *output*",
        "total_tokens": "all units",
        "usage": "units per bucket, a JSON object",
        "total_cost": "USD; NULL when unknown",
        "costs": "USD per bucket, a JSON object",
        "time_to_first_token_ms": "from its start to the first piece of the answer",
        "prompt_name": "the prompt it was made from",
        "prompt_version": "and its version",
    },
    "traces": {
        "project": "the project it belongs to",
        "trace_id": "32 hexadecimal characters",
        "name": "the name given to it, else its root's",
        "start": "when its first observation began, ISO 8601",
        "start_ns": "the same in ns",
        "duration_ms": "from the first start to the last end",
        "duration_ns": "the same in ns",
        "user_id": "whom it was for",
        "session_id": "the session it belongs to",
        "tags": "a JSON array",
        "release": "the deployment",
        "version": "the version of the program",
        "environment": "production, staging, …",
        "public": "1 when it may be seen by anybody",
        "metadata": "a JSON object",
        "running": "how many observations have not ended",
        **_TOTALS,
        "root_id": "the span id of its root",
        "input": "its root's input, JSON text",
        "output": "its root's output, JSON text",
    },
    "sessions": {
        "project": "the project it belongs to",
        "session_id": "its name",
        "start": "when its first trace began, ISO 8601",
        "start_ns": "the same in ns",
        "last_start": "when its last trace began, ISO 8601",
        "duration_ms": "from the first start to the last end of its traces",
        "trace_count": "how many traces",
        "user_ids": "the users of its traces, a JSON array",
        **_TOTALS,
        "environment": "what its own record says",
        "public": "1 when it may be seen by anybody",
        "bookmarked": "1 when somebody marked it",
    },
    "scores": {
        "project": "the project it belongs to",
        "score_id": "its name",
        "name": "what is judged",
        "time": "when, ISO 8601",
        "timestamp_ns": "the same in ns",
        "data_type": "NUMERIC, BOOLEAN, CATEGORICAL, TEXT or CORRECTION",
        "value": "of NUMERIC and BOOLEAN scores",
        "string_value": "of the others",
        "source": "API, EVAL or ANNOTATION",
        "trace_id": "the trace that is judged",
        "observation_id": "the span in it",
        "session_id": "or the session",
        "experiment_id": "or the experiment",
        "comment": "why",
        "metadata": "JSON text",
        "environment": "production, staging, …",
        "author_user_id": "who judged",
    },
}
"""What each view is made of: view, column, meaning."""
