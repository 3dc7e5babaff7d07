"""The request mix over HTTP: to our own server end to end, and to a collector that decodes, as three protocols' bytes.

The server is a process of its own that stores in a new SQLite file each round, and is read back through its own
endpoint. The collector takes apart what it is sent and stores nothing. Beside it the OpenTelemetry SDK sends the same
requests with its own OTLP exporter to the same collector, and SQLite in this process says what leaving HTTP out saves.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.decoding import COLLECTED, FORGET, OTLP_PATH, Found
from benchmarks.delivering import (
    Delivered,
    Place,
    Spot,
    backlog,
    beside_host,
    live,
    new_file,
    per_span,
    rows_beside_host,
    rows_of_backlog,
    rows_of_costs,
)
from benchmarks.figures import OTHER_CAPTURED, Row, Settings, Table
from benchmarks.flow import PACING, Spent, drive
from benchmarks.measure import ratio, row_of
from benchmarks.processes import Served, cpu_seconds, served
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Texts, bare_service
from benchmarks.rivals.adapters.opentelemetry import OpenTelemetry, provider_of
from benchmarks.rivals.opentelemetry_sdk import service_by
from benchmarks.stores import store_of

__all__ = ["run"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span, user and session) through a recorder whose pump has its own"
    f" thread. Pacing: {PACING}. Our own server is a process of its own over a new SQLite file per round; the collector"
    " is one too, takes every request apart before it answers (records, or OTLP's messages), and stores nothing. All"
    " of it over TCP on the loopback interface, in shuffled rounds. CPU of the client is that of all threads of this"
    " process, less the same requests without tracing, round by round. OpenTelemetry is its SDK with its OTLP exporter"
    " over HTTP, arguments and results captured by hand, not compressed, as by default. Backlog: everything waits in"
    " the buffer first, so that the pump works alone. Time ends when flush says delivered. What the server stored is"
    " read back through it and compared; what the collector got is counted, span by span, with both payloads."
)
_ROUNDS: Final = 5
_BUSY_ROUNDS: Final = 3
_REQUESTS: Final = 6_000
_SQLITE: Final = "this ÷ SQLite"
_LOOPBACK: Final = "127.0.0.1"
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy is set: the collector is here."""
_LABELS: Final = {
    "native": "our server over SQLite, zstd: ",
    "raw": "collector, not compressed: ",
    "zstd": "collector, zstd: ",
    "otlp": "collector, OTLP: ",
    "opentelemetry": "OpenTelemetry to the collector: ",
    "sqlite": "SQLite in this process: ",
}
_TO_COLLECTOR: Final = {
    "raw": "{url}?compression=none", "zstd": "{url}", "otlp": "{otlp}" + OTLP_PATH + "?compression=none",
}  # fmt: skip
"""The URL of each protocol: the SDK's exporter compresses nothing unless told to, and so does ours beside it."""
_BEHIND: Final = ("native", "raw")
"""Whose backlog is measured, too."""


class Taken(Struct):
    """Collect the figures of every round."""

    bare: list[Spent] = []
    live: dict[str, list[Delivered]] = {}
    """By place."""
    backlog: dict[str, list[Delivered]] = {}
    busy: list[Delivered] = []
    wire: dict[str, float] = {}
    """Bytes of a span as it was sent, by place."""


class Collector:
    """Talk with the collector about what it has got."""

    def __init__(self, process: Served) -> None:
        self.url = process.url
        self._pid = process.pid

    @property
    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        return cpu_seconds(self._pid)

    def forget(self) -> None:
        """Let it begin anew."""
        self._asked(FORGET, b"")

    def found(self) -> Found:
        """Return what it has got."""
        return msgspec.json.decode(self._asked(COLLECTED, None), type=Found)

    def _asked(self, path: str, body: bytes | None) -> bytes:
        with _DIRECT.open(f"{self.url}{path}", body) as answer:
            said: bytes = answer.read()
            return said


@contextmanager
def our_server() -> Iterator[Spot]:
    """Yield a server over a new SQLite file."""
    with store_of("sqlite") as url, served("benchmarks.serving", url) as process:
        yield Spot(process.url, partial(cpu_seconds, process.pid))


class Run:
    """Deliver to every place in turn."""

    def __init__(self, collector: Collector, texts: Texts, requests: range) -> None:
        self._collector = collector
        self._texts = texts
        self._requests = requests
        self.taken = Taken()
        otlp = collector.url.replace("http://", "http+otlp://")
        urls = {name: form.format(url=collector.url, otlp=otlp) for name, form in _TO_COLLECTOR.items()}
        self._places: dict[str, Place] = {
            "native": our_server, "sqlite": new_file, **{name: partial(self._sent, url) for name, url in urls.items()}
        }  # fmt: skip

    def turns(self, *, busy: bool) -> list[Callable[[], None]]:
        """Return what takes each figure once."""
        turns: list[Callable[[], None]] = [self._untraced, self._opentelemetry]
        turns += [partial(self._live, name) for name in self._places]
        turns += [partial(self._backlog, name) for name in _BEHIND]
        return [*turns, self._busy] if busy else turns

    def _untraced(self) -> None:
        self.taken.bare.append(asyncio.run(drive(bare_service(self._texts), self._requests[1:])))

    def _live(self, name: str) -> None:
        found = live(self._places[name], self._texts, self._requests)
        self.taken.live.setdefault(name, []).append(found)
        self._weigh(name)

    def _backlog(self, name: str) -> None:
        self.taken.backlog.setdefault(name, []).append(backlog(self._places[name], self._texts, self._requests))

    def _busy(self) -> None:
        self.taken.busy.append(beside_host(our_server, self._texts, self._requests))

    def _opentelemetry(self) -> None:
        """Send the same with the SDK and its exporter."""
        self._collector.forget()
        found = asyncio.run(self._sent_by_sdk())
        whole = self._collector.found().whole
        if whole != len(self._requests) * SPANS:
            raise RuntimeError(f"{whole} spans of OpenTelemetry have arrived, expected {len(self._requests) * SPANS}")
        found.checked = whole
        self.taken.live.setdefault("opentelemetry", []).append(found)
        self._weigh("opentelemetry")

    async def _sent_by_sdk(self) -> Delivered:
        provider = provider_of(self._collector.url)
        sdk = OpenTelemetry(provider)
        try:
            handle = service_by(provider, self._texts)
            await drive(handle, self._requests[:1], settle=sdk.flush)
            there = self._collector.cpu
            spent = await drive(handle, self._requests[1:], settle=sdk.flush)
            return Delivered(spent, self._collector.cpu - there)
        finally:
            await asyncio.to_thread(sdk.close)

    @contextmanager
    def _sent(self, url: str) -> Iterator[Spot]:
        """Yield the collector, which has forgotten what came before."""
        self._collector.forget()
        yield Spot(url, lambda: self._collector.cpu, lambda: self._collector.found().whole)

    def _weigh(self, name: str) -> None:
        if name in _TO_COLLECTOR or name == "opentelemetry":
            found = self._collector.found()
            self.taken.wire[name] = found.bytes / found.spans


def run(settings: Settings, step: Step) -> Table:
    """Deliver over HTTP in every way, in turn."""
    os.environ.update(NO_PROXY=_LOOPBACK, no_proxy=_LOOPBACK)
    requests, rounds = range(1 + settings.size_of(_REQUESTS)), settings.rounds_of(_ROUNDS)
    busy_rounds = min(rounds, _BUSY_ROUNDS) if settings.busy_host else 0
    chance = random.Random(settings.seed)
    with served("benchmarks.decoding") as process:
        running = Run(Collector(process), Texts(settings.seed), requests)
        for number in range(rounds + 1):
            turns = running.turns(busy=1 <= number <= busy_rounds)
            chance.shuffle(turns)
            for place, turn in enumerate(turns):
                share = (number + place / len(turns)) / (rounds + 1)
                step(f"round {number} of {rounds}" if number else "warm-up", share)
                gc.collect()
                turn()
            if not number:
                running.taken = Taken()
    return Table(suite="http", title="Over HTTP", method=METHOD, rows=_rows(running.taken, requests))


def _rows(taken: Taken, requests: range) -> list[Row]:
    bare = [one.caller_us for one in taken.bare]
    rows = [row_of("http.bare", "the requests without tracing, per span", "µs", bare, note="CPU of the caller")]
    for name, label in _LABELS.items():
        rows += rows_of_costs(f"http.{name}", label, taken.live[name], taken.bare, _ratios(taken, name))
        if name in taken.backlog:
            rows += rows_of_backlog(f"http.{name}", label, taken.backlog[name])
        if name in taken.wire:
            key, what = f"http.{name}.bytes", f"{label}sent per span"
            rows.append(Row(key=key, label=what, unit="bytes", value=taken.wire[name]))
    checked = sum(one.checked for each in (taken.live, taken.backlog) for ones in each.values() for one in ones)
    rows += [
        Row(key="http.lost", label="lost", unit="spans", value=0, note="a loss ends the suite with an error"),
        Row(
            key="http.checked", label="read back and compared, or counted, all rounds", unit="spans",
            value=checked + sum(one.checked for one in taken.busy),
            note=f"{(len(requests) - 1) * SPANS:,} spans a round and place",
        ),
    ]  # fmt: skip
    if taken.busy:
        rows += rows_beside_host("http", _LABELS["native"], taken.busy, taken.live["native"])
    return rows


def _ratios(taken: Taken, name: str) -> dict[str, dict[str, float]]:
    """Return the ratios of one place: to SQLite in this process, and of what OpenTelemetry takes to what it takes."""
    middle = {
        place: {figure: statistics.median(each) for figure, each in per_span(taken.live[place], taken.bare).items()}
        for place in (name, "sqlite", "opentelemetry")
    }
    here, sqlite, other = middle[name], middle["sqlite"], middle["opentelemetry"]
    ratios: dict[str, dict[str, float]] = {figure: {} for figure in here}
    if name != "sqlite":
        for figure in ("cpu", "rate"):
            ratios[figure][_SQLITE] = ratio(here[figure], sqlite[figure])
    if name not in {"sqlite", "opentelemetry"}:
        for figure in ("caller", "cpu"):
            ratios[figure][OTHER_CAPTURED] = ratio(other[figure], here[figure])
    return ratios
