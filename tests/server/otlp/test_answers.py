"""What is answered, in the encoding of the request."""

from __future__ import annotations

import json

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tracecore.server.otlp import answer, error_body
from tracecore_http import otlp_json, otlp_protobuf


def test_an_answer_says_nothing_when_all_is_well() -> None:
    """The specification wants ``partial_success`` unset then."""
    assert (answer("protobuf"), answer("json")) == (b"", b"{}")


def test_what_was_rejected_is_said() -> None:
    """With the number and the reason; also a warning without a number."""
    found = ExportTraceServiceResponse.FromString(answer("protobuf", 3, "ü"))
    assert (found.partial_success.rejected_spans, found.partial_success.error_message) == (3, "ü")
    assert json.loads(answer("json", 3, "ü")) == {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "ü"}}
    assert ExportTraceServiceResponse.FromString(answer("protobuf", 0, "w")).partial_success.error_message == "w"


def test_our_own_exporter_reads_our_answers() -> None:
    """In both encodings."""
    assert otlp_protobuf.rejected_in(answer("protobuf", 3, "why")) == (3, "why")
    assert otlp_json.rejected_in(answer("json", 3, "why")) == (3, "why")


@pytest.mark.parametrize("code", [3, 14, 300])
def test_an_error_is_a_status(code: int) -> None:
    """``google.rpc.Status``, with a message that is not endless and that UTF-8 can hold."""
    found = Status.FromString(error_body("protobuf", "bad \ud800" + "x" * 5_000, code))
    assert (found.code, found.message[:10], len(found.message)) == (code, "bad \\ud800", 2_005)
    assert json.loads(error_body("json", "bad", code)) == {"code": code, "message": "bad"}
