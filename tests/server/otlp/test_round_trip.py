"""From records to OTLP by our own exporter, and back: what both know is what it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.drawn_records import drawn
from tests.server.otlp.otlp_requests import INTO, plain
from tracecore.records import Generation, Observation, Span, TraceAttributes
from tracecore.server.otlp import Encoding, decode
from tracecore.testing.samples import event, full_generation, span
from tracecore_http import otlp_json, otlp_protobuf
from tracecore_http.conventions import LANGFUSE, OTHERS, Dialect
from tracecore_http.resources import grouped

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


def _back(record: Observation, dialect: Dialect, encoding: Encoding) -> Observation:
    export = grouped([record], dialect, [("public_key", "pk")])
    encode = otlp_protobuf.encode_export if encoding == "protobuf" else otlp_json.encode_export
    (found,) = decode(b"".join(encode(export)), encoding, INTO).records
    return found


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
@pytest.mark.parametrize("dialect", [LANGFUSE, OTHERS])
def test_a_full_generation_comes_back(dialect: Dialect, encoding: Encoding) -> None:
    """All but what OTLP does not carry: our prices, the ids of prompts, digits beyond the microsecond."""
    record = full_generation()
    found = _back(record, dialect, encoding)
    assert isinstance(found, Generation)
    sent, came = plain(record), plain(found)
    for name in ("model_id", "provided_usage_details", "provided_cost_details", "pricing_tier", "prompt_id"):
        del sent[name]  # what the server itself works out
    for name in ("received_ns", "provenance", "project"):
        del sent[name], came[name]
    sent["completion_start_ns"] -= sent["completion_start_ns"] % 1_000
    sent["trace"]["version"] = sent["version"]  # one name for both
    for name in ("resourceAttributes", "scope", "attributes"):
        came["metadata"].pop(name, None)
    del sent["metadata"]["k"]  # null says nothing there
    sent["metadata"] = came["metadata"]
    assert came == sent


@pytest.mark.parametrize(
    "record", [span(1), event(2), span(3, status="cancelled"), span(4, type="agent", level="DEBUG")]
)
def test_small_records_come_back(record: Observation) -> None:
    """Kinds, states and levels."""
    found = _back(record, LANGFUSE, "protobuf")
    assert type(found) is type(record)
    assert (found.type, found.status, found.level, found.name) == (
        record.type,
        record.status,
        record.level,
        record.name,
    )


_IDS = {"trace_id": "0a" * 16, "span_id": "0b" * 8, "status": "ok", "parent_id": None, "start_ns": 10**18}
_ODD = {"experiment": None, "provenance": None, "error": None, "completion_start_ns": None, "duration_ns": 5}


@given(
    st.one_of(drawn(Span, texts, **_IDS, **_ODD, trace=TraceAttributes()),
              drawn(Generation, texts, **_IDS, **_ODD, trace=TraceAttributes())),
    st.sampled_from([LANGFUSE, OTHERS]), st.sampled_from(["protobuf", "json"]),
)  # fmt: skip
def test_payloads_come_back(record: Any, dialect: Dialect, encoding: Encoding) -> None:
    """An object, an array or a text is the same again; every other payload is its JSON as text."""
    record = replace(record, level="DEFAULT", type="generation" if isinstance(record, Generation) else "chain")
    found = _back(record, dialect, encoding)
    assert (found.start_ns, found.duration_ns, found.trace_id) == (record.start_ns, 5, record.trace_id)
    for name in ("input", "output"):
        sent, came = plain(record).get(name), plain(found).get(name)
        if isinstance(sent, list | dict) or (isinstance(sent, str) and sent.lstrip()[:1] not in {"{", "["}):
            assert came == sent
