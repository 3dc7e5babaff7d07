"""What the journal keeps of a record is read back as the record that would have been sealed; garbage is an error."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from tests.drawn_records import RECORD_CLASSES, drawn, json_values
from tests.journals import body_of
from tracecore.codec import mask_record
from tracecore.context import Route, TraceState
from tracecore.frames import RECORD, SPAN, Origin, record_of, write_body
from tracecore.open_span import OpenSpan, open_child
from tracecore.records import (
    OBSERVATION_TYPES,
    Generation,
    Provenance,
    Record,
    Trace,
    TraceAttributes,
    encode_record,
)
from tracecore.ring import Ring
from tracecore.sealing import Emitted, Unsealable
from tracecore.testing import strategies

STORABLE = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
"""Text that JSON and MessagePack can hold: with NUL, without lone surrogates."""
HEAD = {"project", "trace_id", "span_id", "name", "start_ns", "parent_id", "type", "duration_ns", "status"}
APART = HEAD | {"input", "output", "trace", "provenance"}
"""Fields of a record that do not come out of ``OpenSpan.extra``."""
MONOTONIC = st.integers(-(2**40), 2**62)
PROVENANCES = st.one_of(st.none(), drawn(Provenance, STORABLE))


def trace_state(attributes: TraceAttributes, provenance: Provenance | None = None) -> TraceState:
    """Return the state of a trace of a recorder without a buffer."""
    ring: Ring[Any] = Ring(1, 1)
    route = Route("project", ring, ring.push, set(), provenance=provenance)
    return TraceState(route, "0af7651916cd43dd8448eb211c80319c", attributes, {})


def read_back(span: OpenSpan) -> Record:
    """Return the record that is read from the body of a span."""
    route = span.trace.route
    return record_of(body_of(span), Origin(route.project, route.provenance))


@st.composite
def ended_spans(draw: st.DrawFn) -> OpenSpan:
    """Draw a span in any state that it may have after its end, and in states that no program has produced so far."""
    record = draw(drawn(Generation, STORABLE))
    names = draw(st.sets(st.sampled_from([field for field in record.__struct_fields__ if field not in APART])))
    extra = {name: value for name in sorted(names) if (value := getattr(record, name)) is not None and value != Raw()}
    own = draw(st.one_of(st.just(TraceAttributes()), drawn(TraceAttributes, STORABLE)))
    return OpenSpan(
        trace_state(draw(drawn(TraceAttributes, STORABLE)), draw(PROVENANCES)),
        record.span_id, record.parent_id, record.name, record.type, None,
        draw(MONOTONIC), draw(MONOTONIC), bytes(record.input), bytes(record.output), draw(MONOTONIC), record.status,
        own, draw(st.sampled_from((extra, extra or None))),
    )  # fmt: skip


@given(ended_spans())
def test_any_span_is_read_back_as_its_record(span: OpenSpan) -> None:
    """A span in whatever state is read back as the very record that sealing it gives, and of the same class."""
    sealed = span.seal()
    found = read_back(span)
    assert found == sealed
    assert type(found) is type(sealed)


CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "name": strategies.texts,
    "input": json_values(strategies.texts),
    "output": json_values(strategies.texts),
    "metadata": st.one_of(json_values(strategies.texts), st.dictionaries(strategies.texts, strategies.texts)),
    "version": strategies.texts,
    "level": st.one_of(strategies.texts, st.sampled_from(("warn", "ERROR", "info"))),
    "status_message": st.one_of(strategies.texts, st.just("x" * 100_000)),
    "model": strategies.texts,
    "model_parameters": json_values(strategies.texts),
    "usage_details": st.dictionaries(strategies.texts, st.integers(-5, 2**70), max_size=3),
    "cost_details": st.one_of(st.floats(), st.dictionaries(strategies.texts, st.floats(), max_size=3)),
    "prompt": st.one_of(st.tuples(strategies.texts, st.integers()), json_values(strategies.texts)),
    "completion_start_ns": st.one_of(st.integers(), st.datetimes()),
    "tool_definitions": json_values(strategies.texts),
    "tool_calls": json_values(strategies.texts),
    "tool_call_names": st.lists(strategies.texts, max_size=3),
}
TRACE_CHANGES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("name", "user_id", "session_id", "release", "version", "environment"), strategies.texts),
    "tags": st.lists(strategies.texts, max_size=3),
    "metadata": json_values(strategies.texts),
    "public": st.booleans(),
}


@given(st.data(), st.sampled_from(OBSERVATION_TYPES), PROVENANCES)
def test_whatever_a_program_says_is_read_back(data: st.DataObject, type_: Any, provenance: Provenance | None) -> None:
    """After any updates of a span, of its trace and of its own attributes, both ways give the same record."""
    span = open_child(trace_state(TraceAttributes(), provenance), None, "first name", type_)
    for _ in range(data.draw(st.integers(0, 3))):
        span.update(**data.draw(st.fixed_dictionaries({}, optional=CHANGES)))
        span.update_trace(**data.draw(st.fixed_dictionaries({}, optional=TRACE_CHANGES)))
        span.carry(data.draw(st.fixed_dictionaries({}, optional=TRACE_CHANGES)))  # type: ignore[arg-type]  # what was drawn
        assert read_back(span) == span.seal()
    span.end()
    assert read_back(span) == span.seal()


@given(strategies.texts)
def test_an_error_is_read_back(text: str) -> None:
    """A span that an exception ended keeps what is known of it: type, message, stack, level."""
    span = open_child(trace_state(TraceAttributes()), None, "fails")
    with contextlib.suppress(ValueError), span:
        raise ValueError(text)
    found = read_back(span)
    assert found == span.seal()
    assert isinstance(found, msgspec.Struct)
    assert getattr(found, "error", None) is not None


def test_huge_payloads_are_read_back() -> None:
    """A body of megabytes is a body like any other."""
    span = open_child(trace_state(TraceAttributes(metadata=Raw(b'{"k":"%s"}' % (b"m" * 100_000)))), None, "huge")
    span.input, span.output = b'"%s"' % (b"i" * 3_000_000), b'"%s"' % (b"\\u0000" * 100_000)
    span.note(metadata=Raw(b'"%s"' % (b"e" * 1_000_000)))
    assert read_back(span) == span.seal()


def test_attributes_that_change_after_a_span_of_the_trace_are_written_anew() -> None:
    """What is remembered of a trace's attributes never outlives them."""
    trace = trace_state(TraceAttributes(user_id="one"))
    first, second, third = (open_child(trace, None, name) for name in "abc")
    assert read_back(first) == first.seal()
    trace.update({"user_id": "two"})
    assert read_back(second) == second.seal()
    third.carry({"session_id": "own"})
    assert read_back(third) == third.seal()
    assert read_back(second) == second.seal()


def test_memory_that_was_written_before_holds_no_rest_of_it() -> None:
    """A shorter body replaces a longer one as a whole."""
    memory = bytearray(b"?" * 10_000)
    span = open_child(trace_state(TraceAttributes()), None, "short")
    write_body(span, memory)
    assert bytes(memory) == body_of(span)
    score = Emitted(msgspec.convert({"record": "session", "project": "p", "session_id": "s"}, Record))  # type: ignore[arg-type]  # a union is no type to mypy
    write_body(score, memory)
    assert bytes(memory) == body_of(score)


@given(st.one_of([drawn(cls, STORABLE) for cls in RECORD_CLASSES]), PROVENANCES)
def test_any_other_record_is_read_back(record: Record, provenance: Provenance | None) -> None:
    """Scores, sessions and every other finished record are read back as they are, whoever's journal it was."""
    body = body_of(Emitted(record))
    assert body[0] == RECORD
    assert record_of(body, Origin("another project", provenance)) == record


@given(ended_spans(), st.sampled_from("aeiou0"))
def test_a_masked_span_is_read_back(span: OpenSpan, letter: str) -> None:
    """The masked record of a span is read back as it is: with its own project and provenance."""
    masked = mask_record(span.seal(), lambda text: text.replace(letter, "*"))
    assert record_of(body_of(Emitted(masked)), Origin("another project")) == masked


def test_the_first_byte_tells_how_a_body_is_written() -> None:
    """A span by position begins with MessagePack's array of thirteen, everything else with a brace: none with both."""
    span = open_child(trace_state(TraceAttributes()), None, "a")
    assert body_of(span)[0] == SPAN
    assert body_of(Emitted(span.seal()))[0] == RECORD
    assert SPAN != RECORD


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "\ud800"}, id="lone surrogate"),
        pytest.param({"started": 2**70}, id="too large an integer"),
        pytest.param({"extra": {"metadata": object()}}, id="foreign object"),
    ],
)
def test_what_cannot_be_encoded_is_an_error(change: dict[str, Any]) -> None:
    """A field that no encoder takes raises when the body is made, not when it is read."""
    span = open_child(trace_state(TraceAttributes()), None, "a")
    for field, value in change.items():
        setattr(span, field, value)
    with pytest.raises((UnicodeEncodeError, OverflowError, TypeError)):
        body_of(span)


def test_an_item_that_cannot_be_sealed_says_why() -> None:
    """What stands in for an item without a record raises its reason."""
    with pytest.raises(ValueError, match="no record can be made: KeyError"):
        body_of(Unsealable(KeyError("mask"), None))


BODIES = st.one_of(ended_spans().map(body_of), drawn(Generation, STORABLE).map(encode_record))


@st.composite
def damaged_bodies(draw: st.DrawFn) -> bytes:
    """Draw a body of which something was overwritten, left out or added."""
    body = bytearray(draw(BODIES))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 20))] = draw(st.binary(max_size=20))
    return bytes(body)


@given(st.one_of(damaged_bodies(), st.binary(max_size=60)))
@example(b"")
@example(b"{")
@example(b'{"record":"span","project":"\xff"}')
@example(b'{"record":"span","project":' + b"[" * 100_000)
@example(b"\x9d" + b"\x91" * 100_000)
@example(encode_record(Trace("p", "0" * 32)))
def test_garbage_is_one_kind_of_error(body: bytes) -> None:
    """Whatever bytes are given, they are a record that can be stored or an error of msgspec's, never anything else."""
    try:
        record = record_of(body, Origin("p"))
    except msgspec.MsgspecError:
        return
    assert isinstance(record, RECORD_CLASSES)


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": b""},
        {"attributes": b'{"name":"\xff"}'},
        {"extra": b'{"level":"LOUD"}'},
        {"extra": b'{"metadata":' + b"[" * 100_000},
        {"extra": b'{"error":{"type":"\xff"}}'},
    ],
)
def test_garbage_inside_a_span_is_an_error(fields: dict[str, bytes]) -> None:
    """JSON inside a body is looked at as strictly as the body."""
    parts: dict[str, Any] = {
        "trace_id": "a", "span_id": "b", "parent_id": None, "name": "n", "type": "span", "started": 1,
        "offset_ns": 7, "ended": 3, "status": "ok", "input": b"1", "output": b"", "attributes": b"{}", "extra": b"{}",
    }  # fmt: skip
    assert record_of(msgspec.msgpack.encode([*parts.values()]), Origin("p"))
    with pytest.raises(msgspec.MsgspecError):
        record_of(msgspec.msgpack.encode([*(parts | fields).values()]), Origin("p"))


def test_a_field_that_is_not_known_yet_is_ignored() -> None:
    """What a newer version of tracecore left is read by an older one, without what it does not know."""
    span = open_child(trace_state(TraceAttributes()), None, "a")
    before = span.seal()
    span.note(from_the_future=1)
    assert read_back(span) == before
