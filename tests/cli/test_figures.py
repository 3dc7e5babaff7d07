"""Numbers and times as people read and write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.cli.figures import bytes_size, cost, count, duration, moment
from tracecore.cli.moments import duration_ns, moment_ns

NOW = 1_800_000_000 * 10**9


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (850, "850 ns"),
        (12_345, "12.3 µs"),
        (1_500_000, "1.50 ms"),
        (999_000_000, "999 ms"),
        (2_310_000_000, "2.31 s"),
        (59_400_000_000, "59.4 s"),
        (125 * 10**9, "2m 05s"),
        (3_720 * 10**9, "1h 02m"),
    ],
)
def test_durations_have_three_digits(ns: int | None, text: str) -> None:
    """A duration is short enough to compare at a glance."""
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("usd", "known", "text"),
    [
        (None, True, "-"),
        (None, False, "unknown"),
        (0.0, True, "$0.00"),
        (0.5, True, "$0.50"),
        (1234.5, True, "$1,234.50"),
        (0.0125, True, "$0.0125"),
        (0.0000034, True, "$0.0000034"),
        (0.02, False, ">=$0.02"),
    ],
)
def test_cost_is_never_an_exponent(usd: float | None, known: bool, text: str) -> None:  # noqa: FBT001 - pytest passes by name
    """Money is written out, and a part that is not known is said to be missing."""
    assert cost(usd, known=known) == text


@given(st.floats(min_value=0, allow_infinity=False))
def test_any_cost_can_be_shown(usd: float) -> None:
    """Every amount has a text without an exponent."""
    assert "e" not in cost(usd)


@given(st.integers())
def test_any_moment_can_be_shown(ns: int) -> None:
    """A time that no calendar knows is shown as its number."""
    assert moment(ns)


def test_counts_and_sizes() -> None:
    """Nouns agree with their number, sizes have a unit."""
    assert (count(1, "trace"), count(1204, "span")) == ("1 trace", "1,204 spans")
    assert [bytes_size(size) for size in (0, 1023, 1536, 5 * 2**30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("250ms", 250 * 10**6),
        ("1.5s", 1_500_000_000),
        ("2h30m", 9_000 * 10**9),
        ("3d", 259_200 * 10**9),
        ("10us", 10**4),
    ],
)
def test_durations_are_read(text: str, ns: int) -> None:
    """Numbers with units add up."""
    assert duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "15", "m", "15 minutes", "-3d", "1e3s", "9999999w", "\uff13d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number without a unit says nothing; the sentence shows how to write one."""
    with pytest.raises(ValueError, match=r"not a duration|too long"):
        duration_ns(text)


def test_moments_are_read() -> None:
    """A moment is a time ago or an ISO date; without an offset it is local."""
    assert moment_ns("15m", now_ns=NOW) == NOW - 900 * 10**9
    assert moment_ns("2023-11-14T22:13:20.5Z", now_ns=NOW) == 1_700_000_000_500_000_000
    assert moment_ns("2023-11-14T23:13:20+01:00", now_ns=NOW) == 1_700_000_000_000_000_000
    with pytest.raises(ValueError, match="not a time"):
        moment_ns("yesterday", now_ns=NOW)


def test_a_local_moment_is_shown_as_it_was_written() -> None:
    """What a list shows can be typed back as an option."""
    shown = moment(1_700_000_000 * 10**9)
    assert moment_ns(shown, now_ns=NOW) == 1_700_000_000 * 10**9
