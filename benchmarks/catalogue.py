"""The suites there are: what each is called, what it measures, and where it lives."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from msgspec import Struct

from benchmarks.figures import Settings, Table
from benchmarks.progress import Step

__all__ = ["SUITES", "Suite", "load"]

Run: TypeAlias = Callable[[Settings, Step], Table]


class Suite(Struct, frozen=True):
    """Name a suite. Its module is imported only in the process that runs it, so that no suite disturbs another."""

    name: str
    module: str
    summary: str


SUITES: Final = {
    suite.name: suite
    for suite in (
        Suite("call", "call", "what one call costs the caller, from the bare function up; OpenTelemetry beside it"),
        Suite("ring", "ring", "the buffer: ns per item in and out, and exactness under threads"),
        Suite("codec", "codec", "encoding typical and huge payloads, beside msgspec and json.dumps"),
        Suite("pump", "pump", "requests through a whole recorder into nothing and into memory"),
        Suite("store", "store", "requests into SQLite: rate, CPU, bytes; beside a busy host; everything read back"),
        Suite("import", "importing", "import tracecore over bare Python, and what comes with it"),
    )
}


def load(name: str) -> Run:
    """Return what runs a suite."""
    return cast("Run", importlib.import_module(f"benchmarks.suites.{SUITES[name].module}").run)
