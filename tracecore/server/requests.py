"""The requests that were answered: counts and times for Prometheus, and the access log."""

from __future__ import annotations

import logging
from bisect import bisect_left
from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = ["BUCKETS_S", "Requests", "Series"]

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram of answer times, in seconds."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that are counted by their names: a client may make up others without end."""
_log = logging.getLogger("tracecore.access")


class Series(Struct):
    """Count the answers of one route, method and status."""

    buckets: list[int]
    count: int = 0
    seconds: float = 0.0


class Requests:
    """Note every answer."""

    def __init__(self) -> None:
        self.series: Final[dict[tuple[str, str, int], Series]] = {}

    def note(self, scope: Any, status: int, duration_ns: int) -> None:
        """Note one answer: the route that was declared, never the path that was asked, is what it counts for."""
        operation = scope.get("operation")
        route = getattr(operation, "path", None) or _known(scope)
        seconds = duration_ns / 1e9
        method = scope["method"]
        key = (method if method in _METHODS else "(other)", route, status)
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series([0] * (len(BUCKETS_S) + 1))
        series.count += 1
        series.seconds += seconds
        series.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        if _log.isEnabledFor(logging.INFO):
            line = {
                "method": scope["method"], "path": scope["path"][:500], "status": status,
                "ms": round(seconds * 1e3, 3), "key": scope.get("key"), "client": (scope.get("client") or (None,))[0],
            }  # fmt: skip
            _log.info("%s", msgspec.json.encode(line).decode())


def _known(scope: Any) -> str:
    route = scope.get("route")
    return getattr(route, "path", None) or "(none)"
