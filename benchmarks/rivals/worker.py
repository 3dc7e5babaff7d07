"""The worker: record with one rival, in its own environment, as ordered, and say what it took.

``python -m benchmarks.rivals.worker ADAPTER COLLECTOR_URL`` starts the rival, says so in a line of JSON, and then takes
orders as lines of JSON on standard input: ``{"do": "call", "calls": 1000}``. Each is answered with a line on what was
standard output when it began; whatever a library prints goes to standard error. What a rival raises becomes an answer
``{"error": …}``. It ends after ``close``, and when its standard input is closed.

Standard library only. Figures are taken as the suites ``call``, ``pump`` and ``lag`` take ours: the same calls without
tracing are measured right before and after, the collector of garbage runs as usual between a full collection before
each measurement, and flushing is outside the caller's timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import queue
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.probe import while_probed
from benchmarks.rivals.adapter import CountingTracer, Rival, Tracer
from benchmarks.rivals.catalogue import adapter
from benchmarks.rivals.numbered_calls import SPANS, Plan, Requests, Untraced, numbered, plan

__all__ = ["Worker"]

Said: TypeAlias = dict[str, Any]
_LINES: Final = 8
"""Of a traceback: the last of them say what happened."""
_TO_CLOSE_S: Final = 10.0
"""What a rival may take to end when whoever gave the orders is gone."""


class Worker:
    """Record with a rival as ordered."""

    def __init__(self, name: str, collector: str) -> None:
        module = adapter(name)
        self.rival: Rival = module.RIVAL
        before = set(sys.modules)
        began = time.perf_counter_ns()
        self._tracer: Tracer | CountingTracer = module.start(collector)
        self._start_ms = (time.perf_counter_ns() - began) / 1e6
        self._modules = len(set(sys.modules) - before)
        # One loop for all orders, as a service has; `select` because `epoll` rounds every wait up to a millisecond.
        self._runner = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()))
        self._source = numbered(itertools.count())
        self._bare, self._traced = Requests(Untraced()), Requests(self._tracer)
        self._orders: dict[str, Callable[..., Said]] = {
            "call": self.call, "load": self.load, "lag": self.lag, "size": self.size, "count": self.count,
            "close": self.close,
        }  # fmt: skip
        gc.collect()
        gc.freeze()

    def obey(self, order: Said) -> Said:
        """Do what is ordered and return what to answer."""
        arguments = dict(order)
        return self._orders[arguments.pop("do")](**arguments)

    def call(self, calls: int) -> Said:
        """Make calls one after another inside one root: ns of CPU of the caller per call, bare and traced."""
        planned = plan(self._source, 1, calls)
        gc.collect()

        async def measure() -> tuple[float, float, float]:
            before = await self._bare.time_calls(planned)
            traced = await self._traced.time_calls(planned)
            return before, traced, await self._bare.time_calls(planned)

        before, traced, after = self._runner.run(measure())
        flush_s = self._flushed()
        return {"bare": (before + after) / 2, "traced": traced, "made": calls + 1, "flush_s": flush_s}

    def load(self, requests: int, at_once: int) -> Said:
        """Answer requests: seconds of CPU of all threads and of wall clock until flush returns, bare and traced."""
        planned = plan(self._source, requests)
        bare_cpu, bare_wall = self._spent(self._bare, planned, at_once, flush=None)
        began = time.perf_counter()
        cpu, wall = self._spent(self._traced, planned, at_once, flush=self._tracer.flush)
        return {
            "bare_cpu": bare_cpu, "bare_wall": bare_wall, "cpu": cpu, "wall": wall, "made": requests * SPANS,
            "began": began, "processes": _processes(),
        }  # fmt: skip

    def _spent(
        self, requests: Requests, planned: Plan, at_once: int, flush: Callable[[], object] | None
    ) -> tuple[float, float]:
        async def serve() -> None:
            await requests.serve(planned, at_once)
            if flush is not None:
                await asyncio.to_thread(flush)

        gc.collect()
        cpu, began = time.process_time(), time.perf_counter()
        self._runner.run(serve())
        return time.process_time() - cpu, time.perf_counter() - began

    def lag(self, spans_per_second: int, seconds: float, tasks: int) -> Said:
        """Answer requests at a pace: by how many ms a probe that is due every ms was late, bare and traced."""
        per_second = spans_per_second / SPANS
        planned = plan(self._source, max(tasks, round(per_second * seconds)))
        bare, _ = self._late(self._bare, planned, per_second, tasks)
        traced, kept = self._late(self._traced, planned, per_second, tasks)
        flush_s = self._flushed()
        return {"bare": bare, "traced": traced, "kept": kept, "made": len(planned) * SPANS, "flush_s": flush_s}

    def _late(self, requests: Requests, planned: Plan, per_second: float, tasks: int) -> tuple[list[float], float]:
        """Return by how many ms each tick of a probe was late, and which part of the pace was kept."""
        gc.collect()
        late, seconds = self._runner.run(while_probed(lambda: requests.serve_paced(planned, per_second, tasks)))
        return [round(ms, 4) for ms in late], (len(planned) - 1) / per_second / seconds

    def _flushed(self) -> float:
        """Flush while the loop goes on, as a service does, and return the seconds it takes."""
        began = time.perf_counter()
        self._runner.run(_beside_the_loop(self._tracer.flush))
        return time.perf_counter() - began

    def size(self) -> Said:
        """Say what starting took: ms to import the rival and set it up, and the modules this loaded."""
        return {
            "start_ms": self._start_ms, "modules": self._modules, "version": self._version(),
            "counts_itself": hasattr(self._tracer, "delivered"),
        }  # fmt: skip

    def _version(self) -> str:
        """Return the version of the rival, which is the first of its requirements."""
        if not self.rival.requirements:
            return ""
        first = self.rival.requirements[0]
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(first.partition("==")[0].partition("[")[0].strip())
        return ""

    def count(self) -> Said:
        """Say what the rival itself reads back, if it does."""
        return dict(self._tracer.delivered()) if hasattr(self._tracer, "delivered") else {}

    def close(self) -> Said:
        """End what the rival runs."""
        self._tracer.close()
        self._runner.close()
        return {"closed": True}


async def _beside_the_loop(function: Callable[[], object]) -> None:
    await asyncio.to_thread(function)


def _processes() -> int:
    """Return how many processes this one has started that still run; 0 where the system does not say."""
    found = Path("/proc/self/task").glob("*/children")
    return sum(len(children.read_text().split()) for children in found)


def _complaint() -> Said:
    """Return the end of the traceback of what is being handled."""
    return {"error": "\n".join(traceback.format_exc().strip().splitlines()[-_LINES:])}


def _attempted(attempt: Callable[[], Said]) -> Said:
    """Return an answer, or what was raised instead; a rival may do anything, ``exit`` included."""
    try:
        return attempt()
    except BaseException:  # noqa: BLE001 - whatever it is, whoever gave the order must hear of it
        return _complaint()


def _listen(orders: queue.SimpleQueue[Said], source: int) -> None:
    """Hand orders on until nobody can give any; then end, in order if the rival lets us, or with all it has started."""
    with open(source, "rb") as lines:
        for line in lines:
            orders.put(json.loads(line))
    orders.put({"do": "close"})
    time.sleep(_TO_CLOSE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main(name: str, collector: str) -> None:
    """Start a rival and obey until told to close."""
    given, out = os.dup(0), os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    orders: queue.SimpleQueue[Said] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, given), daemon=True).start()

    def say(answer: Said) -> None:
        with contextlib.suppress(BrokenPipeError):
            out.write(json.dumps(answer) + "\n")

    workers: list[Worker] = []

    def start() -> Said:
        workers.append(Worker(name, collector))
        return workers[0].size()

    say(_attempted(start))
    while workers:
        order = orders.get()
        say(_attempted(lambda order=order: workers[0].obey(order)))
        if order["do"] == "close":
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
