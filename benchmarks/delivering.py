"""The request mix delivered to one place after another: what it takes here, what it takes there, and all of it checked.

A :class:`Place` is new and empty for each round and knows whose CPU is not ours. *Live* is producer and pump at once,
as in a program. *Backlog* is the pump alone: everything waits in the buffer before the clock starts, so that what
delivering takes is not mixed with what recording takes.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

from msgspec import Struct

from benchmarks.busy_host import BusyHost, speed_alone
from benchmarks.figures import Row
from benchmarks.flow import AT_ONCE, Spent, buffer_for, drive
from benchmarks.measure import less, ratio, row_of
from benchmarks.request_mix import SPANS, Handle, Texts, traced_service
from benchmarks.stored import Recorded
from benchmarks.stores import store_of

__all__ = [
    "Delivered",
    "Place",
    "Spot",
    "backlog",
    "beside_host",
    "live",
    "new_file",
    "per_span",
    "rows_beside_host",
    "rows_of_backlog",
    "rows_of_costs",
]

_FLUSH_WITHIN_S: Final = 120.0
_ALONE: Final = "this ÷ alone"


class Spot(Struct, frozen=True):
    """Say where one round delivers to."""

    url: str
    others_cpu: Callable[[], float] = lambda: 0.0
    """Return seconds of CPU of all processes that are not ours."""
    count: Callable[[], int] | None = None
    """Return how many spans have arrived whole; None where all of it is read back and compared."""


class Place(Protocol):
    """Somewhere to deliver to."""

    def __call__(self) -> AbstractContextManager[Spot]:
        """Return what makes it ready, new and empty, for the length of a block."""
        ...


class Delivered(Struct):
    """Say what delivering took in one round: here, and there (seconds of CPU), and the host's speed meanwhile."""

    spent: Spent
    there: float = 0.0
    host: float = 0.0
    """% of its speed alone."""
    checked: int = 0
    """Spans that were found afterwards."""

    @property
    def there_us(self) -> float:
        """Return µs of CPU of the other processes per span."""
        return self.there / self.spent.spans * 1e6


@contextmanager
def new_file() -> Iterator[Spot]:
    """Yield a new SQLite file."""
    with store_of("sqlite") as url:
        yield Spot(url)


def live(place: Place, texts: Texts, requests: range) -> Delivered:
    """Answer requests, and see them delivered. The first opens what must be opened, and does not count."""
    return _recorded(place, texts, requests, host=nullcontext())


def beside_host(place: Place, texts: Texts, requests: range) -> Delivered:
    """Do the same beside a thread that computes."""
    alone = speed_alone()
    host = BusyHost()
    found = _recorded(place, texts, requests, host=host)
    found.host = 100 * ratio(found.host, alone)
    return found


def _recorded(
    place: Place, texts: Texts, requests: range, *, host: AbstractContextManager[BusyHost | None]
) -> Delivered:
    with place() as spot, Recorded(spot.url) as stored:
        gc.collect()
        with host as busy:
            found = asyncio.run(_driven(traced_service(texts, stored.recorder), requests, stored, spot, busy))
        stored.recorder.shutdown()
        found.checked = _checked(spot, stored, texts, requests)
        return found


async def _driven(handle: Handle, requests: range, stored: Recorded, spot: Spot, busy: BusyHost | None) -> Delivered:
    await drive(handle, requests[:1], stored.recorder)
    there, mark = spot.others_cpu(), None if busy is None else busy.mark()
    spent = await drive(handle, requests[1:], stored.recorder)
    speed = 0.0 if busy is None or mark is None else busy.speed_since(mark)
    return Delivered(spent, spot.others_cpu() - there, speed)


def backlog(place: Place, texts: Texts, requests: range) -> Delivered:
    """Fill the buffer, then let the pump work it off. What the caller takes is not in it.

    Raises:
        RuntimeError: something was lost, or was not delivered in time.
    """
    with place() as spot, Recorded(spot.url, held=True, **buffer_for(len(requests))) as stored:
        asyncio.run(_emitted(traced_service(texts, stored.recorder), requests))
        stored.backend.wait_until_open()
        gc.collect()
        there, cpu, began = spot.others_cpu(), time.process_time(), time.perf_counter()
        stored.backend.release()
        result = stored.recorder.flush(_FLUSH_WITHIN_S)
        spent = Spent(len(requests), wall=time.perf_counter() - began, all_threads=time.process_time() - cpu)
        found = Delivered(spent, spot.others_cpu() - there)
        if not result.delivered or result.lost:
            last = stored.recorder.health().last_error
            raise RuntimeError(f"{result.pending} records are pending, lost: {result.lost}; {last}")
        stored.recorder.shutdown()
        found.checked = _checked(spot, stored, texts, requests)
        return found


async def _emitted(handle: Handle, requests: range) -> None:
    for first in range(0, len(requests), AT_ONCE):
        await asyncio.gather(*map(handle, requests[first : first + AT_ONCE]))


def _checked(spot: Spot, stored: Recorded, texts: Texts, requests: range) -> int:
    """Return how many spans are there.

    Raises:
        RuntimeError: not all of them are, or one is not what was recorded.
    """
    if spot.count is None:
        return asyncio.run(stored.read_back(texts, requests))
    found = spot.count()
    if found != len(requests) * SPANS:
        raise RuntimeError(f"{spot.url}: {found} spans have arrived whole, expected {len(requests) * SPANS}")
    return found


def per_span(taken: list[Delivered], bare: list[Spent]) -> dict[str, list[float]]:
    """Return µs of CPU per span of the caller, of all threads of the client and of the server, and spans/s, by round.

    What the requests take without tracing is subtracted from the client's.
    """
    spent = [one.spent for one in taken]
    return {
        "caller": less([one.caller_us for one in spent], [one.caller_us for one in bare]),
        "cpu": less([one.cpu_us for one in spent], [one.cpu_us for one in bare]),
        "server": [one.there_us for one in taken],
        "rate": [one.rate for one in spent],
    }


def rows_of_costs(
    key: str, label: str, taken: list[Delivered], bare: list[Spent], ratios: Mapping[str, Mapping[str, float]]
) -> list[Row]:
    """Return the rows of one place; ``ratios`` are those of a figure, by its name in :func:`per_span`."""
    figures = per_span(taken, bare)

    def row(name: str, what: str, unit: str, note: str = "") -> Row:
        return row_of(f"{key}.{name}", f"{label}{what}", unit, figures[name], ratios=ratios.get(name), note=note)

    rows = [
        row("caller", "CPU of the caller per span", "µs"),
        row("cpu", "CPU of the client per span", "µs", "all threads, the caller's included"),
        row("rate", "sustained, one process", "spans/s"),
    ]
    return [*rows[:2], row("server", "CPU of the server per span", "µs"), rows[2]] if any(figures["server"]) else rows


def rows_of_backlog(key: str, label: str, taken: list[Delivered]) -> list[Row]:
    """Return what the pump takes by itself, and how fast it is."""
    spent = [one.spent for one in taken]
    return [
        row_of(
            f"{key}.backlog.cpu", f"{label}backlog, CPU of the client per span", "µs", [one.cpu_us for one in spent],
            note="the pump and the driver, without the caller",
        ),
        row_of(
            f"{key}.backlog.rate", f"{label}backlog, by the pump alone", "spans/s", [one.rate for one in spent]
        ),
    ]  # fmt: skip


def rows_beside_host(key: str, label: str, taken: list[Delivered], alone: list[Delivered]) -> list[Row]:
    """Return the rate beside a busy host, and the host's speed; ``alone`` is the same without one."""
    rates = [one.spent.rate for one in taken]
    # Only the rounds in which both were measured.
    idle = statistics.median(one.spent.rate for one in alone[: len(rates)])
    return [
        row_of(
            f"{key}.live.rate", f"{label}live beside a busy host", "spans/s", rates,
            ratios={_ALONE: ratio(statistics.median(rates), idle)}, note="the producer waits for the GIL too",
        ),
        row_of(f"{key}.live.host", "the host's speed meanwhile", "%", [one.host for one in taken]),
    ]  # fmt: skip
