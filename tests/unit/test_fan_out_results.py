"""What is said of several backends is true of each: results, health and the log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import (
    refusing,
)
from tests.several import WITHIN, At, Trouble, recording, work
from tracecore.fan_out import health_of_all, result_of_all
from tracecore.health import FlushResult, Health
from tracecore.recorder import Recorder

__all__ = ["recording"]


def test_the_level_is_the_lowest(recording: Callable[..., Recorder]) -> None:
    """What two backends keep is as safe as it is with the one that keeps it less safely."""
    recorder = recording(At("a:", "received"), At("b:", "handed_over"), At("c:", "durable"))
    root = work(recorder, "a")
    flushed = recorder.flush(WITHIN)
    assert (flushed.delivered, flushed.level) == (True, "handed_over")
    assert {location: one.level for location, one in flushed.backends.items()} == {
        "a:": "received", "b:": "handed_over", "c:": "durable",
    }  # fmt: skip
    assert root.delivered(WITHIN) == flushed


def test_delivered_means_by_all() -> None:
    """A result of several is delivered if each is; what is pending or lost is the most of any; a loss has no level."""
    fine = FlushResult(delivered=True, pending=0, lost={}, level="durable")
    slow = FlushResult(delivered=False, pending=3, lost={"rejected": 1, "ring_full": 4}, level="accepted")
    gone = FlushResult(delivered=False, pending=1, lost={"rejected": 2}, level=None)
    assert result_of_all({"a:": fine}) is fine
    both = result_of_all({"a:": fine, "b:": slow})
    assert not both.delivered
    assert (both.pending, both.lost, both.level) == (3, {"rejected": 1, "ring_full": 4}, "accepted")
    assert both.backends == {"a:": fine, "b:": slow}
    all_three = result_of_all({"a:": fine, "b:": slow, "c:": gone})
    assert (all_three.pending, all_three.lost, all_three.level) == (3, {"rejected": 2, "ring_full": 4}, None)


def health_of(location: str, **said: Any) -> Health:
    """Return the health of one backend where all is well, but for what is said."""
    well: dict[str, Any] = {
        "state": "recording", "location": location, "emitted": 9, "delivered": 9, "pending": 0, "lost": {},
        "sampled": 2, "open_spans": 1, "buffer_depth": 0, "last_error": None, "last_delivery_age_s": 1.0,
    }  # fmt: skip
    return Health(**(well | said))


def test_health_is_the_worst_of_each() -> None:
    """Emitted counts once; what is delivered is so everywhere; what one backend has in trouble is to be seen above."""
    well = health_of("a:", restarts=1, recovered=5)
    bad = health_of(
        "b:", delivered=4, pending=3, lost={"ring_full": 2}, buffer_depth=3, last_error="gone", last_delivery_age_s=7.0,
        backend_state="down", restarts=2, recovered=1, trouble="no room",
    )  # fmt: skip
    probing = health_of("c:", backend_state="probing", last_delivery_age_s=None)
    assert health_of_all({"a:": well}) is well
    both = health_of_all({"a:": well, "b:": bad})
    assert (both.emitted, both.delivered, both.pending, both.lost) == (9, 4, 3, {"ring_full": 2})
    assert (both.backend_state, both.last_delivery_age_s, both.buffer_depth) == ("down", 7.0, 3)
    assert (both.last_error, both.trouble) == ("b:: gone", "b:: no room")
    assert (both.restarts, both.recovered, both.sampled, both.open_spans) == (3, 6, 2, 1)
    assert both.backends == {"a:": well, "b:": bad}
    assert health_of_all({"a:": well, "c:": probing}).backend_state == "probing"
    assert health_of_all({"a:": well, "c:": probing}).last_delivery_age_s is None


def test_a_flush_waits_for_all(recording: Callable[..., Recorder]) -> None:
    """It returns once the slowest has everything, and not before."""
    trouble = Trouble("hangs")
    recorder = recording(At("healthy:"), trouble.backend)
    root = work(recorder, "a")
    results: list[FlushResult] = []
    waiting = threading.Thread(target=lambda: results.append(recorder.flush(WITHIN)))
    waiting.start()
    while not recorder._channels[1].station._listeners or not trouble.backend.attempts:
        assert not results
    assert not root.delivered(0).delivered
    trouble.over.set()
    waiting.join()
    assert results[0].delivered
    assert root.delivered(0).delivered
    assert all(channel.station._listeners == [] for channel in recorder._channels)


def test_the_log_says_of_which_backend_it_speaks(
    recording: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    """Where there are several, whoever reads that one cannot be delivered to also reads which."""
    recorder = recording(At("healthy:"), At("troubled:", on_write=refusing(lambda _: True)))
    work(recorder, "a")
    recorder.shutdown(WITHIN)
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "healthy:" in text] == []
    assert any(text.startswith("tracecore cannot deliver for troubled::") for text in said), said
    assert "tracecore has lost 1 records for troubled: so far (1 rejected)" in said
