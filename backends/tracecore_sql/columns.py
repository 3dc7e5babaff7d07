"""The columns of an observation, and what is packed into one of them.

An observation is one row of ``observations`` (what lists show and filters test) and, when it has any payload, one row
of ``bodies`` under the same id. Its rules:

* A payload is text, exactly the bytes that were recorded; no payload is NULL.
* What is rarely set and never filtered is packed as JSON into ``extra``.
* NULL in ``kind`` is a plain span, in ``level`` the default, in ``app_root`` False: rows stay short.
* A text that UTF-8 cannot hold (lone surrogates) is a BLOB in UTF-8 with surrogates passed through.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw, Struct

from tracecore.records import ABSENT, Event, Experiment, Generation, Provenance, Span

__all__ = ["BODY_COLUMNS", "KINDS", "LIST_COLUMNS", "Extra", "Payloads"]

LIST_COLUMNS: Final = (
    "project", "trace_id", "span_id", "parent_id", "kind", "type", "name", "start_ns", "duration_ns", "status", "level",
    "status_message", "app_root", "version", "completion_start_ns", "received_ns", "trace_name", "user_id",
    "session_id", "tags", "release", "trace_version", "environment", "public", "trace_metadata", "model", "usage",
    "input_tokens", "output_tokens", "total_tokens", "total_cost", "costs", "prompt_name", "prompt_version",
    "error", "extra",
)  # fmt: skip
"""The columns of ``observations`` after ``id``."""
BODY_COLUMNS: Final = ("input", "output", "metadata", "model_parameters", "error_stack", "extra")
"""The columns of ``bodies`` after ``id``."""

KINDS: Final[dict[int | None, type[Span]]] = {None: Span, 1: Event, 2: Generation}


class Extra(Struct, omit_defaults=True, gc=False):
    """Hold the list fields that are rarely set; the key stands first, where indexes look for it."""

    experiment_key: str | None = None
    """What :mod:`tracecore_sql.experiments` makes of the experiment."""
    model_id: str | None = None
    provided_usage_details: dict[str, int] | None = None
    provided_cost_details: dict[str, float] | None = None
    pricing_tier: str | None = None
    prompt_id: str | None = None
    tool_call_names: tuple[str, ...] = ()
    experiment: Experiment | None = None
    provenance: Provenance | None = None


class Payloads(Struct, omit_defaults=True, gc=False):
    """Hold the payloads that are rarely set."""

    tool_definitions: Raw = ABSENT
    tool_calls: Raw = ABSENT
    experiment_metadata: Raw = ABSENT
    item_expected_output: Raw = ABSENT
    item_metadata: Raw = ABSENT
