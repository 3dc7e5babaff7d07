"""tracecore, as the benchmarks have it."""

from __future__ import annotations

from benchmarks.rivals.adapters.tracecore_sqlite import RIVAL, start

__all__ = ["RIVAL", "start"]
