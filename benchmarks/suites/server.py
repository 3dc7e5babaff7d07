"""The server: OTLP requests of other people's clients into SQLite, how long they wait, and what it takes when idle.

It begins over a file in which as many spans are as ``--rows`` says.
"""

from __future__ import annotations

import asyncio
import gzip
import statistics
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks.figures import Row, Settings, Table
from benchmarks.measure import percentile, row_of
from benchmarks.otlp_load import SPANS, Answered, Client, as_json, bodies, closed_loop, open_loop
from benchmarks.processes import Served, cpu_seconds, served
from benchmarks.progress import Step
from benchmarks.serving import KEY
from benchmarks.stored import maintained
from benchmarks.stores import store_of
from tracecore.plugins import open_backend
from tracecore.server.otlp import Destination, decode

__all__ = ["run"]

METHOD: Final = (
    "`tracecore serve` as a process of its own over an SQLite file that holds a million spans (in a quick run 10,000)."
    " Requests of 50 generations (13 attributes, about 1.4 KB a span, as Langfuse's SDK sends them) are made beforehand"
    " and sent over 8 connections on the loopback interface by another process; each is answered after the commit. Per"
    " core is spans by the CPU that the server has used, all its threads, with what of the search index is made"
    " meanwhile. Waiting is measured at half of the rate reached, with requests due at set moments: what waits for its"
    " turn counts. Lists are pages of 50 beside the same half load: the newest observations, those of a type since a"
    " time, traces of a session, scores. Observations of one user in 5,000 are read beside nothing. Everything is read"
    " back and counted. Idle is measured when deferred work is done. The bomb is 1 MB of gzip."
)
_ROUNDS: Final = 3
_REQUESTS: Final = 600
_CONNECTIONS: Final = 8
_OF_USER: Final = "/api/public/v2/observations?limit=50&userId=user-7"
_LISTS: Final = (
    "/api/public/v2/observations?limit=50",
    "/api/public/v2/observations?limit=50&fields=core,basic,io,usage&type=GENERATION&fromStartTime=2026-01-01T00:00:00Z",
    "/api/public/traces?limit=50&sessionId=session-7", "/api/public/v3/scores?limit=50",
)  # fmt: skip
_FILL_AT_ONCE: Final = 40
_IDLE_S: Final = 10.0
_QUICK_IDLE_S: Final = 1.0
_LOOK_S: Final = 1.0
_BUSY: Final = 0.05
"""Of a core: what more than this is used for is deferred work, which is caught up with first."""
_CATCHING_UP_S: Final = 300.0
_BOMB: Final = gzip.compress(bytes(1 << 30), 9)[: 1 << 20]


class Run:
    """Load a server, round by round."""

    def __init__(self, settings: Settings, step: Step) -> None:
        self._requests = settings.size_of(_REQUESTS)
        self._rounds = settings.rounds_of(_ROUNDS)
        self._step = step
        self._seed = settings.seed
        self._idle_s = _QUICK_IDLE_S if settings.quick else _IDLE_S
        self._stored = settings.rows // 100 if settings.quick else settings.rows
        self.rows: list[Row] = []

    def fill(self, url: str) -> None:
        """Write the spans that are there before."""
        asyncio.run(self._fill(url))

    async def _fill(self, url: str) -> None:
        backend = open_backend(url)
        await backend.open()
        into = Destination(project="default", api_key=KEY[0], received_ns=1)
        requests = self._stored // SPANS
        try:
            for first in range(0, requests, _FILL_AT_ONCE):
                self._step(f"storing {self._stored:,} spans", 0.4 * first / requests)
                self._seed += 1
                some = bodies(min(_FILL_AT_ONCE, requests - first), seed=self._seed)
                await backend.write([one for body in some for one in decode(body, "protobuf", into).records])
            await maintained(backend)
        finally:
            await backend.close()
        self._stored = requests * SPANS

    def ingest(self, process: Served) -> float:
        """Send as fast as answers come, in each encoding; return the rate of protobuf in requests a second."""
        reached = 0.0
        for key, label, encoding, compressed in (
            ("protobuf", "OTLP protobuf", "application/x-protobuf", False),
            ("gzip", "OTLP protobuf, gzip", "application/x-protobuf", True),
            ("json", "OTLP JSON", "application/json", False),
        ):
            rates, cores = list[float](), list[float]()
            for number in range(self._rounds):
                self._step(f"{label}: round {number + 1} of {self._rounds}", 0.4 + len(self.rows) / 24)
                load = self._bodies(compressed=compressed)
                if key == "json":
                    load = [as_json(body) for body in load]
                answered, cpu = _measured(process, load, encoding=encoding, compressed=compressed)
                rates.append(len(load) * SPANS / answered.seconds)
                cores.append(len(load) * SPANS / cpu)
            self.rows.append(
                row_of(f"server.{key}.rate", f"{label}: durable, over {_CONNECTIONS} connections", "spans/s", rates)
            )
            self.rows.append(row_of(f"server.{key}.core", f"{label}: per core of the server", "spans/s", cores))
            reached = reached or statistics.median(rates) / SPANS
        return reached

    def wait(self, process: Served, per_second: float) -> None:
        """Send at half the rate, and note how long requests wait, and lists beside them."""
        load = self._bodies()
        answered, lists = _beside(process, load, per_second / 2)
        waited = [1e3 * seconds for seconds in answered.each]
        note = f"{per_second / 2 * SPANS:,.0f} spans/s"
        for percent in (50, 99):
            self.rows.append(
                Row(
                    key=f"server.wait.p{percent}", label=f"a request of {SPANS} spans at half that rate: p{percent}",
                    unit="ms", value=percentile(waited, percent), note=note,
                )
            )  # fmt: skip
        self.rows.append(
            Row(
                key="server.list.p95", label="lists of 50 beside it: p95", unit="ms",
                value=percentile([1e3 * seconds for seconds in lists], 95), note=f"{self._stored:,} spans stored",
            )
        )  # fmt: skip

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
        while _used(process, _LOOK_S) > _BUSY and time.monotonic() - began < _CATCHING_UP_S:
            self._step("waiting for deferred work", 0.85)
        used = _used(process, self._idle_s)
        self.rows += [
            Row(key="server.idle.cpu", label="idle: share of a core", unit="%", value=100 * used),
            Row(key="server.idle.memory", label="idle: resident memory", unit="MB", value=_resident(process.pid)),
        ]

    def bomb(self, process: Served) -> None:
        """Send a bomb, and note what it costs until it is refused."""
        before, began = _resident(process.pid), time.perf_counter()
        client = Client(process.url, compressed=True)
        status = client.post(_BOMB)
        client.close()
        seconds = time.perf_counter() - began
        note = f"answered with {status}"
        self.rows += [
            Row(key="server.bomb.seconds", label="1 MB of gzip that becomes 1 GB", unit="s", value=seconds, note=note),
            Row(key="server.bomb.memory", label="memory it takes", unit="MB", value=_peak(process.pid) - before),
        ]

    def check(self, process: Served) -> None:
        """Read back how many spans there are.

        Raises:
            RuntimeError: they are not those that were sent.
        """
        client = Client(process.url)
        found, cursor = 0, ""
        while True:
            page = client.get(f"/api/public/v2/observations?limit=1000{cursor}")
            found += len(page["data"])
            if not page["meta"].get("cursor"):
                break
            cursor = f"&cursor={page['meta']['cursor']}"
        client.close()
        if found != self._stored:
            raise RuntimeError(f"{self._stored} spans were answered for, and {found} are there")

    def _bodies(self, *, compressed: bool = False) -> list[bytes]:
        self._seed += 1
        self._stored += self._requests * SPANS
        return bodies(self._requests, seed=self._seed, compressed=compressed)


def run(settings: Settings, step: Step) -> Table:
    """Load one server in every way."""
    asked = Run(settings, step)
    with store_of("sqlite") as url:
        asked.fill(url)
        _load(asked, url, step)
    return Table(suite="server", title="The server", method=METHOD, rows=asked.rows)


def _load(asked: Run, url: str, step: Step) -> None:
    with served("benchmarks.serving", url) as process:
        reached = asked.ingest(process)
        step("at half the rate", 0.7)
        asked.wait(process, reached)
        step("reading back", 0.8)
        asked.check(process)
        asked.of_user(process)
        step("idle", 0.9)
        asked.idle(process)
        asked.bomb(process)


def _measured(process: Served, load: list[bytes], *, encoding: str, compressed: bool) -> tuple[Answered, float]:
    clients = [Client(process.url, encoding=encoding, compressed=compressed) for _ in range(_CONNECTIONS)]
    before = cpu_seconds(process.pid)
    answered = closed_loop(clients, load)
    for client in clients:
        client.close()
    return answered, cpu_seconds(process.pid) - before


def _beside(process: Served, load: list[bytes], per_second: float) -> tuple[Answered, list[float]]:
    """Send at set moments, and meanwhile read a list again and again."""
    clients = [Client(process.url) for _ in range(_CONNECTIONS)]
    reader, lists, done = Client(process.url), list[float](), threading.Event()

    def read() -> None:
        while not done.wait(0.05):
            began = time.perf_counter()
            reader.get(_LISTS[len(lists) % len(_LISTS)])
            lists.append(time.perf_counter() - began)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        answered = open_loop(clients, load, per_second=per_second)
    finally:
        done.set()
        thread.join()
        for client in (*clients, reader):
            client.close()
    return answered, lists


def _used(process: Served, seconds: float) -> float:
    """Return the share of a core that a process uses for so long."""
    before = cpu_seconds(process.pid)
    time.sleep(seconds)
    return (cpu_seconds(process.pid) - before) / seconds


def _resident(pid: int) -> float:
    return _status(pid, "VmRSS")


def _peak(pid: int) -> float:
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> float:
    """Return a figure of a process's memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0
