"""Two clocks, and nothing else that tells the time.

A start is wall clock, a duration is monotonic: a step of the wall clock (NTP, a resumed laptop) may move a start but
never makes a duration wrong or negative. Everything that waits or expires takes its clock as an argument and defaults
to these.
"""

from __future__ import annotations

import time
from typing import Final

__all__ = ["MINUTE_NS", "monotonic_ns", "wall_ns"]

MINUTE_NS: Final = 60_000_000_000

wall_ns = time.time_ns
"""Return nanoseconds since the Unix epoch, UTC; may step."""

monotonic_ns = time.perf_counter_ns
"""Return nanoseconds since an arbitrary point; never steps back."""
