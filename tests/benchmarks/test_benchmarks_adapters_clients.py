"""The adapters of Langfuse, LangSmith, MLflow, Opik and Weave: what is counted in what they send, and what is not."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest

from benchmarks.rivals.catalogue import rival_of
from benchmarks.rivals.collector import Collector

CLIENTS: Final = ("langfuse", "langsmith", "mlflow", "opik", "weave")
QUESTION: Final = "Which of my last three orders can still be cancelled, and until when?"
ELSEWHERE: Final = re.compile(r"://|\.(com|ai|org|io)\b")


@pytest.mark.parametrize("name", CLIENTS)
def test_only_the_collector_is_named(name: str) -> None:
    """No address but the collector's is in what the process starts with, and the collector's is."""
    values = rival_of(name).environment.values()
    assert any("{collector}" in value for value in values)
    assert not [value for value in values if ELSEWHERE.search(value)]


@pytest.mark.parametrize("name", CLIENTS)
def test_answers_that_claim_to_be_json_are(name: str) -> None:
    """A client must not stumble over an answer of ours."""
    answers = rival_of(name).answers.values()
    for answer in answers:
        if answer.body and answer.content_type == "application/json":
            json.loads(answer.body)


def test_what_mlflow_repeats_beside_the_spans_is_not_counted() -> None:
    """A trace that holds its root's arguments as a preview does not stand for a span that never came."""
    collector = Collector(rival_of("mlflow"))
    preview = json.dumps({"mlflow.traceInputs": json.dumps({"question": f"[00000001] {QUESTION}"})}).encode()
    collector.take("POST /api/3.0/mlflow/traces", preview, "")
    assert collector.collected()["spans"] == 0
    span = b"\n\x11mlflow.spanInputs\x12\x88\x012\x85\x01\n^\n\x08question\x12R\nP[0000000%d] " + QUESTION.encode()
    collector.take("POST /v1/traces", span % 1 + span % 2, "")
    assert collector.collected()["spans"] == 2
    assert not collector.collected()["unknown"]


def test_what_weave_sends_of_the_source_is_not_counted() -> None:
    """A number that a function's source mentions is no call of it."""
    collector = Collector(rival_of("weave"))
    collector.take("POST /file/create", f'arguments = [\n    ["[00000001] {QUESTION}", "user-1042"]\n]'.encode(), "")
    assert collector.collected()["spans"] == 0
    calls = [{"op_name": "answer", "inputs": {"question": f"[0000000{number}] {QUESTION}"}} for number in (1, 2)]
    collector.take("POST /v2/benchmark/benchmark/calls/complete", json.dumps({"batch": calls}).encode(), "")
    assert collector.collected()["spans"] == 2
    compact = json.dumps({"batch": [{"inputs": {"question": f"[00000003] {QUESTION}"}}]}, separators=(",", ":"))
    collector.take("POST /v2/benchmark/benchmark/calls/complete", compact.encode(), "")
    assert collector.collected()["spans"] == 3
    assert not collector.collected()["unknown"]


@pytest.mark.parametrize(
    ("name", "routes"),
    [
        ("langsmith", ("POST /runs/multipart",) * 2),
        ("opik", tuple(f"POST /api/v1/private/{part}/batch" for part in ("traces", "spans"))),
    ],
)
def test_a_call_that_is_sent_in_two_parts_counts_once(name: str, routes: tuple[str, str]) -> None:
    """Start and end of a call, or a trace and its root, are one span."""
    collector = Collector(rival_of(name))
    for route in routes:
        collector.take(route, json.dumps({"inputs": {"question": f"[00000001] {QUESTION}"}}).encode(), "")
    assert collector.collected()["spans"] == 1
    assert not collector.collected()["unknown"]


def test_langsmith_is_told_that_it_may_compress() -> None:
    """Without this answer the client sends everything uncompressed, and says so."""
    answer = Collector(rival_of("langsmith")).take("GET /info", b"", "")
    said = json.loads(answer.body)
    assert said["instance_flags"]["zstd_compression_enabled"]
    assert said["batch_ingest_config"]["use_multipart_endpoint"]


def test_mlflow_is_told_that_the_server_keeps_spans() -> None:
    """Without these answers the client uploads each trace as a file besides."""
    collector = Collector(rival_of("mlflow"))
    assert collector.take("GET /version", b"", "").body == b"3.17.2"
    said = json.loads(collector.take("POST /api/3.0/mlflow/traces", b"{}", "").body)
    assert said["trace"]["trace_info"]["tags"]["mlflow.trace.spansLocation"] == "TRACKING_STORE"
