"""What is remembered of spans with the same names, and of what they say of their trace, changes no record."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tests.server.otlp.otlp_requests import INTO, both, one, request, span
from tracecore.records import Observation, TraceAttributes
from tracecore.server.otlp import Malformed, decode
from tracecore.server.otlp.limits import Budget
from tracecore.server.otlp.mapping import FIELDS, GROUP_FIELDS
from tracecore.server.otlp.protobuf import spans_in
from tracecore.server.otlp.received import Attributes, Received
from tracecore.server.otlp.sorting import Readers, Sorted

AROUND = 4
"""Messages around the spans of a request of one scope, which are charged for."""
OF_TRACES = ("trace_name", "user", "session", "tags", "release", "public", "environment", "version")
PLAIN = [name for names in FIELDS.values() for name in names if not name.startswith("@") and not name.endswith(".*")]
IN_GROUPS = [group.replace("*", part) for group in GROUP_FIELDS for part in ("0.role", "0.content", "n", "*")]
names = st.one_of(
    st.sampled_from([name for field in OF_TRACES for name in FIELDS[field]]),
    st.sampled_from(PLAIN),
    st.sampled_from(IN_GROUPS),
    st.sampled_from(["gen_ai.operation.name", "mine", "", "gen_ai.prompt", "langfuse.trace.metadata.a", "k" * 600]),
)
plain = st.one_of(
    st.sampled_from(["", "a", "b", "1", "true", "ERROR", "agent", "generation", "{}", "[]", '{"a":1}', '["x"]', "x,y"]),
    st.sampled_from(["2026-01-02T03:04:05Z", '{"input":3,"output":4}', "langfuse", "u" * 201]),
    st.text(max_size=4),
    st.sampled_from([0, 1, True, False, 1.0, 2.5, 7, -0.0, 0.0]),
)
values = st.one_of(
    plain,
    st.none(),
    st.binary(max_size=2),
    st.lists(plain, max_size=3),
    st.dictionaries(st.sampled_from("ab"), plain, max_size=2),
)
"""Few enough that some are equal, and some are equal without meaning the same: 1, True and 1.0."""
Event = tuple[str, Mapping[str, Any]]
events: st.SearchStrategy[Event] = st.sampled_from([
    ("gen_ai.user.message", {"content": "hi"}), ("gen_ai.choice", {"message": "yes"}),
    ("exception", {"exception.type": "E"}), ("other", {"n": 1}),
])  # fmt: skip


@st.composite
def alike(draw: st.DrawFn) -> list[OtlpSpan]:
    """Draw spans of a few sets of names, and of a few values."""
    sets = draw(st.lists(st.lists(names, max_size=8, unique=True), min_size=1, max_size=2))
    said = {name: draw(st.lists(values, min_size=1, max_size=2)) for some in sets for name in some}
    found: list[OtlpSpan] = []
    for number in range(draw(st.integers(1, 6))):
        attributes = {name: draw(st.sampled_from(said[name])) for name in draw(st.sampled_from(sets))}
        happened = draw(st.lists(events, max_size=2)) if draw(st.integers(0, 4)) == 0 else []
        found.append(span(attributes, span_id=f"{number + 1:016x}", events=happened))
    return found


resources = st.dictionaries(
    st.sampled_from(["langfuse.environment", "deployment.environment", "langfuse.release", "service.version", "x"]),
    st.sampled_from(["production", "", "Nightly!", "7"]), max_size=3,
)  # fmt: skip


@contextmanager
def nothing_remembered() -> Generator[None]:
    """Have every span find out by itself what it says, from its first attribute on."""
    begin = Sorted.__init__

    def alone(self: Sorted, attributes: Attributes) -> None:
        begin(self, attributes)
        self.part()

    with patch.object(Sorted, "__init__", alone):
        yield


def records_of(spans: list[OtlpSpan], resource: dict[str, Any]) -> list[Observation]:
    """Return the records of spans of one scope, as they come in protobuf."""
    return decode(request(*spans, scope="s", resource=resource).SerializeToString(), "protobuf", INTO).records


@given(alike(), resources)
def test_spans_in_company_and_alone(spans: list[OtlpSpan], resource: dict[str, Any]) -> None:
    """A span becomes the same record as one of many, in a second request, alone, and with nothing remembered."""
    together = records_of(spans, resource)
    assert records_of(spans, resource) == together
    assert [record for each in spans for record in records_of([each], resource)] == together
    with nothing_remembered():
        assert records_of(spans, resource) == together


@given(st.dictionaries(names, values, max_size=8), st.data())
def test_any_steps_on_remembered_shapes(attributes: Attributes, data: st.DataObject) -> None:
    """Whatever is taken, skipped, dropped and spread, in any order, a shape leaves what a span leaves by itself."""
    fields = sorted(FIELDS)
    steps: list[tuple[str, str]] = data.draw(
        st.lists(st.tuples(st.sampled_from(["take", "refuse", "skip", "drop", "spread"]), st.sampled_from(fields)))
    )
    with nothing_remembered():
        by_itself = Sorted(attributes)
    for remembered in (Sorted(attributes), Sorted(attributes)):
        assert [done(remembered, steps)] == [done(by_itself, steps)]
        with nothing_remembered():
            by_itself = Sorted(attributes)


def done(attributes: Sorted, steps: list[tuple[str, str]]) -> list[Any]:
    """Return what some steps gave, and what they left."""
    found: list[Any] = []
    for step, field in steps:
        if step == "take":
            found.append(attributes.take(field, _text))
        elif step == "refuse":
            found.append(attributes.take(field, _nothing))
        elif step == "skip":
            attributes.skip(field)
        elif step == "drop":
            attributes.drop(field)
        else:
            part: dict[str, Any] = {}
            attributes.spread(_EVERY, part)
            found.append(part)
        found.append([(field, attributes.key_of(field)) for field in FIELDS])
    return [*found, [(name, repr(value)) for name, value in attributes.leave().items()]]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _nothing(_: Any) -> None:
    return None


_EVERY = Readers({field: (field, _text) for field in OF_TRACES} | {"input": ("input", repr), "level": ("level", _text)})


def test_spans_of_a_trace_share_what_they_say_of_it() -> None:
    """One object for all that say the same: a store packs it once."""
    said: dict[str, Any] = {"user.id": "u", "langfuse.trace.tags": ["a", "b"], "langfuse.version": "1"}
    spans = [span({**said, "n": number}, span_id=f"{number + 1:016x}") for number in range(3)]
    changes: list[dict[str, Any]] = [{"langfuse.trace.tags": ["a"]}, {"langfuse.version": "2"}, {"user.id": "v"}]
    others = [span({**said, "n": 4, **change}, span_id=f"{number:016x}") for number, change in enumerate(changes, 4)]
    first, second, third, *different = [record.trace for record in both(request(*spans, *others)).records]
    assert first is second is third
    assert [first, *different] == [
        TraceAttributes(user_id=user, tags=tags, version=version)
        for user, tags, version in [
            ("u", ("a", "b"), "1"), ("u", ("a",), "1"), ("u", ("a", "b"), "2"), ("v", ("a", "b"), "1")
        ]
    ]  # fmt: skip


def test_equal_values_of_other_types_are_not_the_same() -> None:
    """1, 1.0, True and "1" are said differently, although some are equal."""
    spans = [
        span({"user.id": value}, span_id=f"{n + 1:016x}") for n, value in enumerate(["1", 1, True, 1.0, [1], ["1"]])
    ]
    assert [record.trace.user_id for record in both(request(*spans)).records] == [
        "1",
        "1",
        "true",
        "1.0",
        "[1]",
        '["1"]',
    ]


def test_an_attribute_that_is_called_like_a_group() -> None:
    """It is an attribute, remembered or not."""
    given_ = {"gen_ai.prompt.*": "odd", "gen_ai.prompt.0.content": "c"}
    with nothing_remembered():
        expected = one(given_)
    assert one(given_) == one(given_) == expected


@given(st.lists(st.dictionaries(names, values, max_size=4), min_size=1, max_size=4))
def test_attributes_that_were_read_before(said: list[Attributes]) -> None:
    """An attribute that is in several spans is the same in each as in a request of one span; and is charged for."""
    spans = [span(attributes, span_id=f"{number + 1:016x}") for number, attributes in enumerate(said * 2)]
    budget, each = Budget(), Budget()
    together = [one for _, found in spans_in(request(*spans).SerializeToString(), budget) for one in found]
    alone = [
        one for each_one in spans for _, found in spans_in(request(each_one).SerializeToString(), each) for one in found
    ]
    assert [_exact(one) for one in together] == [_exact(one) for one in alone]
    assert budget.cut == each.cut == 0
    assert budget.values == each.values - AROUND * (len(spans) - 1)


def _exact(received: Received) -> tuple[str, list[tuple[str, str]]]:
    """Return what was read with its types: 1 is not True."""
    return received.span_id, [(key, repr(value)) for key, value in received.attributes.items()]


def test_a_span_with_a_broken_attribute() -> None:
    """The request is refused, and says which span it was."""
    body = request(span({"a": "b"}), span({"c": "d"}, span_id="0c" * 8)).SerializeToString()
    with pytest.raises(Malformed, match="span 1 is no protobuf"):
        decode(body.replace(b"\x0a\x01c\x12", b"\x0a\x09c\x12"), "protobuf", INTO)
