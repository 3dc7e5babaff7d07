"""The records: pinned fields, evolution both ways, a place for all that Langfuse knows, and the laws of merging."""

from __future__ import annotations

import json
from functools import reduce
from itertools import permutations
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tests.drawn_records import RECORD_CLASSES, drawn, records
from tracecore import records as module
from tracecore.records import (
    ABSENT,
    LEVELS,
    OBSERVATION_TYPES,
    RESERVED,
    STATUSES,
    ErrorInfo,
    Event,
    Experiment,
    Generation,
    LedgerEntry,
    Provenance,
    Record,
    Score,
    Session,
    Span,
    Trace,
    TraceAttributes,
    decode_record,
    encode_record,
    merge,
    usage_totals,
)

IDENTITY = {"project": "p", "trace_id": "a" * 32, "span_id": "b" * 16, "name": "n", "start_ns": 1}
few = settings(max_examples=40)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)

SPAN = (
    "project trace_id span_id name start_ns parent_id type duration_ns status level status_message input output"
    " metadata trace error version app_root completion_start_ns tool_definitions tool_calls tool_call_names experiment"
    " provenance received_ns"
)
PINNED: dict[type[msgspec.Struct], str] = {
    Span: SPAN,
    Event: SPAN,
    Generation: SPAN
    + " model model_id model_parameters usage_details provided_usage_details cost_details provided_cost_details"
    " total_cost pricing_tier prompt_id prompt_name prompt_version",
    TraceAttributes: "name user_id session_id tags metadata release version environment public",
    ErrorInfo: "type message stack",
    Experiment: "id name description metadata dataset_id item_id item_version item_expected_output item_metadata"
    " item_root_span_id",
    Provenance: "source api_key sdk_name sdk_version sdk_language service_name service_version scope_name"
    " scope_version service_instance_id",
    Session: "project session_id environment public bookmarked trace_count observation_count error_count user_ids"
    " start_ns end_ns input_tokens output_tokens total_tokens total_cost cost_known",
    Trace: "project trace_id name root_id start_ns end_ns attributes bookmarked observation_count running error_count"
    " input_tokens output_tokens total_tokens total_cost cost_known input output",
    Score: "project score_id name timestamp_ns data_type value string_value source trace_id observation_id session_id"
    " experiment_id comment metadata config_id environment author_user_id queue_id execution_trace_id",
    LedgerEntry: "project process minute_ns seen_ns emitted delivered waiting sampled lost recovered restarts host pid"
    " service_name started_ns ended",
}
"""The fields of every class in their order. A new one is appended, to its class and here; nothing else ever changes."""

STRUCTS = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)]


def span(cls: type[Span] = Span, **fields: Any) -> Any:
    """Return a span."""
    return cls(**{**IDENTITY, **fields})


@pytest.mark.parametrize("cls", [cls for cls in STRUCTS if cls is not msgspec.Struct])
def test_fields_are_never_moved_renamed_or_removed(cls: type[msgspec.Struct]) -> None:
    """Each class has the fields it always had, in their order; what is new comes last and has a default."""
    pinned = PINNED[cls].split()
    if cls is not Generation:  # whose own fields come after those of a span, so that its order follows the span's
        assert list(cls.__struct_fields__[: len(pinned)]) == pinned
    assert list(cls.__struct_fields__) == pinned, "append what is new to PINNED"
    assert not set(pinned) & RESERVED
    assert all(not field.required for field in msgspec.structs.fields(cls)[5:])


def test_values_of_fixed_sets_stay() -> None:
    """Names that are stored in files are never taken away."""
    assert set(OBSERVATION_TYPES) >= {
        "span", "generation", "event", "agent", "tool", "chain", "retriever", "evaluator", "embedding", "guardrail",
    }  # fmt: skip
    assert set(STATUSES) >= {"running", "ok", "error", "cancelled", "abandoned"}
    assert LEVELS == ("DEBUG", "DEFAULT", "WARNING", "ERROR")
    assert get_args(module.ObservationType) == OBSERVATION_TYPES
    assert (get_args(module.Level), get_args(module.Status)) == (LEVELS, STATUSES)
    assert set(get_args(module.ScoreType)) >= {"NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"}


@few
@given(records(texts))
def test_what_is_encoded_is_decoded(record: Record) -> None:
    """Any record comes back equal, from one JSON object that names its kind."""
    encoded = encode_record(record)
    assert decode_record(encoded) == record
    assert decode_record(encoded.decode()) == record
    assert json.loads(encoded)["record"] == type(record).__struct_config__.tag


@few
@given(drawn(Trace, texts))
def test_traces_too(trace: Trace) -> None:
    """What a store returns of a trace travels like a record."""
    assert decode_record(encode_record(trace)) == trace


@few
@given(records(texts), st.dictionaries(st.text(max_size=5).map("new_{}".format), st.integers(), min_size=1))
def test_what_a_newer_program_wrote_is_read(record: Record, unknown: dict[str, int]) -> None:
    """Fields that are not known yet are ignored, at the top and inside."""
    newer = json.loads(encode_record(record)) | unknown
    for inside in ("trace", "error", "experiment", "provenance"):
        if isinstance(newer.get(inside), dict):
            newer[inside] |= unknown
    older = decode_record(msgspec.json.encode(newer))
    for name in record.__struct_fields__:
        if not isinstance(getattr(record, name), Raw):  # written with other spaces by this test
            assert _same(getattr(older, name), getattr(record, name))


def _same(one: Any, other: Any) -> bool:
    return _decoded(one) == _decoded(other)


def _decoded(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.mark.parametrize("cls", RECORD_CLASSES)
def test_what_an_older_program_wrote_is_read(cls: type[msgspec.Struct]) -> None:
    """Only what a record cannot do without is written when nothing else is said, and that is enough to read it."""
    fields = msgspec.structs.fields(cls)
    least = cls(**{field.name: 1 if field.type is int else "x" for field in fields if field.required})
    encoded = json.loads(encode_record(least))  # type: ignore[arg-type]  # a class of records
    assert set(encoded) == {"record", *(field.name for field in fields if field.required)}
    assert decode_record(json.dumps(encoded)) == least


@pytest.mark.parametrize(
    "wrong",
    [b"", b"{", b"[]", b"{}", b'{"record":"spam"}', b'{"record":"span"}', b'{"record":"score","project":1}', b"\xff"],
)
def test_what_is_no_record_is_refused(wrong: bytes) -> None:
    """Whatever is not one record of a known kind raises one kind of error."""
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_record(wrong)


def test_payloads_are_spliced() -> None:
    """A payload keeps its very bytes, on the way out and back."""
    payload = Raw(b'{"n":1.10,"big":123456789012345678901234567890}')
    encoded = encode_record(span(input=payload))
    assert bytes(payload) in encoded
    again = decode_record(encoded)
    assert isinstance(again, Span)
    assert bytes(again.input) == bytes(payload)
    assert (again.output == ABSENT, not again.output) == (True, True)
    assert b'"input":null' in encode_record(span(input=Raw(b"null")))


# -- a place for everything that Langfuse has --------------------------------------------------------------------------
# Without a place, because they are of its storage or accounts and say nothing about what happened: org_id, created_at,
# updated_at, is_deleted, event_bytes, blob_storage_file_path, usage_pricing_tier_id, telemetry_sdk_name and _version
# (ours are the ingestion ones), and bookmarked of an observation, which is its trace's.

OBSERVATION = {
    "project_id": "project", "trace_id": "trace_id", "span_id": "span_id", "parent_span_id": "parent_id",
    "name": "name", "type": "type", "environment": "trace.environment", "version": "version",
    "release": "trace.release", "level": "level", "status_message": "status_message", "trace_name": "trace.name",
    "user_id": "trace.user_id", "session_id": "trace.session_id", "tags": "trace.tags", "public": "trace.public",
    "is_app_root": "app_root", "start_time": "start_ns", "end_time": "end_ns",
    "completion_start_time": "completion_start_ns", "event_ts": "received_ns", "input": "input", "output": "output",
    "metadata": "metadata", "trace_metadata": "trace.metadata", "provided_model_name": "model",
    "model_id": "model_id", "model_parameters": "model_parameters",
    "provided_usage_details": "provided_usage_details", "usage_details": "usage_details",
    "provided_cost_details": "provided_cost_details", "cost_details": "cost_details", "total_cost": "total_cost",
    "usage_pricing_tier_name": "pricing_tier", "prompt_id": "prompt_id", "prompt_name": "prompt_name",
    "prompt_version": "prompt_version", "tool_definitions": "tool_definitions", "tool_calls": "tool_calls",
    "tool_call_names": "tool_call_names", "experiment_id": "experiment.id", "experiment_name": "experiment.name",
    "experiment_description": "experiment.description", "experiment_metadata": "experiment.metadata",
    "experiment_dataset_id": "experiment.dataset_id", "experiment_item_id": "experiment.item_id",
    "experiment_item_version": "experiment.item_version",
    "experiment_item_expected_output": "experiment.item_expected_output",
    "experiment_item_metadata": "experiment.item_metadata",
    "experiment_item_root_span_id": "experiment.item_root_span_id", "source": "provenance.source",
    "ingestion_api_key": "provenance.api_key", "ingestion_sdk_name": "provenance.sdk_name",
    "ingestion_sdk_version": "provenance.sdk_version", "service_name": "provenance.service_name",
    "service_version": "provenance.service_version", "scope_name": "provenance.scope_name",
    "scope_version": "provenance.scope_version", "telemetry_sdk_language": "provenance.sdk_language",
}  # fmt: skip
TRACE = {
    "id": "trace_id", "timestamp": "start_ns", "name": "name", "userId": "attributes.user_id",
    "sessionId": "attributes.session_id", "release": "attributes.release", "version": "attributes.version",
    "environment": "attributes.environment", "tags": "attributes.tags", "metadata": "attributes.metadata",
    "public": "attributes.public", "bookmarked": "bookmarked", "input": "input", "output": "output",
    "projectId": "project", "latency": "duration_ns", "totalCost": "total_cost",
}  # fmt: skip
SESSION = {
    "id": "session_id", "projectId": "project", "bookmarked": "bookmarked", "public": "public",
    "environment": "environment",
}  # fmt: skip
SCORE = {
    "id": "score_id", "name": "name", "value": "value", "stringValue": "string_value", "dataType": "data_type",
    "source": "source", "traceId": "trace_id", "observationId": "observation_id", "sessionId": "session_id",
    "datasetRunId": "experiment_id", "comment": "comment", "metadata": "metadata", "configId": "config_id",
    "environment": "environment", "timestamp": "timestamp_ns", "authorUserId": "author_user_id",
    "queueId": "queue_id", "executionTraceId": "execution_trace_id",
}  # fmt: skip


@pytest.mark.parametrize(
    ("record", "places"),
    [
        (span(Generation, experiment=Experiment("e"), provenance=Provenance()), OBSERVATION),
        (Trace("p", "t"), TRACE),
        (Session("p", "s"), SESSION),
        (Score("p", "s", "n", 1), SCORE),
    ],
    ids=["observation", "trace", "session", "score"],
)
def test_everything_that_langfuse_stores_has_its_place(record: Any, places: dict[str, str]) -> None:
    """Each field of Langfuse's data model is one field of a record, and no two share one."""
    for place in places.values():
        value = record
        for part in place.split("."):
            assert hasattr(value, part), place
            value = getattr(value, part)
    assert len(set(places.values())) == len(places)


# -- merging -----------------------------------------------------------------------------------------------------------

CLASSES: list[type[Span]] = [Span, Event, Generation]
spans = st.one_of([drawn(cls, texts, **IDENTITY, parent_id=None) for cls in CLASSES])
ended = spans.filter(lambda record: record.status != "running")
over = ended.filter(lambda record: record.status != "abandoned")
others = st.one_of(
    st.tuples(*[drawn(Session, texts, project="p", session_id="s")] * 3),
    st.tuples(*[drawn(Score, texts, project="p", score_id="s")] * 3),
)


@few
@given(spans)
def test_merging_with_itself_changes_nothing(record: Span) -> None:
    """Writing twice equals writing once."""
    assert merge(record, record) == record


@few
@given(st.one_of(st.tuples(over, over, over), others))
def test_merging_is_associative(three: tuple[Any, Any, Any]) -> None:
    """It does not matter where a batch is cut."""
    a, b, c = three
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@few
@given(st.one_of(st.tuples(spans, spans), others))
def test_writing_the_later_again_changes_nothing(given_: tuple[Any, ...]) -> None:
    """A batch that is written again after a failure leaves what it left the first time."""
    earlier, later = given_[:2]
    once = merge(earlier, later)
    assert merge(once, later) == once


@few
@given(st.one_of(st.tuples(over, over), others))
def test_a_later_record_wins_where_it_says_something(given_: tuple[Any, ...]) -> None:
    """Each field is the later record's if that sets it, else the earlier one's; neither record is changed."""
    earlier, later = given_[:2]
    before = encode_record(earlier), encode_record(later)
    merged = merge(earlier, later)
    assert (encode_record(earlier), encode_record(later)) == before
    for field in msgspec.structs.fields(later):
        if field.name not in {"trace", "status", "project", "trace_id", "span_id"}:
            said = getattr(later, field.name)
            expected = said if _says(field, said) else getattr(earlier, field.name, said)
            assert getattr(merged, field.name) == expected


def _says(field: Any, value: Any) -> bool:
    return field.required or (value != field.default and not (isinstance(value, Raw) and not value))


@few
@given(ended, spans.map(lambda record: msgspec.structs.replace(record, status="running", duration_ns=None)))
def test_running_never_overrides_an_end(end: Span, running: Span) -> None:
    """In whichever order the two come, the span has ended, and keeps all that its end said."""
    one, other = merge(end, running), merge(running, end)
    assert one == other
    assert (one.status, one.duration_ns) == (end.status, end.duration_ns)
    for field in msgspec.structs.fields(end):
        value = getattr(end, field.name)
        if _says(field, value) and field.name != "trace":
            assert getattr(one, field.name) == value


@few
@given(over, spans.map(lambda record: msgspec.structs.replace(record, status="abandoned")))
def test_abandoned_never_overrides_an_end(end: Span, abandoned: Span) -> None:
    """Who was taken for dead and was not ends as it did: in whichever order the two come, the end is kept whole."""
    one, other = merge(end, abandoned), merge(abandoned, end)
    assert one == other
    assert one.status == end.status
    for field in msgspec.structs.fields(end):
        value = getattr(end, field.name)
        if _says(field, value) and field.name != "trace":
            assert getattr(one, field.name) == value
    assert merge(one, abandoned) == merge(one, end) == one


RUNNING = span(status="running", input=Raw(b"1"), metadata=Raw(b"1"))
ABANDONED = span(status="abandoned", duration_ns=7, input=Raw(b"1"), output=Raw(b"2"), metadata=Raw(b"2"))


@pytest.mark.parametrize("status", ["ok", "error", "cancelled"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_way_to_an_end_does_not_matter(status: Any, order: tuple[int, ...]) -> None:
    """Running, abandoned and an end of one span, in any order and some of them twice, are that end."""
    end = span(status=status, duration_ns=5, output=Raw(b"3"), metadata=Raw(b"3"))
    three = RUNNING, ABANDONED, end
    said = [three[place] for place in (*order, *order)]
    assert reduce(merge, said) == msgspec.structs.replace(end, input=Raw(b"1"))


def test_abandoned_overrides_running() -> None:
    """What was found abandoned is, and a late record of when it ran changes nothing."""
    assert merge(RUNNING, ABANDONED) == merge(ABANDONED, RUNNING) == ABANDONED


ENTRY = LedgerEntry("p", "one", 60, seen_ns=70, emitted=5, delivered=3, waiting=1, lost={"rejected": 1}, host="h")


@pytest.mark.parametrize(
    ("earlier", "later", "kept"),
    [
        (ENTRY, LedgerEntry("p", "one", 60, seen_ns=71), LedgerEntry("p", "one", 60, seen_ns=71)),
        (LedgerEntry("p", "one", 60, seen_ns=71), ENTRY, LedgerEntry("p", "one", 60, seen_ns=71)),
        (LedgerEntry("p", "one", 60, seen_ns=70, emitted=9), ENTRY, ENTRY),
        (
            LedgerEntry("p", "one", 60, seen_ns=1, ended=True), ENTRY,
            LedgerEntry("p", "one", 60, 70, 5, 3, 1, lost={"rejected": 1}, host="h", ended=True),
        ),
        (
            ENTRY, LedgerEntry("p", "one", 60, seen_ns=1, ended=True),
            LedgerEntry("p", "one", 60, 70, 5, 3, 1, lost={"rejected": 1}, host="h", ended=True),
        ),
    ],
    ids=["later", "late", "at once", "ended before", "ended late"],
)  # fmt: skip
def test_the_later_entry_stands_for_both(earlier: LedgerEntry, later: LedgerEntry, kept: LedgerEntry) -> None:
    """An entry is one account and never a mixture of two; but what has ended has ended."""
    assert merge(earlier, later) == kept
    assert merge(kept, later) == kept


@few
@given(st.lists(drawn(LedgerEntry, texts, project="p", process="s", minute_ns=0), min_size=3, max_size=3))
def test_merging_entries_is_associative(three: list[LedgerEntry]) -> None:
    """It does not matter where a batch is cut, nor, of entries of different moments, in which order they come."""
    a, b, c = three
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    if len({entry.seen_ns for entry in three}) == 3:
        assert merge(merge(a, b), c) == merge(merge(c, b), a)


def test_an_entry_proves_itself() -> None:
    """What is missing from an account, or too much in it, is its difference; what was sampled was never emitted."""
    assert ENTRY.unaccounted == LedgerEntry("p", "one", 60, sampled=3, recovered=2).unaccounted == 0
    assert msgspec.structs.replace(ENTRY, emitted=7).unaccounted == 2
    assert msgspec.structs.replace(ENTRY, waiting=4).unaccounted == -3


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "running"])
def test_what_only_the_running_one_said_is_kept(status: Any) -> None:
    """A field that the end leaves open keeps what was written while the span ran."""
    running = span(status="running", input=Raw(b"1"), trace=TraceAttributes(user_id="u", tags=("a",)))
    end = span(status=status, duration_ns=5, output=Raw(b"2"), trace=TraceAttributes(session_id="s"))
    for merged in (merge(running, end), merge(end, running)):
        assert (merged.status, merged.duration_ns) == (status, 5)  # type: ignore[union-attr]  # a span
        assert (bytes(merged.input), bytes(merged.output)) == (b"1", b"2")  # type: ignore[union-attr]  # a span
        assert merged.trace == TraceAttributes(user_id="u", session_id="s", tags=("a",))  # type: ignore[union-attr]  # a span


@pytest.mark.parametrize("one", CLASSES)
@pytest.mark.parametrize("other", CLASSES)
def test_kinds_grow(one: type[Span], other: type[Span]) -> None:
    """A span becomes the event or generation that it is merged with, and a generation stays one."""
    expected = max(one, other, key=CLASSES.index)
    assert type(merge(span(one), span(other))) is expected


@few
@given(
    st.dictionaries(st.sampled_from(["input", "output", "input_cached", "reasoning_output", "audio"]), st.integers())
)
def test_totals_are_never_beyond_what_can_be_summed(usage: dict[str, int]) -> None:
    """Totals are whole numbers from 0 to 2**53, whatever the buckets say."""
    read, written, total = usage_totals(usage)
    assert all(0 <= number <= 2**53 for number in (read, written, total))
    if all(0 <= units < 2**40 for units in usage.values()):
        assert read == usage.get("input", 0) + usage.get("input_cached", 0)
        assert written == usage.get("output", 0) + usage.get("reasoning_output", 0)
        assert total == sum(usage.values())


def test_a_given_total_is_believed() -> None:
    """An aggregate among the buckets is no bucket."""
    assert usage_totals({"input": 1, "output": 2, "total": 10}) == (1, 2, 10)
    assert usage_totals(None) == usage_totals({}) == (0, 0, 0)
