"""Capturing in tests: a recorder that writes into this process's memory, and what it recorded.

For tests of *your* instrumentation::

    from tracecore.testing import capture

    async def test_answer_is_observed() -> None:
        async with capture() as captured:
            await answer("why?")
        [span] = await captured.observations()
        assert span.name == "answer"

Everything opened inside the block, and in tasks begun inside, is captured. A plain thread begins a trace of its own in
the default recorder, as it does in a program; ``captured.recorder`` can be given to ``@observe(recorder=...)``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from tracecore.backend import Backend
from tracecore.config import Config
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.recorder import Recorder
from tracecore.records import Observation, Score, Trace

__all__ = ["Captured", "capture"]


class Captured:
    """Hold a recorder and read what it has recorded. Reading waits until everything that ended has arrived.

    Raises:
        AssertionError: something was lost, or did not arrive in time; the message says how much and why.
    """

    def __init__(self, recorder: Recorder, data: MemoryData) -> None:
        self.recorder = recorder
        self._data = data

    async def observations(self) -> list[Observation]:
        """Return every span, generation and event, in the order of their starts."""
        await self._arrived()
        spans = [span for trace in self._data.traces.values() for span in trace.values()]
        return sorted(spans, key=lambda span: (span.start_ns, span.span_id))

    async def observation(self, name: str) -> Observation:
        """Return the one observation of this name.

        Raises:
            LookupError: there is none, or more than one; the message says what there is.
        """
        spans = await self.observations()
        found = [span for span in spans if span.name == name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} observations are named {name!r}; recorded: {[s.name for s in spans]}")
        return found[0]

    async def parents(self) -> dict[str, str | None]:
        """Return the name of each observation's parent by the observation's name, for trees whose names are unique.

        A parent that was not recorded (one in another process, or one still open) is named by its span id.
        """
        spans = await self.observations()
        names = {span.span_id: span.name for span in spans}
        return {span.name: span.parent_id and names.get(span.parent_id, span.parent_id) for span in spans}

    async def traces(self) -> list[Trace]:
        """Return what each trace says as a whole, in the order of their starts."""
        await self._arrived()
        return sorted(self._data.rollups.values(), key=lambda trace: (trace.start_ns, trace.trace_id))

    async def scores(self) -> list[Score]:
        """Return every score, in the order of their times."""
        await self._arrived()
        return sorted(self._data.scores.values(), key=lambda score: (score.timestamp_ns, score.score_id))

    async def _arrived(self) -> None:
        result = await self.recorder.aflush()
        if not result.delivered or result.lost:
            raise AssertionError(f"not everything was captured: {result.pending} pending, lost: {result.lost}")


@asynccontextmanager
async def capture(**settings: Any) -> AsyncGenerator[Captured]:
    """Record everything inside the block into memory. ``settings`` are fields of :class:`~tracecore.Config`.

    Neither the environment nor a configuration file is read.

    Raises:
        ConfigError: a setting is unknown, or its value is wrong.
    """
    data = MemoryData()
    backend = MemoryBackend(data, location="memory:", access="write")
    chosen: dict[str, Any] = {"backend": "memory:", "flush_interval_ms": 10, "pending_after_ms": 0, **settings}
    async with Recorder(Config(**chosen), backend=cast("Backend", backend)) as recorder:
        yield Captured(recorder, data)
