"""Roll-ups: what a trace and a session say, whatever the order in which their parts are known."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tracecore.records import ABSENT, Event, Generation, Session, Span, Trace, TraceAttributes, usage_totals
from tracecore.rollup import failed, roll_up, roll_up_session, unite_attributes


def span(span_id: str, cls: type[Span] = Span, **fields: Any) -> Any:
    """Return a span that took 10 ns."""
    return cls(**{"project": "p", "trace_id": "t", "span_id": span_id, "name": span_id, "start_ns": 100}
               | {"parent_id": "root", "duration_ns": 10} | fields)  # fmt: skip


def generation(span_id: str, **fields: Any) -> Generation:
    """Return a generation."""
    return span(span_id, Generation, type="generation", **fields)


def rolled(*spans: Span) -> Trace:
    """Return what spans say together."""
    return roll_up("p", "t", spans)


def attributes(**fields: Any) -> TraceAttributes:
    """Return attributes; metadata is given as an object."""
    if "metadata" in fields:
        fields["metadata"] = Raw(msgspec.json.encode(fields["metadata"]))
    return TraceAttributes(**fields)


def test_the_root_is_the_earliest() -> None:
    """The root is the earliest observation without a parent or at the head of this application; ties go by id."""
    assert rolled(span("a"), span("b", parent_id=None, start_ns=200)).root_id == "b"
    assert rolled(span("b", parent_id=None), span("a", app_root=True, start_ns=50)).root_id == "a"
    assert rolled(span("b", parent_id=None), span("a", parent_id=None)).root_id == "a"
    assert rolled(span("a"), span("b")).root_id is None


def test_name_and_payloads_are_the_roots() -> None:
    """Name, input and output are those of the root, but a name that was given to the trace comes first."""
    root = span("r", parent_id=None, name="root", input=Raw(b"1"), output=Raw(b"null"))
    trace = rolled(span("a", input=Raw(b"2")), root)
    assert (trace.name, bytes(trace.input), bytes(trace.output)) == ("root", b"1", b"null")
    assert rolled(root, span("a", trace=attributes(name="given"))).name == "given"
    without = rolled(span("a", input=Raw(b"2")))
    assert (without.name, without.input, without.output) == (None, ABSENT, ABSENT)


def test_times_span_everything() -> None:
    """A trace lasts from the first start to the last end; one that still runs counts from its start."""
    trace = rolled(span("a"), span("b", start_ns=50), span("c", start_ns=500, duration_ns=None, status="running"))
    assert (trace.start_ns, trace.end_ns, trace.duration_ns, trace.running) == (50, 500, 450, 1)


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"status": "error"}, True),
        ({"status": "abandoned"}, True),
        ({"level": "ERROR"}, True),
        ({"status": "cancelled"}, False),
        ({"status": "running"}, False),
        ({"level": "WARNING"}, False),
        ({"status": "error", "level": "ERROR"}, True),
    ],
)
def test_errors_are_counted_once(fields: dict[str, Any], counts: bool) -> None:  # noqa: FBT001 - a column of the table
    """An observation is an error by its status or its level, and not twice by both."""
    assert failed(span("a", **fields)) is counts
    assert rolled(span("a", **fields), span("b")).error_count == int(counts)


def test_only_generations_are_summed() -> None:
    """Tokens and cost are those of generations; what is unknown is not zero."""
    trace = rolled(
        generation("a", usage_details={"input": 3, "output": 4}, total_cost=0.25),
        generation("b", usage_details={"input": 1, "total": 9}, total_cost=0.5),
        span("c", Event, type="event"),
    )
    assert (trace.input_tokens, trace.output_tokens, trace.total_tokens) == (4, 4, 16)
    assert (trace.total_cost, trace.cost_known) == (0.75, True)


@pytest.mark.parametrize(
    ("generations", "cost", "known"),
    [
        ([{}], None, True),
        ([{"usage_details": {"input": 1}}], None, False),
        ([{"usage_details": {"input": 0}}], None, True),
        ([{"usage_details": {"input": 1}}, {"total_cost": 0.5}], 0.5, False),
        ([{"usage_details": {"input": 1}, "total_cost": 0.0}], 0.0, True),
    ],
)
def test_unknown_cost_is_not_zero(generations: list[dict[str, Any]], cost: float | None, known: bool) -> None:  # noqa: FBT001 - a column of the table
    """The sum is of the known costs, and says whether any that used units is missing."""
    trace = rolled(*(generation(str(number), **fields) for number, fields in enumerate(generations)))
    assert (trace.total_cost, trace.cost_known) == (cost, known)


def test_the_last_to_end_wins() -> None:
    """A single-valued attribute is that of the observation that ended last among those that say it."""
    early = span("z", trace=attributes(user_id="early", session_id="s"))
    late = span("a", duration_ns=20, trace=attributes(user_id="late", public=False))
    running = span("y", start_ns=115, status="running", duration_ns=None, trace=attributes(user_id="running"))
    assert rolled(late, early, running).attributes == attributes(user_id="late", session_id="s", public=False)
    tied = span("b", duration_ns=20, trace=attributes(user_id="tied"))
    assert rolled(tied, late, early).attributes.user_id == "tied"


def test_tags_are_united_in_order() -> None:
    """Tags are those of all, each once, the first to end first."""
    said = [(2, "a", attributes(tags=("x", "c"))), (1, "b", attributes(tags=("b", "x")))]
    assert unite_attributes(said).tags == ("b", "x", "c")


@pytest.mark.parametrize(
    ("earlier", "later", "united"),
    [
        (b'{"a":1,"b":1.10}', b'{"a":2,"c":{}}', {"a": 2, "b": 1.1, "c": {}}),
        (b'{"a":1}', b"", {"a": 1}),
        (b"", b'{"a":1}', {"a": 1}),
        (b"[1]", b'{"a":1}', {"a": 1}),
        (b'{"a":1}', b"7", 7),
        (b'{"a":1}', b"null", None),
    ],
)
def test_metadata_is_united_key_by_key(earlier: bytes, later: bytes, united: object) -> None:
    """Later names win; what is no object is replaced as a whole; numbers keep their digits."""
    found = unite_attributes(
        [(2, "b", TraceAttributes(metadata=Raw(later))), (1, "a", TraceAttributes(metadata=Raw(earlier)))]
    ).metadata
    assert json.loads(bytes(found)) == united
    assert (b"1.10" in bytes(found)) is (b"1.10" in earlier)


names = st.sampled_from(["a", "b", None])
some_attributes = st.builds(
    attributes,
    user_id=names,
    name=names,
    public=st.sampled_from([None, True, False]),
    tags=st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
    metadata=st.dictionaries(st.sampled_from("kl"), st.integers(0, 3), max_size=2),
)
costs = st.one_of(st.none(), st.integers(0, 8).map(lambda eighths: eighths / 8))
some_spans = st.builds(
    generation,
    span_id=st.just("x"),
    start_ns=st.integers(0, 5),
    duration_ns=st.one_of(st.none(), st.integers(0, 5)),
    parent_id=names,
    app_root=st.booleans(),
    trace=some_attributes,
    status=st.sampled_from(["ok", "error", "running", "cancelled"]),
    usage_details=st.dictionaries(st.sampled_from(["input", "output", "total"]), st.integers(0, 9)),
    total_cost=costs,
)


@st.composite
def traces(draw: st.DrawFn) -> list[Generation]:
    """Return spans of one trace, each with an id of its own."""
    drawn = draw(st.lists(some_spans, min_size=1, max_size=6))
    return [msgspec.structs.replace(one, span_id=f"{number}") for number, one in enumerate(drawn)]


@settings(max_examples=60)
@given(traces(), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(spans: list[Generation], random: Any) -> None:
    """A trace says the same in whichever order its observations are read."""
    shuffled = random.sample(spans, len(spans))
    assert roll_up("p", "t", shuffled) == roll_up("p", "t", spans)


@settings(max_examples=60)
@given(traces())
def test_sums_are_sums(spans: list[Generation]) -> None:
    """Counts, units and costs are what adding them up by hand gives."""
    trace = roll_up("p", "t", spans)
    totals = [usage_totals(one.usage_details) for one in spans]
    assert (trace.input_tokens, trace.output_tokens, trace.total_tokens) == tuple(map(sum, zip(*totals, strict=True)))
    known = [one.total_cost for one in spans if one.total_cost is not None]
    assert trace.total_cost == (math.fsum(known) if known else None)
    assert trace.observation_count == len(spans)
    assert trace.running == sum(one.status == "running" for one in spans)
    assert set(trace.attributes.tags) == {tag for one in spans for tag in one.trace.tags}


def test_a_session_is_its_traces() -> None:
    """A session keeps what it says itself, and adds up its traces; users are each named once, in order."""
    own = Session("p", "s", environment="e", public=True, bookmarked=True, trace_count=99, total_cost=99.0)
    one = roll_up(
        "p", "1", [generation("a", usage_details={"input": 2}, total_cost=0.5, trace=attributes(user_id="v"))]
    )
    two = roll_up("p", "2", [generation("b", start_ns=10, usage_details={"output": 3}, trace=attributes(user_id="u"))])
    three = roll_up("p", "3", [span("c", status="error", trace=attributes(user_id="v"))])
    session = roll_up_session(own, [one, two, three])
    assert session == Session(
        "p", "s", environment="e", public=True, bookmarked=True, trace_count=3, observation_count=3, error_count=1,
        user_ids=("u", "v"), start_ns=10, end_ns=110, input_tokens=2, output_tokens=3, total_tokens=5, total_cost=0.5,
        cost_known=False,
    )  # fmt: skip


def test_a_session_without_traces() -> None:
    """A session that nothing belongs to yet has no time and no cost, and none that is unknown."""
    assert roll_up_session(Session("p", "s", trace_count=5), []) == Session("p", "s")
