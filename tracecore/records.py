"""The records: immutable facts as msgspec Structs.

A record is what the buffer holds, a sink writes, a store returns and the wire carries. Its rules:

* Times are integers: nanoseconds since the Unix epoch (UTC) for ``*_ns`` points, nanoseconds for ``*_duration_ns``.
  A start is read from the wall clock, a duration from the monotonic clock; a duration is never negative.
* Money is USD as a float; usage is integer units per bucket (tokens, unless the bucket's name says otherwise).
  Buckets are disjoint: cached input is not counted in ``input`` again. ``None`` means unknown and is never zero.
* A payload (``input``, ``output``, ``metadata``) is JSON that has been encoded once, as ``msgspec.Raw``. No payload is
  ``ABSENT``, which is falsy; the JSON ``null`` is a payload like any other.
* The identity of an observation is (project, trace_id, span_id); of a session (project, session_id); of a score
  (project, score_id); of a ledger entry (project, process, minute_ns). Writing the same identity twice merges: a later
  record wins only in the fields it sets (:func:`merge` is that rule).

Evolution rules, so that old readers and new writers, and new readers and old files, understand each other:

1. A new field has a default and is appended at the end of its Struct.
2. A field never changes its name, meaning, unit or type; it is replaced by a new field with a new name.
3. A removed field leaves its name reserved for ever in ``RESERVED``.
4. Unknown fields are ignored on decode; defaults are omitted on encode.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

__all__ = [
    "ABSENT",
    "GENERATION_TYPES",
    "LEVELS",
    "OBSERVATION_TYPES",
    "RESERVED",
    "STATUSES",
    "ErrorInfo",
    "Event",
    "Experiment",
    "Generation",
    "LedgerEntry",
    "Level",
    "Observation",
    "ObservationType",
    "Provenance",
    "Record",
    "Score",
    "ScoreType",
    "Session",
    "Span",
    "Status",
    "Trace",
    "TraceAttributes",
    "decode_record",
    "encode_record",
    "merge",
    "usage_totals",
]

ObservationType: TypeAlias = Literal[
    "span", "generation", "event", "agent", "tool", "chain", "retriever", "evaluator", "embedding", "guardrail"
]
Level: TypeAlias = Literal["DEBUG", "DEFAULT", "WARNING", "ERROR"]
Status: TypeAlias = Literal["running", "ok", "error", "cancelled", "abandoned"]
ScoreType: TypeAlias = Literal["NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"]

OBSERVATION_TYPES: Final[tuple[ObservationType, ...]] = (
    "span", "generation", "event", "agent", "tool", "chain", "retriever", "evaluator", "embedding", "guardrail",
)  # fmt: skip
GENERATION_TYPES: Final[frozenset[ObservationType]] = frozenset({"generation", "embedding"})
LEVELS: Final[tuple[Level, ...]] = ("DEBUG", "DEFAULT", "WARNING", "ERROR")
STATUSES: Final[tuple[Status, ...]] = ("running", "ok", "error", "cancelled", "abandoned")
ABSENT: Final = Raw()
"""The payload that is not there. Always this very object, so that it is left out when a record is encoded."""
RESERVED: Final[frozenset[str]] = frozenset()
"""Names of fields that once existed; none may be used again."""


class TraceAttributes(Struct, frozen=True, omit_defaults=True, gc=False):
    """Carry what is said once about a trace and copied onto every observation inside it.

    ``user_id`` and ``session_id`` are at most 200 characters. ``environment`` follows ``[a-z0-9-_]{1,40}`` and does not
    begin with ``langfuse``. ``version`` is the application's, ``release`` the deployment's (a commit or a tag).
    """

    name: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Raw = ABSENT
    release: str | None = None
    version: str | None = None
    environment: str | None = None
    public: bool | None = None


class ErrorInfo(Struct, frozen=True, omit_defaults=True, gc=False):
    """Describe the exception that ended an observation."""

    type: str
    message: str = ""
    stack: str = ""


class Experiment(Struct, frozen=True, omit_defaults=True, gc=False):
    """Link an observation to the experiment run that produced it (Langfuse ``experiment_*``)."""

    id: str
    name: str | None = None
    description: str | None = None
    metadata: Raw = ABSENT
    dataset_id: str | None = None
    item_id: str | None = None
    item_version: str | None = None
    item_expected_output: Raw = ABSENT
    item_metadata: Raw = ABSENT
    item_root_span_id: str | None = None


class Provenance(Struct, frozen=True, omit_defaults=True, gc=False):
    """Say which client sent an observation, through which door.

    ``service_instance_id`` is the ``process`` of the ledger entries of whoever recorded it: when that process is gone,
    a span of it that still runs was abandoned.
    """

    source: str | None = None
    api_key: str | None = None
    sdk_name: str | None = None
    sdk_version: str | None = None
    sdk_language: str | None = None
    service_name: str | None = None
    service_version: str | None = None
    scope_name: str | None = None
    scope_version: str | None = None
    service_instance_id: str | None = None


class Span(Struct, frozen=True, omit_defaults=True, gc=False, tag_field="record", tag="span"):
    """State that a named piece of work happened: the common fields of every observation.

    ``trace_id`` is 32 and ``span_id`` 16 lower-case hexadecimal characters (W3C Trace Context). ``start_ns`` is wall
    clock, ``duration_ns`` monotonic; ``duration_ns`` is None while ``status`` is ``running``. ``app_root`` marks the
    first observation of this application under a foreign parent.
    """

    project: str
    trace_id: str
    span_id: str
    name: str
    start_ns: int
    parent_id: str | None = None
    type: ObservationType = "span"
    duration_ns: int | None = None
    status: Status = "ok"
    level: Level = "DEFAULT"
    status_message: str | None = None
    input: Raw = ABSENT
    output: Raw = ABSENT
    metadata: Raw = ABSENT
    trace: TraceAttributes = TraceAttributes()
    error: ErrorInfo | None = None
    version: str | None = None
    app_root: bool = False
    completion_start_ns: int | None = None
    tool_definitions: Raw = ABSENT
    tool_calls: Raw = ABSENT
    tool_call_names: tuple[str, ...] = ()
    experiment: Experiment | None = None
    provenance: Provenance | None = None
    received_ns: int | None = None

    @property
    def end_ns(self) -> int | None:
        """Return the wall-clock end in ns, or None while running."""
        return None if self.duration_ns is None else self.start_ns + self.duration_ns


class Generation(Span, frozen=True, omit_defaults=True, gc=False, tag_field="record", tag="generation"):
    """State that a model was called: a span with model, usage and cost.

    ``usage_details`` are disjoint buckets of units; ``cost_details`` USD per bucket; ``total_cost`` USD, None when
    unknown. ``model`` is the name the caller gave, ``model_id`` the price definition that made the cost; without it the
    cost is the caller's. ``provided_*`` hold what the caller gave where that was not the same (other names, nested
    details).
    """

    model: str | None = None
    model_id: str | None = None
    model_parameters: Raw = ABSENT
    usage_details: dict[str, int] | None = None
    provided_usage_details: dict[str, int] | None = None
    cost_details: dict[str, float] | None = None
    provided_cost_details: dict[str, float] | None = None
    total_cost: float | None = None
    pricing_tier: str | None = None
    prompt_id: str | None = None
    prompt_name: str | None = None
    prompt_version: int | None = None


class Event(Span, frozen=True, omit_defaults=True, gc=False, tag_field="record", tag="event"):
    """State that something happened at a point in time: ``duration_ns`` is 0, ``type`` is ``event``."""


class Session(Struct, frozen=True, omit_defaults=True, gc=False, tag_field="record", tag="session"):
    """State a session: its own attributes, and the roll-up of its traces when read from a store.

    Roll-up fields are computed by the store and ignored on write. ``total_cost`` is the sum of the known costs;
    ``cost_known`` is False when any generation that used units has no cost.
    """

    project: str
    session_id: str
    environment: str | None = None
    public: bool | None = None
    bookmarked: bool | None = None
    trace_count: int = 0
    observation_count: int = 0
    error_count: int = 0
    user_ids: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    total_cost: float | None = None
    cost_known: bool = True


class Trace(Struct, frozen=True, omit_defaults=True, gc=False, tag_field="record", tag="trace"):
    """State what is known of one trace: attributes of all its observations and their roll-up, as a store returns it.

    ``start_ns``/``end_ns`` span all observations; ``running`` counts those that have not ended; ``error_count`` those
    with status ``error``, ``abandoned`` or level ``ERROR``. ``input``/``output`` are the root's. Tokens and cost are
    sums over generations; ``cost_known`` is False when any generation that used units has no cost.
    """

    project: str
    trace_id: str
    name: str | None = None
    root_id: str | None = None
    start_ns: int = 0
    end_ns: int = 0
    attributes: TraceAttributes = TraceAttributes()
    bookmarked: bool | None = None
    observation_count: int = 0
    running: int = 0
    error_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    total_cost: float | None = None
    cost_known: bool = True
    input: Raw = ABSENT
    output: Raw = ABSENT

    @property
    def duration_ns(self) -> int:
        """Return the time from the first start to the last end in ns."""
        return max(0, self.end_ns - self.start_ns)


class Score(Struct, frozen=True, omit_defaults=True, gc=False, tag_field="record", tag="score"):
    """State a judgement about exactly one subject: a trace (optionally one observation), a session or an experiment.

    ``value`` holds NUMERIC and BOOLEAN (0 or 1) scores, ``string_value`` CATEGORICAL, TEXT and CORRECTION ones.
    """

    project: str
    score_id: str
    name: str
    timestamp_ns: int
    data_type: ScoreType = "NUMERIC"
    value: float | None = None
    string_value: str | None = None
    source: Literal["API", "EVAL", "ANNOTATION"] = "API"
    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None
    experiment_id: str | None = None
    comment: str | None = None
    metadata: Raw = ABSENT
    config_id: str | None = None
    environment: str | None = None
    author_user_id: str | None = None
    queue_id: str | None = None
    execution_trace_id: str | None = None


class LedgerEntry(Struct, frozen=True, omit_defaults=True, gc=False, tag_field="record", tag="ledger"):
    """State what became of everything that one process recorded, as of the last moment it was seen in a minute.

    A recorder writes its entry in the same batch as the records that it counts, as if that batch were delivered: what
    is stored of both agrees at any moment, whenever the process is killed. Counts go on from the beginning of the
    process to its end, so every entry proves itself: ``emitted == delivered + waiting + sum(lost)`` (``unaccounted`` is
    the difference). ``process`` is the random id of one recorder in one process (``service.instance.id``); its times
    never go back, even where the wall clock does. ``minute_ns`` is the start of the minute, ``seen_ns`` the moment at
    which the entry was written; whoever finds a process dead writes its last entry again as it is, only ``ended``.
    """

    project: str
    process: str
    minute_ns: int
    seen_ns: int = 0
    emitted: int = 0
    delivered: int = 0
    waiting: int = 0
    """Records that were accepted and are neither delivered nor lost: in memory or in the journal."""
    sampled: int = 0
    """Traces left out by the sampling rate: nothing of them is among the emitted, nor in ``lost``."""
    lost: dict[str, int] | None = None
    """Records by reason (:data:`tracecore.loss.REASONS`); None when there are none."""
    recovered: int = 0
    """Records delivered out of the journals of dead processes: they are among neither the emitted nor the delivered."""
    restarts: int = 0
    """How often a pump that had died or hung was replaced."""
    host: str | None = None
    pid: int | None = None
    service_name: str | None = None
    started_ns: int = 0
    ended: bool = False
    """The process has ended, or somebody found it dead."""

    @property
    def unaccounted(self) -> int:
        """Return how many records are missing from the account, which is 0 unless there is a mistake in tracecore."""
        return self.emitted - self.delivered - self.waiting - sum((self.lost or {}).values())


Observation: TypeAlias = Span | Generation | Event
Record: TypeAlias = Span | Generation | Event | Session | Score | LedgerEntry
"""What a sink accepts."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Span | Generation | Event | Session | Score | LedgerEntry | Trace)


def encode_record(record: Record | Trace) -> bytes:
    """Encode a record as one JSON object; payloads are spliced, never encoded again."""
    return _encoder.encode(record)


def decode_record(data: bytes | str) -> Record | Trace:
    """Decode what :func:`encode_record` wrote.

    Raises:
        msgspec.ValidationError: the JSON is not a record of a known kind.
    """
    record: Record | Trace = _decoder.decode(data)
    return record


_BREADTH: Final[dict[type[Struct], int]] = {Span: 0, Event: 1, Generation: 2}
_ENDED: Final[dict[Status, int]] = {"running": 0, "abandoned": 1}
"""How far a status is from its end; every other one is an end."""
_LARGEST_COUNT: Final = 2**53


def merge(earlier: Record, later: Record) -> Record:
    """Return what two records of one identity say together.

    * ``later`` wins field by field, only where it sets the field (a value other than the field's default).
    * ``trace`` is merged attribute by attribute; ``error``, ``experiment``, ``provenance`` and every map are one value.
    * A status comes after those before it in ``running``, ``abandoned``, and the ended ones (``ok``, ``error``,
      ``cancelled``), in whatever order the records come: an ended record wins over an abandoned one and both over a
      running one, which fill only what the other left unset.
    * Of two ledger entries the one that was seen later replaces the other as a whole (of two seen at once, ``later``);
      only ``ended`` stays true.
    * A span merged with an event or a generation is that event or generation; of those two the generation stays.

    Neither argument is changed; both must have the same identity.
    """
    if isinstance(earlier, Span) and isinstance(later, Span):
        return _merge_observations(earlier, later)
    if isinstance(earlier, LedgerEntry) and isinstance(later, LedgerEntry):
        return _later_entry(earlier, later)
    return type(later)(**{**_set_fields(earlier), **_set_fields(later)})


def usage_totals(usage: dict[str, int] | None) -> tuple[int, int, int]:
    """Return the input, output and total units of a usage map.

    A bucket counts as input when its name contains ``input``, else as output when it contains ``output``. ``total`` is
    an aggregate, not a bucket: without it the total is the sum of all buckets. Each number is cut to 0 … 2**53, so that
    no sum over them overflows.
    """
    if not usage:
        return 0, 0, 0
    read = written = other = 0
    for bucket, units in usage.items():
        if "input" in bucket:
            read += units
        elif "output" in bucket:
            written += units
        elif bucket != "total":
            other += units
    total = usage.get("total", read + written + other)
    if 0 <= read <= _LARGEST_COUNT and 0 <= written <= _LARGEST_COUNT and 0 <= total <= _LARGEST_COUNT:
        return read, written, total
    return _countable(read), _countable(written), _countable(total)


def _countable(units: int) -> int:
    return max(0, min(units, _LARGEST_COUNT))


def _merge_observations(earlier: Span, later: Span) -> Span:
    if _ENDED.get(later.status, 2) < _ENDED.get(earlier.status, 2):
        earlier, later = later, earlier
    values = {**_set_fields(earlier), **_set_fields(later)}
    if later.status == "ok" and earlier.status in _ENDED:
        values["status"] = "ok"
    values["trace"] = TraceAttributes(**{**_set_fields(earlier.trace), **_set_fields(later.trace)})
    kind = max(type(earlier), type(later), key=_BREADTH.__getitem__)
    return kind(**values)


def _later_entry(earlier: LedgerEntry, later: LedgerEntry) -> LedgerEntry:
    newest, other = (earlier, later) if later.seen_ns < earlier.seen_ns else (later, earlier)
    return msgspec.structs.replace(newest, ended=True) if other.ended and not newest.ended else newest


def _set_fields(record: Struct) -> dict[str, Any]:
    """Return the fields that say something; an empty payload says nothing, whichever object holds it."""
    found: dict[str, Any] = {}
    for field in _fields_of(type(record)):
        value = getattr(record, field.name)
        if field.required or (value != field.default and not (type(value) is Raw and not value)):
            found[field.name] = value
    return found


@cache
def _fields_of(kind: type[Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return the fields of a kind of record: msgspec evaluates every annotation for it, which takes a millisecond."""
    return msgspec.structs.fields(kind)
