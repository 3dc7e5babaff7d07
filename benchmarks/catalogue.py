"""The suites there are: what each is called, what it measures, and where it lives."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, cast

from msgspec import Struct

from benchmarks.figures import Settings, Table
from benchmarks.progress import Step

__all__ = ["GROUPS", "SUITES", "Suite", "chosen", "load"]

Run: TypeAlias = Callable[[Settings, Step], Table]


class Suite(Struct, frozen=True):
    """Name a suite. Its module is imported only in the process that runs it, so that no suite disturbs another."""

    name: str
    module: str
    summary: str
    only_asked: bool = False
    """Left out where nothing is named: it takes long, or needs what others publish."""

    @property
    def group(self) -> str:
        """Return what the name begins with: suites of one group can be run with one word."""
        return self.name.partition("/")[0]


SUITES: Final = {
    suite.name: suite
    for suite in (
        Suite(
            "call", "suites.call", "what one call costs the caller, from the bare function up; OpenTelemetry beside it"
        ),
        Suite("ring", "suites.ring", "the buffer: ns per item in and out, and exactness under threads"),
        Suite("codec", "suites.codec", "encoding typical and huge payloads, beside msgspec and json.dumps"),
        Suite("pump", "suites.pump", "requests through a whole recorder into nothing and into memory"),
        Suite("store", "suites.store", "requests into SQLite: rate, CPU, bytes; beside a busy host; all read back"),
        Suite(
            "throughput", "suites.throughput",
            "requests into a backend of choice: --backend, --loop, --buffer, --concurrency, --spans; all read back",
        ),
        Suite(
            "postgres", "suites.postgres",
            "requests into PostgreSQL: rate, CPU of client and server, bytes; SQLite in turn; all read back",
        ),
        Suite("postgres/read", "suites.postgres_read", "the questions of `read` to PostgreSQL and SQLite, with plans"),
        Suite(
            "http", "suites.http_delivery",
            "requests over HTTP: to our server over SQLite, and to a collector that decodes; OpenTelemetry beside it",
        ),
        Suite(
            "server", "suites.server",
            "OTLP requests into `tracecore serve` over SQLite, new and large: rate, waiting, lists, idle, a bomb",
        ),
        Suite(
            "server/otlp", "suites.server_otlp",
            "requests of OTLP to records, in protobuf and JSON, before anything is written; parsing alone beside it",
            only_asked=True,
        ),
        Suite(
            "prompt", "suites.prompt",
            "the prompt cache: hits, a herd, a store that hangs, and how soon a promotion is served",
        ),
        Suite("lag", "suites.lag", "how late the event loop is while requests are traced into SQLite at a set pace"),
        Suite(
            "burst", "suites.burst",
            "200,000 spans as fast as they can be made, the store at work or away: what is lost, counted, and held",
        ),
        Suite("outage", "suites.outage", "the store is away for a while: cost of an emit, memory, and what comes back"),
        Suite("recovery", "suites.recovery", "a journal that a killed process left: seconds until all of it is stored"),
        Suite("sync", "suites.sync", "what an emit costs by what it survives: nothing, a crash, a loss of power"),
        Suite("read", "suites.read", "lists, one trace, a session and full text over a million stored spans"),
        Suite("scaling/concurrency", "suites.scaling_concurrency", "cost and rate from 1 to 1,000 requests at once"),
        Suite("scaling/payload", "suites.scaling_payload", "cost of a span from 0.1 to 100 KB of payload"),
        Suite("scaling/database", "suites.scaling_database", "storing and reading as a file grows to a million spans"),
        Suite("anatomy/call", "suites.anatomy_call", "what a captured call consists of: one piece left out at a time"),
        Suite("anatomy/store", "suites.anatomy_store", "what storing a span consists of, step by step"),
        Suite("import", "suites.importing", "import tracecore over bare Python, and what comes with it"),
        Suite("soak", "suites.soak", "requests for --seconds: is memory flat, is everything there", only_asked=True),
        Suite("rivals/call", "suites.rivals_call", "what a nested call costs the caller, by rival", only_asked=True),
        Suite(
            "rivals/load", "suites.rivals_load", "CPU of all threads and rate until everything is delivered",
            only_asked=True,
        ),
        Suite("rivals/lag", "suites.rivals_lag", "how late the event loop is at 2,000 spans a second", only_asked=True),
        Suite("rivals/size", "suites.rivals_size", "what importing and installing each rival takes", only_asked=True),
        Suite("rejected/shared_ring", "rejected.shared_ring", "one ring for all threads, without a lock"),
        Suite("rejected/index_ring", "rejected.index_ring", "slots and two integers as the lane of one thread"),
        Suite("rejected/stamped_ring", "rejected.stamped_ring", "a shared ring whose slots hold tickets"),
        Suite("rejected/deferred_encoding", "rejected.deferred_encoding", "live objects, encoded by the pump"),
        Suite("rejected/executemany", "rejected.executemany", "rows one by one, beside a busy thread"),
        Suite("rejected/per_row_await", "rejected.per_row_await", "one await a row on the connection's thread"),
        Suite("rejected/copy_stage", "rejected.copy_stage", "COPY into a temporary table of PostgreSQL"),
        Suite("rejected/array_parameters", "rejected.array_parameters", "one array per column for PostgreSQL"),
    )
}  # fmt: skip

GROUPS: Final = frozenset(suite.group for suite in SUITES.values())
"""What can be asked for: the name of a suite, or what the names of several begin with."""


def chosen(asked: Sequence[str], *, rivals: bool = False) -> list[str]:
    """Return the suites that are meant, in the catalogue's order; all that need not be asked for where nothing was.

    ``rivals`` asks for those besides; alone, for nothing else.

    Raises:
        KeyError: there is no such suite or group; the key is its name.
    """
    for name in asked:
        if name not in SUITES and name not in GROUPS:
            raise KeyError(name)
    meant = {*asked, *(["rivals"] if rivals else [])}
    return [
        suite.name
        for suite in SUITES.values()
        if ({suite.name, suite.group} & meant if meant else not suite.only_asked)
    ]


def load(name: str) -> Run:
    """Return what runs a suite."""
    return cast("Run", importlib.import_module(f"benchmarks.{SUITES[name].module}").run)
