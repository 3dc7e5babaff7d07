"""Times that cannot be are stored all the same, and said to be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.otlp.otlp_requests import NOW, START, both, one, plain, request, span
from tracecore.server.otlp.reading import time_of
from tracecore.server.otlp.times import YEAR_NS

SECOND = 1_000_000_000
LATEST = 2**63 - 1 - YEAR_NS


@pytest.mark.parametrize(
    ("start", "end", "expected_start", "duration", "wrong"),
    [
        (START, START, START, 0, None),
        (START, START + 1, START, 1, None),
        (START, START - SECOND, START, 0, f"end before start: {START - SECOND}"),
        (START, START + YEAR_NS + 1, START, 0, f"end more than a year after start: {START + YEAR_NS + 1}"),
        (START, START + YEAR_NS, START, YEAR_NS, None),
        (1_000, 2_000, 1_000, 1_000, "start before 2000"),
        (1, START, 1, 0, f"start before 2000; end more than a year after start: {START}"),
        (0, START, START, 0, "no start"),
        (0, 0, NOW, None, "no start"),
        (START, 0, START, None, None),
        (2**63 + 5, 2**63 + 9, LATEST, 0,
         f"start after 2261: {2**63 + 5}; end more than a year after start: {2**63 + 9}"),
        (2**64 - 1, 2**64 - 1, LATEST, 0,
         f"start after 2261: {2**64 - 1}; end more than a year after start: {2**64 - 1}"),
        (LATEST, LATEST + 5, LATEST, 5, None),
    ],
)  # fmt: skip
def test_times(start: int, end: int, expected_start: int, duration: int | None, wrong: str | None) -> None:
    """A duration is never negative nor longer than a year, and every time fits 64 bits with one behind it."""
    record = one({}, start=start, end=end)
    assert (record.start_ns, record.duration_ns) == (expected_start, duration)
    assert record.status == ("running" if duration is None else "ok")
    assert plain(record).get("metadata", {}).get("tracecore.clock") == wrong
    assert record.start_ns + (record.duration_ns or 0) < 2**63


def test_a_request_that_is_sent_twice_says_the_same_twice() -> None:
    """Nothing of a record but ``received_ns`` depends on when it arrives."""
    message = request(span({"user.id": "u"}, start=2**63, end=1), span({}, start=0, end=START))
    assert both(message) == both(message)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-09-21T14:13:20.373456Z", 1_790_000_000_373_456_000),
        ('"2026-09-21T14:13:20.373456Z"', 1_790_000_000_373_456_000),
        ("2026-09-21T14:13:20.123456789Z", 1_790_000_000_123_456_789),
        ("2026-09-21T16:13:20+02:00", 1_790_000_000_000_000_000),
        ("2026-09-21T14:13:20", 1_790_000_000_000_000_000),
        ("2026-09-21 14:13:20.5", 1_790_000_000_500_000_000),
        ("2262-12-31T00:00:00Z", None), ("1969-12-31T23:59:59Z", None), ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None), ('"', None), ("", None), (5, None), (None, None), ("2026-13-01T00:00:00Z", None),
    ],
)  # fmt: skip
def test_iso_times_keep_every_digit(value: Any, expected: int | None) -> None:
    """With or without quotation marks; what is no time is None, and stays an attribute."""
    assert time_of(value) == expected
    record = one({"langfuse.observation.completion_start_time": value})
    assert record.completion_start_ns == expected
    kept = plain(record).get("metadata", {}).get("attributes", {})
    assert kept == ({} if expected is not None else {"langfuse.observation.completion_start_time": value})
