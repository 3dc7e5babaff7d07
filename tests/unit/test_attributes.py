"""Readers of texts, levels, types, environments and times: any reasonable shape is understood."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.attributes import environment_of, extend_attributes, level_of, text_of, time_ns_of, type_of
from tracecore.records import LEVELS, OBSERVATION_TYPES, TraceAttributes


class Color(enum.StrEnum):
    """Be text, and more."""

    RED = 'say "red"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("plain", "plain"),
        ("", ""),
        (5, "5"),
        (True, "true"),
        (1.5, "1.5"),
        (Color.RED, 'say "red"'),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1.50"), "1.50"),
        (["a"], '["a"]'),
        ("a\ud800b", "a\\ud800b"),
        ("Zürich \N{SNOWMAN}", "Zürich \N{SNOWMAN}"),
        ("x" * 300, "x" * 200),
    ],
)
def test_text(value: Any, text: str | None) -> None:
    """Text stays text, also of a subclass; other values become the text that stands for them; None stays None."""
    assert text_of(value) == text
    assert text is None or type(text_of(value)) is str


@pytest.mark.parametrize("value", ["a\ud800" * 200, "\ud800" * 200])
def test_text_is_cut_after_it_was_made_storable(value: str) -> None:
    """The limit holds for what is stored, escapes included."""
    assert len(text_of(value) or "") == 200
    assert text_of(value, max_length=7) == (text_of(value) or "")[:7]


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("ERROR", "ERROR"),
        ("error", "ERROR"),
        ("warn", "WARNING"),
        ("Info", "DEFAULT"),
        ("fatal", "ERROR"),
        ("trace", "DEBUG"),
        ("nonsense", "DEFAULT"),
        (None, "DEFAULT"),
        (3, "DEFAULT"),
        ("DEBUG", "DEBUG"),
    ],
)
def test_levels(value: Any, level: str) -> None:
    """Levels are read in any case and by their common aliases."""
    assert level_of(value) == level
    assert level in LEVELS


@pytest.mark.parametrize("value", [*OBSERVATION_TYPES, "GENERATION", "Tool"])
def test_types(value: str) -> None:
    """Types are read in any case; what is none is a span."""
    assert type_of(value) == value.lower()
    assert type_of(value + "x") == type_of(None) == type_of(5) == "span"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("production", "production"),
        ("a-b_9", "a-b_9"),
        ("Production", "default"),
        ("langfuse-x", "default"),
        ("", "default"),
        ("x" * 40, "x" * 40),
        ("x" * 41, "default"),
        ("a b", "default"),
        (None, None),
        ("prod\n", "default"),
        ("é", "default"),
    ],
)
def test_environments(value: Any, name: str | None) -> None:
    """A valid environment name stays, any other becomes ``default``."""
    assert environment_of(value) == name


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC), 1_735_787_045_000_006_000),
        (datetime(2025, 1, 2, 5, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))), 1_735_787_045_000_006_000),
        (datetime(1969, 12, 31, tzinfo=UTC), None),
        (0, 0),
        (5, 5),
        (-1, None),
        (True, None),
        (1.5, None),
        ("5", None),
        (None, None),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (datetime(2262, 4, 12, tzinfo=UTC), None),
    ],
)
def test_times(value: Any, ns: int | None) -> None:
    """Times are ns since the epoch, from an aware datetime to the microsecond; not before it, nor beyond 64 bits."""
    assert time_ns_of(value) == ns


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)))  # noqa: DTZ001 - local ones are the point
def test_local_times(value: datetime) -> None:
    """A naive datetime is local time."""
    assert time_ns_of(value) == time_ns_of(value.astimezone(UTC))


@pytest.mark.parametrize("field", ["name", "user_id", "session_id", "release", "version"])
def test_an_empty_text_says_nothing(field: str) -> None:
    """An empty id would gather everybody who has none in one session."""
    assert extend_attributes(TraceAttributes(), {field: ""}) == TraceAttributes()  # type: ignore[misc]  # a key by name
