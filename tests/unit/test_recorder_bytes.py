"""The buffer is bounded in bytes, wherever a record carries them, and its accounts of bytes do not drift."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

import tracecore
from tests.fakes import FakeBackend, accounts_balance, span_record
from tracecore.config import Config
from tracecore.open_span import OpenSpan, open_root
from tracecore.recorder import Recorder
from tracecore.records import Record, Score

PAYLOAD = "x" * 10_000
JSON_TEXT = b'"' + PAYLOAD.encode() + b'"'


def open_trace(recorder: Recorder, name: str = "work") -> OpenSpan:
    """Open a trace of a recorder."""
    span = open_root(recorder.route, name)
    assert isinstance(span, OpenSpan)
    return span


def stalled(**settings: Any) -> tuple[Recorder, threading.Event]:
    """Return a recorder whose backend has taken one record and stalls, and what lets it go on."""
    began, release = threading.Event(), threading.Event()

    async def wait(_: list[Record]) -> None:
        began.set()
        release.wait(30)

    config = Config(**{"flush_interval_ms": 60_000, "batch_items": 1, **settings})
    recorder = Recorder(config, backend=FakeBackend(on_write=wait)).start()
    recorder.emit(span_record())
    recorder.flush(0)
    assert began.wait(10)
    return recorder, release


def failing_span(recorder: Recorder) -> None:
    """End a span by an exception that says much."""
    with pytest.raises(ValueError, match="xxx"), open_trace(recorder):
        raise ValueError(PAYLOAD)


def observed_calls(recorder: Recorder) -> None:
    """Call decorated functions below a span that say more about themselves than their arguments and results."""

    @tracecore.observe
    def says(**fields: Any) -> str:
        tracecore.update_current_span(**fields)
        return "result"

    with open_trace(recorder):
        for fields in (
            {"input": PAYLOAD},
            {"output": PAYLOAD},
            {"metadata": {"k": PAYLOAD}},
            {"input": "", "model": "m"},
        ):
            says(**fields)


@pytest.mark.parametrize(
    "emit",
    [
        lambda recorder: open_trace(recorder).update(input=PAYLOAD).end(),
        lambda recorder: open_trace(recorder).update(output=PAYLOAD).end(),
        lambda recorder: open_trace(recorder).update(metadata={"k": PAYLOAD}).end(),
        lambda recorder: open_trace(recorder).update(model_parameters={"k": PAYLOAD}).end(),
        failing_span,
        lambda recorder: recorder.emit(span_record(input=Raw(JSON_TEXT))),
        lambda recorder: recorder.emit(Score("default", "s", "n", 1, trace_id="1" * 32, metadata=Raw(JSON_TEXT))),
        lambda recorder: recorder.emit(Score("default", "s", "n", 1, string_value=PAYLOAD, trace_id="1" * 32)),
    ],
    ids=["input", "output", "metadata", "model_parameters", "error", "record", "score metadata", "score text"],
)
def test_the_buffer_is_bounded_in_bytes(emit: Callable[[Recorder], object]) -> None:
    """Wherever a record is large, the buffer holds no more of it than ``buffer_bytes``."""
    recorder, release = stalled(buffer_bytes=100_000)
    for _ in range(30):
        emit(recorder)
    waiting = recorder.health().buffer_depth
    assert 2 <= waiting <= 10
    accounts_balance(recorder, emitted=31)
    release.set()
    assert recorder.shutdown().lost == {"ring_full": 30 - waiting}


def test_the_accounts_of_bytes_do_not_drift() -> None:
    """What was emitted in every way, and then delivered, leaves a buffer that holds no bytes: its room is all there."""
    recorder = Recorder(Config(flush_interval_ms=60_000), backend=FakeBackend()).start()
    for _ in range(3):
        observed_calls(recorder)
        failing_span(recorder)
        open_trace(recorder).update(input=PAYLOAD, metadata={"k": 1}, usage_details={"input": 1}).end()
        recorder.emit(span_record(input=Raw(JSON_TEXT)))
        assert any(lane.bytes for lane in recorder._channels[0].ring.lanes())
        assert recorder.flush().delivered
        assert [lane.bytes for lane in recorder._channels[0].ring.lanes()] == [0]
    assert recorder.shutdown().delivered
