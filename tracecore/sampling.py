"""The sampling decision: a pure function of trace id and rate, the same in every process.

The rule is OpenTelemetry's consistent probability sampling: the last 56 bits of the trace id are its randomness R, a
rate p gives the rejection threshold T = (1 - p) * 2**56, and the trace is kept when R >= T. Both are kept as 14
hexadecimal characters, which order as the numbers do. A trace that is kept at some rate is kept at every higher one.
"""

from __future__ import annotations

__all__ = ["is_sampled", "rejection_threshold"]

_RANDOMNESS = 1 << 56
_NOTHING = "g"
"""Greater than any hexadecimal text: the threshold of rate 0."""


def rejection_threshold(rate: float) -> str:
    """Return the least randomness, as 14 hexadecimal characters, that a trace needs to be kept at ``rate`` (0 to 1)."""
    rejected = round((1.0 - rate) * _RANDOMNESS)
    return _NOTHING if rejected >= _RANDOMNESS else f"{max(0, rejected):014x}"


def is_sampled(trace_id: str, threshold: str) -> bool:
    """Return whether a trace is kept, given the threshold of :func:`rejection_threshold`."""
    return trace_id[18:] >= threshold
