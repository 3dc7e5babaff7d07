"""The prompt cache: what a hit costs, what many callers cost the store, and what a store that hangs costs a service."""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec import Raw

from benchmarks.figures import Row, Settings, Table
from benchmarks.loops import own_code
from benchmarks.measure import interleaved, percentile, ratio, row_of
from benchmarks.processes import served
from benchmarks.progress import Step
from benchmarks.stores import store_of
from tracecore import Config, Recorder, aget_prompt, configure, get_prompt, shutdown, span
from tracecore.catalog_prompts import prompts_of
from tracecore.plugins import open_backend
from tracecore.prompt_registry import REGISTRY
from tracecore.prompting import use_store
from tracecore.prompts import LabelMove, NewPrompt, Prompt, PromptStore

__all__ = ["run"]

METHOD: Final = (
    "Hits: ns of CPU time of the calling thread per call, the loop included; rounds interleaved; the floor is a look-up"
    " in a dict by the same key. Compiling: a text of 1 KB with four variables. Herd: 200 threads and 200 tasks of one"
    " loop ask at once for a prompt that nobody knows yet, of a store that takes 50 ms; its questions are counted. A"
    " store that hangs: cold cache, a fallback given, time of the first call, and the longest of 1,000 more, one after"
    " the other. Promotion: a label is moved on `tracecore serve` (SQLite, another process) by one client, and the time"
    " is taken until another client's cache serves the version, asked every millisecond; it waits for none of them."
)
_ROUNDS: Final = 30
_CALLS: Final = 20_000
_COMPILED: Final = 2_000
_HERD: Final = 200
_MORE: Final = 1_000
_PROMOTIONS: Final = 20
_NAME: Final = "greeting"
_TEXT: Final = "Dear {{customer}}, about {{order}}: {{answer}} Yours, {{agent}}. " + "We are glad to help. " * 46
_VALUES: Final = {"customer": "Ada", "order": "o-17", "answer": "It is on its way.", "agent": "Grace"}
_FLOOR: Final = "this ÷ dict look-up"
_PATIENCE_S: Final = 30.0


class Slow:
    """Stand before a store, and count who asks; answer after a while, or never."""

    def __init__(self, store: PromptStore, seconds: float | None) -> None:
        self._store = store
        self._seconds = seconds
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, project: str, name: str, **which: Any) -> Prompt:
        """Return what the store returns, after a while."""
        self.asked += 1
        await (asyncio.Event().wait() if self._seconds is None else asyncio.sleep(self._seconds))
        return await self._store.get(project, name, **which)


def run(settings: Settings, step: Step) -> Table:
    """Measure hits, the herd, a store that hangs, and how fast a promotion arrives."""
    store = asyncio.run(_filled())
    try:
        rows = _hits(store, settings, step)
        step("a herd", 0.7)
        rows.append(_herd(store))
        step("a store that hangs", 0.75)
        rows += _hung(store)
        step("promotions", 0.8)
        rows.append(_promotions(settings))
    finally:
        use_store(None)
        REGISTRY.close()
    return Table(suite="prompt", title="The prompt cache", method=METHOD, rows=rows)


async def _filled() -> PromptStore:
    backend = open_backend("memory:")
    await backend.open()
    store = prompts_of(backend)
    await store.publish("default", _version(_TEXT))
    return store


def _version(text: str) -> NewPrompt:
    return NewPrompt(name=_NAME, prompt=Raw(json.dumps(text).encode()), labels=("production",))


def _hits(store: PromptStore, settings: Settings, step: Step) -> list[Row]:
    use_store(store)
    prompt = get_prompt(_NAME)
    known, key = {(_NAME, None, "production"): prompt}, (_NAME, None, "production")
    labels = {
        "floor": "a look-up in a dict",
        "hit": "get_prompt, known and fresh",
        "hit_span": "get_prompt inside of a span, noted on it",
        "ahit": "await aget_prompt, known and fresh",
        "compile": "compile: 1 KB, four variables",
    }
    configure(backend="memory:")
    with asyncio.Runner() as runner:
        candidates: dict[str, Callable[[], float]] = {
            "floor": partial(own_code(_looked_up), known, key),
            "hit": partial(own_code(_got), _CALLS),
            "hit_span": _in_span,
            "ahit": lambda: runner.run(_awaited()),
            "compile": partial(own_code(_compiled), prompt),
        }
        taken = interleaved(candidates, rounds=settings.rounds_of(_ROUNDS), seed=settings.seed, step=_first_of(step))
    shutdown()
    floor = statistics.median(taken["floor"])
    return [
        row_of(
            f"prompt.{name}", labels[name], "ns", figures,
            ratios={} if name in {"floor", "compile"} else {_FLOOR: ratio(statistics.median(figures), floor)},
        )
        for name, figures in taken.items()
    ]  # fmt: skip


def _first_of(step: Step) -> Step:
    return lambda what, share: step(what, 0.7 * share)


def _looked_up(known: dict[Any, object], key: object) -> float:
    started = time.thread_time_ns()
    for _ in range(_CALLS):
        known.get(key)
    return (time.thread_time_ns() - started) / _CALLS


def _got(calls: int) -> float:
    started = time.thread_time_ns()
    for _ in range(calls):
        get_prompt(_NAME)
    return (time.thread_time_ns() - started) / calls


def _in_span() -> float:
    """Ask inside of spans, ten times each: what a span keeps of it is bounded."""
    spent = 0.0
    for _ in range(_CALLS // 100):
        with span("request"):
            spent += _got(10)
    return spent / (_CALLS // 100)


async def _awaited() -> float:
    started = time.thread_time_ns()
    for _ in range(_CALLS):
        await aget_prompt(_NAME)
    return (time.thread_time_ns() - started) / _CALLS


def _compiled(prompt: Any) -> float:
    started = time.thread_time_ns()
    for _ in range(_COMPILED):
        prompt.compile(_VALUES)
    return (time.thread_time_ns() - started) / _COMPILED


def _herd(store: PromptStore) -> Row:
    slow = Slow(store, 0.05)
    use_store(slow)
    ready = threading.Barrier(_HERD + 1)
    versions: list[int | None] = []

    def ask() -> None:
        ready.wait()
        versions.append(get_prompt(_NAME, timeout=_PATIENCE_S).version)

    async def ask_all() -> None:
        found = await asyncio.gather(*(aget_prompt(_NAME, timeout=_PATIENCE_S) for _ in range(_HERD)))
        versions.extend(prompt.version for prompt in found)

    threads = [threading.Thread(target=ask) for _ in range(_HERD)]
    for thread in threads:
        thread.start()
    ready.wait()
    asyncio.run(ask_all())
    for thread in threads:
        thread.join()
    if versions != [1] * (2 * _HERD):
        raise RuntimeError(f"{len(versions)} of {2 * _HERD} callers were answered")
    label = f"questions to the store, {_HERD} threads and {_HERD} tasks asking at once"
    return Row(key="prompt.herd", label=label, unit="", value=float(slow.asked))


def _hung(store: PromptStore) -> list[Row]:
    slow = Slow(store, None)
    use_store(slow)
    times = [_timed(lambda: get_prompt(_NAME, fallback="Hello {{customer}}.")) for _ in range(_MORE + 1)]
    note = f"{slow.asked} questions"
    return [
        Row(key="prompt.hung.first", label="a store that hangs: the first call", unit="ms", value=times[0], note=note),
        Row(key="prompt.hung.next", label=f"the longest of {_MORE:,} more", unit="ms", value=max(times[1:])),
    ]


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def _promotions(settings: Settings) -> Row:
    with store_of("sqlite") as url, served("benchmarks.serving", url) as process:
        figures = asyncio.run(_promoted(process.url, settings.size_of(_PROMOTIONS)))
    note = f"the longest {max(figures):.0f} ms"
    label = "from moving a label on a server until another process serves it: p95"
    return Row(key="prompt.promotion", label=label, unit="ms", value=percentile(figures, 95), note=note)


async def _promoted(url: str, count: int) -> list[float]:
    writer = open_backend(url)
    await writer.open()
    use_store(None)
    figures: list[float] = []
    try:
        store = prompts_of(writer)
        for number in (1, 2):
            await store.publish("default", _version(f"{number} {_TEXT}"))
        async with Recorder(Config(backend=url)):
            await _until(2)
            for number in range(count):
                version = number % 2 + 1
                began = time.perf_counter()
                await store.change("default", _NAME, LabelMove(version=version, labels=("production",)))
                await _until(version)
                figures.append(1e3 * (time.perf_counter() - began))
    finally:
        await writer.close()
    return figures


async def _until(version: int) -> None:
    """Ask until a version is served.

    Raises:
        TimeoutError: it is not, for long.
    """
    async with asyncio.timeout(_PATIENCE_S):
        while (await aget_prompt(_NAME)).version != version:  # noqa: ASYNC110 - a service asks like this, again and again
            await asyncio.sleep(0.001)
