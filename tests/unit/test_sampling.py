"""Sampling is a pure function of trace id and rate: monotone, fair, and the same rule as OpenTelemetry's."""

from __future__ import annotations

import math
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore.ids import new_trace_id
from tracecore.sampling import is_sampled, rejection_threshold

TRACE_IDS = st.integers(0, (1 << 128) - 1).map(lambda number: f"{number:032x}")
RATES = st.floats(0, 1)


@given(trace_id=TRACE_IDS, rate=RATES)
def test_is_the_rule_of_opentelemetry(trace_id: str, rate: float) -> None:
    """A trace is kept exactly when its last 56 bits are at least (1 - rate) * 2**56, rounded."""
    randomness = int(trace_id, 16) & ((1 << 56) - 1)
    expected = randomness >= round((1 - rate) * (1 << 56))
    assert is_sampled(trace_id, rejection_threshold(rate)) is expected


@given(trace_id=TRACE_IDS, rates=st.tuples(RATES, RATES))
def test_is_monotone_in_the_rate(trace_id: str, rates: tuple[float, float]) -> None:
    """What is kept at some rate is kept at every higher one."""
    low, high = sorted(rates)
    assert is_sampled(trace_id, rejection_threshold(low)) <= is_sampled(trace_id, rejection_threshold(high))


@given(trace_id=TRACE_IDS)
def test_limits(trace_id: str) -> None:
    """Rate 1 keeps every trace, the smallest and the largest too; rate 0 keeps none."""
    assert is_sampled(trace_id, rejection_threshold(1.0))
    assert not is_sampled(trace_id, rejection_threshold(0.0))


@pytest.mark.parametrize("trace_id", ["0" * 32, "f" * 32, "f" * 18 + "0" * 14, "0" * 18 + "f" * 14])
def test_limits_at_the_edges(trace_id: str) -> None:
    """The extreme ids obey the extreme rates."""
    assert is_sampled(trace_id, rejection_threshold(1.0))
    assert not is_sampled(trace_id, rejection_threshold(0.0))


@pytest.mark.parametrize("rate", [5e-324, 1e-18, 2**-57, 1 - 2**-53, 1 - 1e-12])
def test_rates_at_the_edge_of_precision(rate: float) -> None:
    """Rates next to 0 and 1 give a threshold that orders like the others."""
    threshold = rejection_threshold(rate)
    assert rejection_threshold(1.0) <= threshold <= rejection_threshold(0.0)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_share_is_the_rate(rate: float) -> None:
    """Of our own ids, the share that is kept is the rate, within five standard deviations."""
    count = 40_000
    threshold = rejection_threshold(rate)
    kept = sum(is_sampled(new_trace_id(), threshold) for _ in range(count))
    assert abs(kept - rate * count) < 5 * math.sqrt(count * rate * (1 - rate))


def test_decision_ignores_the_time_part() -> None:
    """Ids of one moment, which share their first characters, are sampled as fairly as any."""
    drawn = random.Random(7)  # noqa: S311 - a seed makes the test repeatable
    ids = [f"0199aabbccdd{drawn.getrandbits(80):020x}" for _ in range(20_000)]
    kept = sum(is_sampled(found, rejection_threshold(0.5)) for found in ids)
    assert 9_600 < kept < 10_400


def test_is_the_same_in_another_process() -> None:
    """A process with another hash seed decides the same."""
    ids = [new_trace_id() for _ in range(200)]
    program = (
        "import sys\nfrom tracecore.sampling import is_sampled, rejection_threshold\n"
        "print(*[int(is_sampled(found, rejection_threshold(0.3))) for found in sys.argv[1:]], sep='')"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program, *ids],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {"".join(str(int(is_sampled(found, rejection_threshold(0.3)))) for found in ids)}
