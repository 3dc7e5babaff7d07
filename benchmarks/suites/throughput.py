"""The request mix into a backend of choice, on a loop of choice, so many requests at once; everything is read back.

Every round has a recorder with its own pump thread, and a store of its own: a new and empty one where ``--backend`` is
a name, a new project of one that is there already where it is a URL. So whatever else a store holds, what a round wrote
can be told apart, and is read back to the last span. Deferred work, the search index, is left to whoever comes next.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import statistics
import uuid
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from msgspec import Struct

from benchmarks.busy_host import BusyHost, speed_alone
from benchmarks.figures import BUFFERS, STARTED_IN, Refused, Row, Settings, Table
from benchmarks.flow import Costs, Spent, buffer_for, costs_of, drive_warm
from benchmarks.machine import peak_memory, resident_memory
from benchmarks.measure import ratio, row_of
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Handle, Texts, bare_service, traced_service
from benchmarks.stored import Recorded
from benchmarks.stores import NEW, check_store, store_of
from tracecore import Recorder
from tracecore.config import without_credentials

__all__ = ["loop_factory", "run"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span, user and session) through a recorder whose pump has its own"
    " thread, so many at once; between them the producer waits while more than 8,192 records are in the buffer, so that"
    " nothing is lost. Each round has an empty store, or in a store that a URL names a project of its own. Time ends"
    " when flush says delivered; CPU is less that of the same requests without tracing, round by round. After each"
    " round every span is read back and compared. The journal, unless it is left out, is in a temporary folder; its"
    " rounds are interleaved with those in memory."
)
_ROUNDS: Final = 3
_MOST_AT_ONCE: Final = 1_000_000
_MOST_SPANS: Final = 1_000_000_000
_MB: Final = 1 << 20
_MEMORY: Final = "this ÷ memory"


class Load(Struct, frozen=True):
    """Say what a round does. The first request of each opens the store and does not count."""

    backend: str
    loop: Callable[[], asyncio.AbstractEventLoop] | None
    at_once: int
    requests: range
    texts: Texts
    mark: str
    """Names the projects of this run."""

    def run(self, work: Coroutine[Any, Any, Spent]) -> Spent:
        """Run a coroutine on a new loop of the kind that is asked for."""
        with asyncio.Runner(loop_factory=self.loop) as runner:
            return runner.run(work)

    async def drive(self, handle: Handle, recorder: Recorder | None = None) -> Spent:
        """Answer the requests."""
        return await drive_warm(handle, self.requests, recorder, at_once=self.at_once)


class Taken(Struct):
    """Collect the figures of every round; ``live`` and ``host`` are those beside the busy host."""

    before: int
    bare: list[Spent] = []
    alone: dict[str, list[Spent]] = {}
    """By where spans waited."""
    live: list[Spent] = []
    host: list[float] = []
    read_back: int = 0
    peak: int = 0


def run(settings: Settings, step: Step) -> Table:
    """Measure the mix without tracing, stored, and stored beside a busy host, in turn."""
    with contextlib.chdir(os.environ.get(STARTED_IN, ".")):
        load, rounds = _load(settings), settings.rounds_of(_ROUNDS)
        with store_of(settings.backend) as url:
            asyncio.run(check_store(url))
        taken = Taken(resident_memory())
        chance = random.Random(settings.seed)
        for number in range(rounds + 1):
            step(f"round {number} of {rounds}" if number else "warm-up", number / (rounds + 1))
            _round(load, taken, chance, number, settings)
            if not number:
                taken = Taken(taken.before, peak=taken.peak)
    return Table(suite="throughput", title=_title(settings), method=METHOD, rows=_rows(load, taken))


def _load(settings: Settings) -> Load:
    if settings.concurrency > _MOST_AT_ONCE:
        raise Refused(f"--concurrency {settings.concurrency}: at most {_MOST_AT_ONCE:,} requests at once")
    if settings.spans > _MOST_SPANS:
        raise Refused(f"--spans {settings.spans}: at most {_MOST_SPANS:,} spans in a round")
    requests = range(1 + max(1, settings.size_of(settings.spans) // SPANS))
    return Load(
        backend=settings.backend, loop=loop_factory(settings.loop), at_once=min(settings.concurrency, len(requests)),
        requests=requests, texts=Texts(settings.seed), mark=uuid.uuid4().hex[:8],
    )  # fmt: skip


def loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop of this name, None where that is asyncio's own."""
    if loop == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 - may be missing
    except ImportError as error:
        raise Refused(f"--loop {loop}: it is not installed: pip install 'tracecore[uvloop]'") from error
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _title(settings: Settings) -> str:
    """Return what was chosen; of a URL nothing that is secret."""
    where = settings.backend if settings.backend in NEW else without_credentials(settings.backend)
    return f"Into {where}, {settings.loop}, {settings.concurrency:,} at once"


def _round(load: Load, taken: Taken, chance: random.Random, number: int, settings: Settings) -> None:
    """Take each figure once, in an order that changes."""

    def stored(buffer: str) -> None:
        taken.alone.setdefault(buffer, []).append(_stored(load, taken, f"{number}-{buffer}", buffer))

    turns: list[Callable[[], object]] = [
        lambda: taken.bare.append(load.run(load.drive(bare_service(load.texts)))),
        *(partial(stored, buffer) for buffer in settings.buffers),
    ]
    if settings.busy_host:
        first = settings.buffers[0]
        turns.append(lambda: taken.live.append(_stored(load, taken, f"{number}-live", first, busy=True)))
    if number:  # the warm-up begins with the first buffer: its peak of memory is shown
        chance.shuffle(turns)
    for turn in turns:
        gc.collect()
        turn()


def _stored(load: Load, taken: Taken, name: str, buffer: str, *, busy: bool = False) -> Spent:
    """Store requests, read them back, and return what storing took."""
    alone = speed_alone() if busy else 0.0
    with store_of(load.backend) as url, ExitStack() as exits:
        project = f"benchmark-{load.mark}-{name}"
        stored = exits.enter_context(Recorded(url, project=project, buffer=buffer, **buffer_for(load.at_once)))
        with BusyHost() if busy else contextlib.nullcontext() as host:
            mark = host.mark() if host is not None else (0, 0.0)
            spent = load.run(load.drive(traced_service(load.texts, stored.recorder), stored.recorder))
            if host is not None:
                taken.host.append(100 * ratio(host.speed_since(mark), alone))
        taken.peak = taken.peak or peak_memory()
        stored.recorder.shutdown()
        stored.check_journal()
        taken.read_back += asyncio.run(stored.read_back(load.texts, load.requests))
    return spent


def _rows(load: Load, taken: Taken) -> list[Row]:
    bare = [one.caller_us for one in taken.bare]
    costs: dict[str, Costs] = {
        buffer: costs_of(taken.alone[buffer], taken.bare) for buffer in BUFFERS if buffer in taken.alone
    }
    compared = "name, parent, status, user, input, output, model, usage, cost"
    stays = f"they stay there, in projects named benchmark-{load.mark}-…"
    spans = f"{(len(load.requests) - 1) * SPANS:,} spans a round"
    rows = [
        row_of("throughput.bare", "without tracing, per span", "µs", bare, note="CPU of the caller"),
        *(row for buffer in costs for row in _cost_rows(buffer, costs, spans)),
        Row(key="throughput.lost", label="lost", unit="spans", value=0, note="a loss ends the suite with an error"),
        Row(
            key="throughput.read_back", label="read back and compared, all rounds", unit="spans", value=taken.read_back,
            note=compared if load.backend in NEW else stays,
        ),
        Row(
            key="throughput.peak", label="peak memory of the process", unit="MB", value=taken.peak / _MB,
            note=f"before anything is read back; {taken.before / _MB:.0f} MB before the first span",
        ),
    ]  # fmt: skip
    first = next(iter(costs.values()))
    return rows + _live_rows(taken, statistics.median(first.rate)) if taken.live else rows


def _cost_rows(buffer: str, costs: dict[str, Costs], spans: str) -> list[Row]:
    """Return what storing took with this buffer, beside memory where that was measured too."""
    here, memory = costs[buffer], costs.get("memory")
    key, label = ("throughput.", "") if buffer == "memory" else (f"throughput.{buffer}.", f"{buffer}: ")

    def row(name: str, what: str, unit: str, note: str = "") -> Row:
        figures, ratios = getattr(here, name), dict[str, float]()
        if memory is not None and memory is not here:
            ratios[_MEMORY] = ratio(statistics.median(figures), statistics.median(getattr(memory, name)))
        return row_of(f"{key}{name}", f"{label}{what}", unit, figures, ratios=ratios, note=note)

    return [
        row("caller", "CPU of the caller per span", "µs"),
        row("cpu", "CPU of all threads per stored span", "µs"),
        row("rate", "sustained, one process", "spans/s", spans),
    ]


def _live_rows(taken: Taken, alone: float) -> list[Row]:
    rates = [one.rate for one in taken.live]
    return [
        row_of(
            "throughput.live.rate", "beside a busy host", "spans/s", rates,
            ratios={"this ÷ alone": ratio(statistics.median(rates), alone)}, note="the producer waits for the GIL too",
        ),
        row_of("throughput.live.host", "the host's speed meanwhile", "%", taken.host),
    ]  # fmt: skip
