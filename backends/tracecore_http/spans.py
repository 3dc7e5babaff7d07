"""From observations to OTLP spans, before either encoding: pure functions.

What OTLP cannot say is said here, once:

* It knows ended spans only. A running one is left for its end, which follows.
* Its texts are UTF-8: a lone surrogate becomes a visible escape. Its integers have 64 bits: a larger one becomes text.
* Ids are bytes that are not all zero, times unsigned 64-bit nanoseconds: an observation with others cannot be exported.
* Of two attributes with one name a receiver keeps whichever it likes: each name is there once.
* A payload that is a text is sent as that text, every other one as its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from tracecore.codec import without_surrogates
from tracecore.records import Experiment, Generation, Observation, TraceAttributes, usage_totals
from tracecore_http.conventions import GEN_AI_OPERATIONS, GEN_AI_PARAMETERS, Dialect

__all__ = [
    "Attributes",
    "ExportedSpan",
    "Happening",
    "Value",
    "exported",
    "is_exportable",
    "iso_time",
    "payload_text",
    "text",
]

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
Attributes: TypeAlias = list[tuple[str, Value]]

_MOST_KEYS: Final = 48
"""Keys of metadata that become attributes of their own: many a server takes no more than 128 attributes."""
_KINDS: Final = {"generation": 3, "embedding": 3}
"""A model is called: CLIENT. Everything else is INTERNAL."""
_INTERNAL: Final = 1
_ERROR: Final = 2
_LARGEST_TIME: Final = 2**64 - 1
_LARGEST_INT: Final = 2**63 - 1
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_objects: Final = msgspec.json.Decoder(dict[str, Raw])
_texts: Final = msgspec.json.Decoder(str)


class Happening(Struct, frozen=True):
    """Hold an event of a span."""

    time_ns: int
    name: str
    attributes: Attributes


class ExportedSpan(Struct, frozen=True):
    """Hold what OTLP says of a span."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Attributes
    events: list[Happening]
    status: int
    message: str


def is_exportable(record: Observation) -> bool:
    """Return whether OTLP can hold the ids and the time of an observation."""
    return _is_id(record.trace_id, 32) and _is_id(record.span_id, 16) and 0 <= record.start_ns <= _LARGEST_TIME


def exported(record: Observation, dialect: Dialect) -> ExportedSpan:
    """Return an observation as a span; it must be exportable and have ended."""
    end_ns = record.start_ns + (record.duration_ns or 0)
    parent = record.parent_id if record.parent_id is not None and _is_id(record.parent_id, 16) else None
    failed = record.status in {"error", "abandoned"} or record.level == "ERROR"
    return ExportedSpan(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_id=parent,
        name=text(record.name),
        kind=_KINDS.get(record.type, _INTERNAL),
        start_ns=record.start_ns,
        end_ns=min(max(end_ns, record.start_ns), _LARGEST_TIME),
        attributes=[*_langfuse(record, dialect), *(_gen_ai(record) if dialect.gen_ai else ())],
        events=list(_events(record, end_ns)),
        status=_ERROR if failed else 0,
        message=_message(record) if failed else "",
    )


def text(value: str) -> str:
    """Return a text that UTF-8 can hold."""
    return value if value.isascii() else without_surrogates(value)


def payload_text(payload: Raw) -> str:
    """Return a payload as text: what it says if it is a text, else its JSON."""
    raw = bytes(payload)
    if raw[:1] != b'"':
        return raw.decode("utf-8", "backslashreplace")
    try:
        return _texts.decode(raw)
    except (msgspec.MsgspecError, UnicodeError):
        return _odd_text(raw)


def iso_time(ns: int) -> str | None:
    """Return a time as ISO 8601 in UTC with microseconds, or None where that has no such time."""
    try:
        whole = datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns // 1000 % 1_000_000)
    except (OverflowError, ValueError, OSError):
        return None
    return whole.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _odd_text(raw: bytes) -> str:
    try:
        found = json.loads(raw.decode("utf-8", "surrogatepass"))
    except ValueError:
        return raw.decode("utf-8", "backslashreplace")
    return text(str(found))


def _is_id(value: str, length: int) -> bool:
    return len(value) == length and _HEX.issuperset(value) and value.strip("0") != ""


def _message(record: Observation) -> str:
    if record.status == "abandoned":
        return "abandoned"
    said = record.status_message or (record.error.message if record.error is not None else "")
    return text(said)


def _events(record: Observation, end_ns: int) -> Iterator[Happening]:
    """Yield the exception that ended an observation, as OpenTelemetry writes it."""
    error = record.error
    if error is None:
        return
    named = (("type", error.type), ("message", error.message), ("stacktrace", error.stack))
    yield Happening(
        min(max(end_ns, 0), _LARGEST_TIME), "exception", [(f"exception.{k}", text(v)) for k, v in named if v]
    )


def _langfuse(record: Observation, dialect: Dialect) -> Iterator[tuple[str, Value]]:
    """Yield the attributes that a Langfuse server understands."""
    name = "langfuse.observation."
    yield name + "type", record.type
    if record.level != "DEFAULT":
        yield name + "level", record.level
    if record.input:
        yield name + "input", payload_text(record.input)
    if record.output:
        yield name + "output", payload_text(record.output)
    yield from _metadata(name + "metadata", record.metadata, dialect)
    message = _message(record)
    if message:
        yield name + "status_message", message
    began = None if record.completion_start_ns is None else iso_time(record.completion_start_ns)
    if began is not None:
        yield name + "completion_start_time", f'"{began}"'
    if isinstance(record, Generation):
        yield from _model(name, record)
    yield from _of_trace(record, dialect)
    if record.experiment is not None:
        yield from _experiment(record.experiment)
    yield from _rare(record)


def _rare(record: Observation) -> Iterator[tuple[str, Value]]:
    """Yield what is said of few observations, and what Langfuse has no name for."""
    if record.app_root:
        yield "langfuse.internal.is_app_root", True
    if record.status in {"cancelled", "abandoned"}:
        yield "tracecore.status", record.status
    if record.tool_definitions:
        yield "gen_ai.tool.definitions", payload_text(record.tool_definitions)
    if record.tool_calls:
        yield "tracecore.tool_calls", payload_text(record.tool_calls)
    if record.tool_call_names:
        yield "tracecore.tool_call_names", tuple(map(text, record.tool_call_names))
    if record.error is not None:
        yield "error.type", text(record.error.type)


def _model(name: str, record: Generation) -> Iterator[tuple[str, Value]]:
    if record.model is not None:
        yield name + "model.name", text(record.model)
    if record.model_parameters:
        yield name + "model.parameters", payload_text(record.model_parameters)
    if record.usage_details is not None:
        yield name + "usage_details", _json(record.usage_details)
    costs: dict[str, float] = dict(record.cost_details or {})
    if record.total_cost is not None:
        costs["total"] = record.total_cost
    if costs:
        yield name + "cost_details", _json(costs)
    if record.prompt_name is not None:
        yield name + "prompt.name", text(record.prompt_name)
        if record.prompt_version is not None:
            yield name + "prompt.version", _integer(record.prompt_version)


def _of_trace(record: Observation, dialect: Dialect) -> Iterator[tuple[str, Value]]:
    said: TraceAttributes = record.trace
    named = (
        ("langfuse.trace.name", said.name),
        ("user.id", said.user_id),
        ("session.id", said.session_id),
        ("langfuse.release", said.release),
        ("langfuse.version", record.version if record.version is not None else said.version),
        ("langfuse.environment", said.environment),
    )
    for name, value in named:
        if value is not None:
            yield name, text(value)
    if said.tags:
        yield "langfuse.trace.tags", tuple(map(text, said.tags))
    if said.public is not None:
        yield "langfuse.trace.public", said.public
    yield from _metadata("langfuse.trace.metadata", said.metadata, dialect)


def _experiment(experiment: Experiment) -> Iterator[tuple[str, Value]]:
    name = "langfuse.experiment."
    texts = (
        ("id", experiment.id), ("name", experiment.name), ("description", experiment.description),
        ("dataset.id", experiment.dataset_id), ("item.id", experiment.item_id),
        ("item.version", experiment.item_version), ("item.root_observation_id", experiment.item_root_span_id),
    )  # fmt: skip
    payloads = (
        ("metadata", experiment.metadata),
        ("item.expected_output", experiment.item_expected_output),
        ("item.metadata", experiment.item_metadata),
    )
    for key, value in texts:
        if value is not None:
            yield name + key, text(value)
    for key, payload in payloads:
        if payload:
            yield name + key, payload_text(payload)


def _metadata(name: str, payload: Raw, dialect: Dialect) -> Iterator[tuple[str, Value]]:
    """Yield metadata: each key by itself where it is an object that has not too many, else as a whole."""
    if not payload:
        return
    try:
        found = _objects.decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        found = {}
    if not 0 < len(found) <= _MOST_KEYS:
        yield name, payload_text(payload)
        return
    for key, value in found.items():  # no two are equal, nor become it: a key that UTF-8 cannot hold is not decoded
        if bytes(value) != b"null":
            yield f"{name}.{key}", _plain_json(value) if dialect.quotes_metadata else payload_text(value)


def _gen_ai(record: Observation) -> Iterator[tuple[str, Value]]:
    """Yield what OpenTelemetry's conventions for generative AI say of an observation."""
    operation = GEN_AI_OPERATIONS.get(record.type)
    if operation is None:
        return
    yield "gen_ai.operation.name", operation
    if record.type == "tool":
        yield "gen_ai.tool.name", text(record.name)
    if record.type == "agent":
        yield "gen_ai.agent.name", text(record.name)
    if record.trace.session_id is not None:
        yield "gen_ai.conversation.id", text(record.trace.session_id)
    if isinstance(record, Generation):
        yield from _gen_ai_model(record)


def _gen_ai_model(record: Generation) -> Iterator[tuple[str, Value]]:
    if record.model is not None:
        yield "gen_ai.request.model", text(record.model)
    if record.usage_details is not None:
        read, written, _ = usage_totals(record.usage_details)
        yield "gen_ai.usage.input_tokens", read
        yield "gen_ai.usage.output_tokens", written
    if record.model_parameters:
        yield from _gen_ai_parameters(record.model_parameters)


def _gen_ai_parameters(payload: Raw) -> Iterator[tuple[str, Value]]:
    try:
        found = msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return
    named = dict[str, Value]()
    for key, name in GEN_AI_PARAMETERS.items():
        value = found.get(key)
        if type(value) is float:
            named[name] = value
        elif type(value) is int:
            named[name] = _integer(value)
    yield from named.items()


def _integer(value: int) -> Value:
    return value if -_LARGEST_INT <= value <= _LARGEST_INT else str(value)


def _plain_json(payload: Raw) -> str:
    return bytes(payload).decode("utf-8", "backslashreplace")


def _json(value: object) -> str:
    """Return a small map as JSON, escaping what UTF-8 and 64 bits cannot hold."""
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":"))
