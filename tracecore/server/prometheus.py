"""Counts of one server process in Prometheus' text format 0.0.4 (prometheus.io, "Exposition formats").

Every series carries the process id: with several workers each answers for itself, and their counts must not be taken
for one that goes up and down.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from typing import Final

from tracecore import __version__
from tracecore.server.requests import BUCKETS_S, Requests
from tracecore.server.state import ServerState

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
_ESCAPED: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_PAGE: Final = resource.getpagesize()


def exposition(state: ServerState) -> str:
    """Return every count."""
    lines = [*_gauges(state), *_requests(state.requests)]
    return "\n".join(lines) + "\n"


def _gauges(state: ServerState) -> Iterator[str]:
    writer = state.writer
    for name, kind, text, value in (
        ("records_written_total", "counter", "Records that were made durable.", writer.records_written),
        ("transactions_total", "counter", "Transactions in which they were.", writer.transactions),
        ("write_failures_total", "counter", "Transactions that failed.", writer.failures),
        ("records_waiting", "gauge", "Records that wait to be written.", writer.waiting),
        ("body_bytes_in_hand", "gauge", "Bytes of bodies that are read or written now.", state.allowance.used),
        ("body_bytes_most", "gauge", "Bytes of bodies beyond which requests are asked to come again.",
         state.limits.in_hand_bytes),
        ("resident_memory_bytes", "gauge", "Resident memory of the process.", _resident_bytes()),
        ("cpu_seconds_total", "counter", "CPU that the process has used, in seconds.", time.process_time()),
    ):  # fmt: skip
        yield from (f"# HELP tracecore_{name} {text}", f"# TYPE tracecore_{name} {kind}")
        yield f"tracecore_{name}{_labels()} {value}"
    yield from ("# HELP tracecore_build_info Which tracecore this is.", "# TYPE tracecore_build_info gauge")
    yield f"tracecore_build_info{_labels(version=__version__)} 1"


def _requests(requests: Requests) -> Iterator[str]:
    name = "tracecore_http_request_duration_seconds"
    yield from (f"# HELP {name} Time from a request to the end of its answer.", f"# TYPE {name} histogram")
    for (method, route, status), series in sorted(requests.series.items()):
        labels = {"method": method, "route": route, "status": str(status)}
        below = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), series.buckets, strict=True):
            below += count
            yield f"{name}_bucket{_labels(**labels, le=bound)} {below}"
        yield f"{name}_sum{_labels(**labels)} {series.seconds}"
        yield f"{name}_count{_labels(**labels)} {series.count}"


def _labels(**labels: str) -> str:
    every = {"pid": str(os.getpid()), **labels}
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in every.items()) + "}"


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - read at every scrape
            return int(statm.read().split()[1]) * _PAGE
    except OSError:  # not on Linux: the most there ever was, in KiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
