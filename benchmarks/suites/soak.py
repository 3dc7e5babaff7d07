"""The request mix into one SQLite file for as long as is asked for: does anything grow, slow down, or get lost?

The producer goes as fast as the store can take, and the store does its deferred work whenever there is time, as in a
program. After every tenth of the time everything is flushed and the process looked at: memory, descriptors, threads.
In the end the account must be exact: what was made is in the file, or counted as lost, and nothing is in both.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.account import EXACT, Account
from benchmarks.figures import Row, Settings, Table
from benchmarks.flow import AT_ONCE, PACING, wait_for_room
from benchmarks.machine import resident_memory
from benchmarks.progress import Step
from benchmarks.request_mix import SPANS, Handle, Texts, traced_service
from benchmarks.stored import Stored, check_space

__all__ = ["Soak", "run", "soaked"]

METHOD: Final = (
    "Requests of 5 spans (846 B of payload per span) into one SQLite file without a pause, deferred work included."
    f" Pacing: {PACING}. After every tenth of the time a flush and a garbage collection, and then a look at the"
    " process. In the end the spans in the file are counted, and the newest of them compared with what was emitted."
)
_TENTHS: Final = 10
_FLUSH_WITHIN_S: Final = 120.0
_MOST_PER_SECOND: Final = 50_000
"""Spans, to reckon the space with."""
_COMPARED: Final = 2_000
"""Requests."""
_MB: Final = 1 << 20
_DESCRIPTORS: Final = Path("/proc/self/fd")


class Look(Struct, frozen=True):
    """Say how the process is at one moment; what the system does not say is 0."""

    delivered: int
    at: float
    memory: int
    descriptors: int
    threads: int


class Soak(Account, kw_only=True):
    """Hold the looks at the process, the first before the time began, and what became of all spans."""

    looks: list[Look]
    size: int

    def rate(self, tenth: int) -> float:
        """Return the spans that were delivered per second in a tenth; -1 is the last."""
        before, after = (self.looks[:-1][tenth], self.looks[1:][tenth])
        return (after.delivered - before.delivered) / (after.at - before.at)


def soaked(seconds: float, texts: Texts, step: Step) -> Soak:
    """Answer requests for so long, and account for all of them.

    Raises:
        RuntimeError: one is neither in the file nor counted as lost.
    """
    with Stored(maintaining=True) as stored:
        stored.backend.wait_until_open()
        looks, requests = asyncio.run(_work(stored, traced_service(texts, stored.recorder), seconds, step))
        step("counting", 0.95)
        result = stored.recorder.shutdown(_FLUSH_WITHIN_S)
        if result.pending:
            raise RuntimeError(f"{result.pending} records are pending after {_FLUSH_WITHIN_S} s")
        health = stored.recorder.health()
        there, size = asyncio.run(stored.count()), stored.size
        if not health.lost:
            asyncio.run(stored.read_back(texts, range(requests)[-_COMPARED:], newest=True))
    soak = Soak(
        looks=looks, made=requests * SPANS, emitted=health.emitted, delivered=health.delivered, lost=dict(health.lost),
        stored=there, size=size,
    )  # fmt: skip
    soak.check()
    return soak


async def _work(stored: Stored, handle: Handle, seconds: float, step: Step) -> tuple[list[Look], int]:
    """Answer requests for so long; return the looks and how many requests there were."""
    requests = await _answer(stored, handle, 0, 0.0)
    looks = [await _look(stored)]
    for tenth in range(_TENTHS):
        step(f"{requests * SPANS:,} spans, {looks[-1].memory / _MB:.0f} MB", 0.95 * tenth / _TENTHS)
        until = looks[0].at + seconds * (tenth + 1) / _TENTHS
        requests = await _answer(stored, handle, requests, until)
        looks.append(await _look(stored))
    return looks, requests


async def _answer(stored: Stored, handle: Handle, requests: int, until: float) -> int:
    """Answer requests until then, some at least, and return how many there are by now."""
    while True:
        await asyncio.gather(*map(handle, range(requests, requests + AT_ONCE)))
        requests += AT_ONCE
        await wait_for_room(stored.recorder)
        if time.perf_counter() >= until:
            return requests


async def _look(stored: Stored) -> Look:
    """Let the buffer run empty, and look."""
    result = await stored.recorder.aflush(_FLUSH_WITHIN_S)
    if result.pending:
        raise RuntimeError(f"{result.pending} records are pending after {_FLUSH_WITHIN_S} s")
    gc.collect()
    return Look(
        delivered=stored.recorder.health().delivered, at=time.perf_counter(), memory=resident_memory(),
        descriptors=len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.exists() else 0,
        threads=threading.active_count(),
    )  # fmt: skip


def run(settings: Settings, step: Step) -> Table:
    """Go on for the seconds that are asked for, and say what has changed."""
    check_space(settings.seconds * _MOST_PER_SECOND)
    soak = soaked(settings.seconds, Texts(settings.seed), step)
    title = f"{settings.seconds:,} s without a pause"
    return Table(suite="soak", title=title, method=METHOD, rows=[*_account(soak), *_changes(soak)])


def _account(soak: Soak) -> list[Row]:
    lost = sum(soak.lost.values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in soak.lost.items())
    return [
        Row(key="soak.made", label="made", unit="spans", value=soak.made),
        Row(key="soak.stored", label="delivered, and counted in the file", unit="spans", value=soak.stored),
        Row(key="soak.lost", label="dropped and counted", unit="spans", value=lost, note=reasons),
        Row(key="soak.missing", label="neither stored nor counted", unit="spans", value=soak.missing, note=EXACT),
        Row(key="soak.size", label="the file", unit="MB", value=soak.size / 1e6),
    ]


def _changes(soak: Soak) -> list[Row]:
    """Return what could grow, or become slower, while time goes by."""
    start, tenth, *_, end = soak.looks
    moments = {"start": ("at the start", start), "tenth": ("after a tenth", tenth), "end": ("at the end", end)}
    rows = [
        Row(key=f"soak.{what}.{name}", label=f"{label} {when}", unit=unit, value=getattr(look, what) / per)
        for what, label, unit, per in (
            ("memory", "memory", "MB", _MB), ("descriptors", "open descriptors", "", 1), ("threads", "threads", "", 1),
        )
        for name, (when, look) in moments.items()
    ]  # fmt: skip
    growth = max(look.memory for look in soak.looks[1:]) - tenth.memory
    first, last = soak.rate(0), soak.rate(-1)
    return [
        *rows,
        Row(
            key="soak.growth", label="most memory at a later look, over that after a tenth", unit="MB",
            value=growth / _MB,
        ),
        Row(key="soak.rate.first", label="delivered in the first tenth", unit="spans/s", value=first),
        Row(
            key="soak.rate.last", label="delivered in the last tenth", unit="spans/s", value=last,
            ratios={"this ÷ first": last / first},
        ),
    ]  # fmt: skip
