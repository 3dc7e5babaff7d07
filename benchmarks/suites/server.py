"""The server: OTLP requests of other people's clients into SQLite, how long they wait, and what it takes when idle.

It begins with a new and empty file, and goes on over one in which as many spans are as ``--rows`` says.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import percentile, row_of
from benchmarks.otlp_load import SPANS, Client, as_json, bodies
from benchmarks.processes import Served, peak_mb, resident_mb, served, used_share
from benchmarks.progress import Step
from benchmarks.server_load import CONNECTIONS, as_fast_as_answered, beside_lists, count_stored, fill
from benchmarks.stores import store_of

__all__ = ["run"]

METHOD: Final = (
    "`tracecore serve` as a process of its own, over a new and empty SQLite file, and then over one that holds a"
    " million spans (in a quick run 10,000), and a score for every 50. Requests of 50 generations (13 attributes, about"
    " 1.2 KB a span, as Langfuse's SDK sends them; five are a trace, all of one user and one session) are made"
    " beforehand and sent over 8 connections on the loopback interface by another process; each is answered after the"
    " commit. Per core is spans by the CPU that the server has used, all its threads, with what of the search index is"
    " made meanwhile. All else is over the large file. Waiting is measured at half of the rate reached, with requests"
    " due at set moments: what waits for its turn counts. Lists are pages of 50 beside the same load, read in turn."
    " Observations of one user in 5,000 are read beside nothing. Everything is read back and counted. Idle is measured"
    " when deferred work is done. The bomb is 1 MB of gzip."
)
_ROUNDS: Final = 3
_REQUESTS: Final = 600
_PROTOBUF: Final = "application/x-protobuf"
_WAYS: Final = (
    ("protobuf", "OTLP protobuf", _PROTOBUF, False), ("gzip", "OTLP protobuf, gzip", _PROTOBUF, True),
    ("json", "OTLP JSON", "application/json", False),
)  # fmt: skip
"""Key, label, content type of a request, and whether it is compressed."""
_OBSERVATIONS: Final = "/api/public/v2/observations?limit=50"
_OF_USER: Final = f"{_OBSERVATIONS}&userId=user-7"
_LISTS: Final = {
    "newest": ("the newest observations", _OBSERVATIONS),
    "type": (
        "generations since a time, with payloads and usage",
        f"{_OBSERVATIONS}&fields=core,basic,io,usage&type=GENERATION&fromStartTime=2026-01-01T00:00:00Z",
    ),
    "session": ("traces of a session", "/api/public/traces?limit=50&sessionId=session-7"),
    "scores": ("the newest scores", "/api/public/v3/scores?limit=50"),
}
"""Label and path of each list, by the end of its key."""
_IDLE_S: Final = 10.0
_QUICK_IDLE_S: Final = 1.0
_LOOK_S: Final = 1.0
_BUSY: Final = 0.05
"""Of a core: what more than this is used for is deferred work, which is caught up with first."""
_CATCHING_UP_S: Final = 300.0
_BOMB: Final = gzip.compress(bytes(1 << 30), 9)[: 1 << 20]


class Run:
    """Load servers, round by round; ``stored`` spans are in the file of the one at work."""

    def __init__(self, settings: Settings, step: Step) -> None:
        self._requests = settings.size_of(_REQUESTS)
        self._rounds = settings.rounds_of(_ROUNDS)
        self._step = step
        self._seed = settings.seed
        self._idle_s = _QUICK_IDLE_S if settings.quick else _IDLE_S
        self._before = (settings.rows // 100 if settings.quick else settings.rows) // SPANS
        self.stored = 0
        self.rows: list[Row] = []

    def fill(self, url: str) -> None:
        """Write the spans that are there before."""
        self.stored = self._before * SPANS

        def note(share: float) -> None:
            self._step(f"storing {self.stored:,} spans", 0.1 + 0.3 * share)

        self._seed = asyncio.run(fill(url, self._before, after=self._seed, note=note))

    def ingest(self, process: Served, key: str, label: str, encoding: str, *, compressed: bool = False) -> float:
        """Send as fast as answers come, and return the rate in requests a second."""
        note = f"{self.stored:,} spans before"
        taken: list[tuple[float, float]] = []
        for number in range(self._rounds):
            self._step(
                f"{label}: round {number + 1} of {self._rounds}", 0.4 + len(self.rows) / 24 if key != "new" else 0
            )
            load = self._bodies(compressed=compressed)
            if key == "json":
                load = [as_json(body) for body in load]
            taken.append(as_fast_as_answered(process, load, encoding=encoding, compressed=compressed))
        rates, cores = zip(*taken, strict=True)
        rate = row_of(
            f"server.{key}.rate", f"{label}: durable, over {CONNECTIONS} connections", "spans/s", rates, note=note
        )
        self.rows += [
            rate,
            row_of(f"server.{key}.core", f"{label}: per core of the server", "spans/s", cores, note=note),
        ]
        return (rate.value or 0.0) / SPANS

    def wait(self, process: Served, per_second: float) -> None:
        """Send so many requests a second, and note how long they wait, and lists beside them."""
        paths = {name: path for name, (_, path) in _LISTS.items()}
        answered, lists = beside_lists(process, self._bodies(), per_second=per_second, lists=paths)
        note = f"{per_second * SPANS:,.0f} spans/s"
        waits = f"a request of {SPANS} spans at half that rate"
        self.rows += [
            _percentile(f"server.wait.p{percent}", f"{waits}: p{percent}", answered.each, percent, note)
            for percent in (50, 99)
        ]
        every = [seconds for taken in lists.values() for seconds in taken]
        note = f"{len(every)} lists, {self.stored:,} spans stored"
        self.rows.append(_percentile("server.list.p95", "lists of 50 beside it, all: p95", every, 95, note))
        for name, taken in lists.items():
            label = f"lists of 50 beside it, {_LISTS[name][0]}: p95"
            self.rows.append(_percentile(f"server.list.{name}", label, taken, 95, f"{len(taken)} lists"))

    def of_user(self, process: Served) -> None:
        """Read the observations of one user."""
        client, times = Client(process.url), list[float]()
        for _ in range(10):
            began = time.perf_counter()
            client.get(_OF_USER)
            times.append(1e3 * (time.perf_counter() - began))
        client.close()
        self.rows.append(row_of("server.list.user", "observations of one user in 5,000", "ms", times))

    def idle(self, process: Served) -> None:
        """Note what the server takes while nobody asks."""
        began = time.monotonic()
        while used_share(process.pid, _LOOK_S) > _BUSY and time.monotonic() - began < _CATCHING_UP_S:
            self._step("waiting for deferred work", 0.85)
        used = used_share(process.pid, self._idle_s)
        self.rows += [
            Row(key="server.idle.cpu", label="idle: share of a core", unit="%", value=100 * used),
            Row(key="server.idle.memory", label="idle: resident memory", unit="MB", value=resident_mb(process.pid)),
        ]

    def bomb(self, process: Served) -> None:
        """Send a bomb, and note what it costs until it is refused."""
        before, began = resident_mb(process.pid), time.perf_counter()
        client = Client(process.url, compressed=True)
        status = client.post(_BOMB)
        client.close()
        seconds = time.perf_counter() - began
        note = f"answered with {status}"
        self.rows += [
            Row(key="server.bomb.seconds", label="1 MB of gzip that becomes 1 GB", unit="s", value=seconds, note=note),
            Row(key="server.bomb.memory", label="memory it takes", unit="MB", value=peak_mb(process.pid) - before),
        ]

    def check(self, process: Served) -> None:
        """Read back how many spans there are.

        Raises:
            RuntimeError: they are not those that were sent.
        """
        found = count_stored(process)
        if found != self.stored:
            raise RuntimeError(f"{self.stored} spans were answered for, and {found} are there")

    def _bodies(self, *, compressed: bool = False) -> list[bytes]:
        self._seed += 1
        self.stored += self._requests * SPANS
        return bodies(self._requests, seed=self._seed, compressed=compressed)


def _percentile(key: str, label: str, seconds: list[float], percent: int, note: str) -> Row:
    return Row(key=key, label=label, unit="ms", value=percentile([1e3 * one for one in seconds], percent), note=note)


def run(settings: Settings, step: Step) -> Table:
    """Load a server over a new file, and one over a large file in every way."""
    asked = Run(settings, step)
    with store_of("sqlite") as url, served("benchmarks.serving", url) as process:
        asked.ingest(process, "new", "OTLP protobuf into a new file", _PROTOBUF)
        asked.check(process)
    with store_of("sqlite") as url:
        asked.fill(url)
        with served("benchmarks.serving", url) as process:
            _load(asked, process, step)
    return Table(suite="server", title="The server", method=METHOD, rows=asked.rows)


def _load(asked: Run, process: Served, step: Step) -> None:
    reached = [
        asked.ingest(process, key, label, encoding, compressed=compressed) for key, label, encoding, compressed in _WAYS
    ]
    step("at half the rate", 0.7)
    asked.wait(process, reached[0] / 2)
    step("reading back", 0.8)
    asked.check(process)
    asked.of_user(process)
    step("idle", 0.9)
    asked.idle(process)
    asked.bomb(process)
