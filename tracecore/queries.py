"""What can be asked of the stores: one Struct for each list.

They are part of the contract (:mod:`tracecore.backend`, which hands them on), and travel to a server as they are.
"""

from __future__ import annotations

from typing import Literal, cast

from msgspec import Struct

from tracecore.conditions import MOST_CONDITIONS, MOST_VALUES, BadCondition, Condition
from tracecore.records import ObservationType, ScoreType

__all__ = ["LedgerQuery", "ObservationQuery", "ScoreQuery", "SessionQuery", "TraceQuery"]


class TraceQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Select traces; every condition that is set must hold. Newest start first, ties by trace id descending.

    ``limit`` is 1 to 1,000. ``since_ns`` is inclusive and ``until_ns`` exclusive, both on the trace's start. ``tags``
    must all be present. ``search`` is a phrase of words (:mod:`tracecore.phrase`) that must occur in the input, output,
    metadata, status message or error (type, message or stack) of one observation; case and accents are ignored, and a
    phrase without a word is found nowhere.
    """

    limit: int = 50
    cursor: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    name: str | None = None
    release: str | None = None
    version: str | None = None
    environment: str | None = None
    tags: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    has_error: bool | None = None
    running: bool | None = None
    min_duration_ns: int | None = None
    min_cost: float | None = None
    search: str | None = None


class ObservationQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Select observations; every condition that is set must hold. Newest start first, ties by span id descending.

    Conditions are on the observation's own fields: ``user_id`` and ``session_id`` are those it carries in ``trace``.
    ``bodies`` asks for input, output, metadata and every other payload too; without it they are ``ABSENT``, an error's
    stack is empty, and neither is read at all, unless a condition in ``where`` is on one: there, too, all must hold, as
    :func:`tracecore.filtering.meets` says. The other rules are those of :class:`TraceQuery`.
    """

    limit: int = 50
    cursor: str | None = None
    trace_id: str | None = None
    name: str | None = None
    type: ObservationType | None = None
    model: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    has_error: bool | None = None
    running: bool | None = None
    min_duration_ns: int | None = None
    search: str | None = None
    bodies: bool = False
    where: tuple[Condition, ...] = ()
    experiment_id: str | None = None
    """The experiment that they are of: what ``experiment.id`` says."""
    experiment_items: bool = False
    """Only what stands for an item of an experiment: whose own id is ``experiment.item_root_span_id``."""

    def __post_init__(self) -> None:
        """Check that there are not too many conditions."""
        if len(self.where) > MOST_CONDITIONS:
            raise BadCondition(f"a query with {len(self.where)} conditions: use at most {MOST_CONDITIONS}")
        named = sum(len(condition.value) for condition in self.where if isinstance(condition.value, tuple))
        if named > MOST_VALUES:
            raise BadCondition(f"a query whose conditions name {named} texts: name at most {MOST_VALUES}")


class SessionQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Select sessions, the one whose last trace started most recently first, ties by session id descending.

    ``since_ns`` (inclusive) and ``until_ns`` (exclusive) are on the start of the last trace; ``user_id`` holds when any
    trace of the session carries it. Sessions without a trace come last and meet none of these conditions.
    """

    limit: int = 50
    cursor: str | None = None
    user_id: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None


class ScoreQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Select scores; every condition that is set must hold. Newest timestamp first, ties by score id descending.

    ``since_ns`` is inclusive and ``until_ns`` exclusive, both on the timestamp. ``min_value`` and ``max_value`` are
    inclusive; a score without a ``value`` meets neither. A tuple that is not empty names values of which the score must
    have one: ``names`` those of ``name``, and so on.
    """

    limit: int = 50
    cursor: str | None = None
    name: str | None = None
    data_type: ScoreType | None = None
    source: Literal["API", "EVAL", "ANNOTATION"] | None = None
    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None
    experiment_id: str | None = None
    environment: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    min_value: float | None = None
    max_value: float | None = None
    score_ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    data_types: tuple[ScoreType, ...] = ()
    sources: tuple[Literal["API", "EVAL", "ANNOTATION"], ...] = ()
    trace_ids: tuple[str, ...] = ()
    observation_ids: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()
    experiment_ids: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    config_ids: tuple[str, ...] = ()
    queue_ids: tuple[str, ...] = ()
    author_user_ids: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    string_values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that no tuple is too long."""
        for field in self.__struct_fields__:
            value = getattr(self, field)
            count = len(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else 0
            if count > MOST_VALUES:
                raise BadCondition(f"{field} with {count} values: name at most {MOST_VALUES}")


class LedgerQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Select ledger entries; every condition that is set must hold. Newest minute first, ties by process descending.

    ``since_ns`` is inclusive and ``until_ns`` exclusive, both on the start of the minute. ``last`` selects, before any
    other condition, the last entry of each process.
    """

    limit: int = 50
    cursor: str | None = None
    process: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    last: bool = False
