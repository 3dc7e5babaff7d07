"""structlog, for scale: a line of JSON per call in a log file, which is what many services have instead of a tracer."""

from __future__ import annotations

import functools
import random
import re
import tempfile
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from benchmarks.rivals.adapter import NUMBERED, RESULT_TEXT, Rival

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="structlog, a line per call (no tracer)",
    requirements=("structlog==26.1.0", "orjson==3.13.0"),
    remark=(
        "For scale. Set up as its manual's chapter on performance says, with orjson; a decorator of ours measures and"
        " hands the ids on. A line is written to the file within the call, and nothing is sent."
    ),
)
_ABOVE: Final[ContextVar[tuple[str, str | None]]] = ContextVar("above")
"""Trace id and span id of what is open."""
_BITS: Final = random.Random()


class Structlog:
    """Log to a new file in a temporary folder."""

    def __init__(self) -> None:
        import orjson
        import structlog

        self._folder = tempfile.TemporaryDirectory(prefix="tracecore-benchmark-")
        self._path = Path(self._folder.name) / "service.log"
        self._file = self._path.open("ab")
        structlog.configure(
            cache_logger_on_first_use=True,
            wrapper_class=structlog.make_filtering_bound_logger("info"),
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            logger_factory=structlog.BytesLoggerFactory(file=self._file),
        )
        self._log = structlog.get_logger()

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a line in the log after each call."""
        log, name, code = self._log, function.__name__, function.__code__
        names = code.co_varnames[: code.co_argcount]

        @functools.wraps(function)
        async def logged(*args: Any) -> Any:
            above = _ABOVE.get(None)
            trace_id, parent_id = above or (f"{_BITS.getrandbits(128):032x}", None)
            span_id = f"{_BITS.getrandbits(64):016x}"
            token = _ABOVE.set((trace_id, span_id))
            began = time.perf_counter_ns()
            try:
                result = await function(*args)
            except BaseException:
                log.exception(name, trace_id=trace_id, span_id=span_id, parent_id=parent_id)
                raise
            finally:
                _ABOVE.reset(token)
            log.info(
                name, trace_id=trace_id, span_id=span_id, parent_id=parent_id, output=result,
                duration_ns=time.perf_counter_ns() - began, input=dict(zip(names, args, strict=True)),
            )  # fmt: skip
            return result

        return logged

    def observed_root(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a line in the log after each call; outside of any other it has new ids."""
        return self.observed(function)

    def flush(self) -> None:
        """Do nothing more than each line has done: it is with the system."""
        self._file.flush()

    def delivered(self) -> dict[str, int]:
        """Return what the file holds."""
        lines = self._path.read_bytes().splitlines()
        return {
            "spans": sum(1 for line in lines if b'"span_id"' in line),
            "inputs": len(set(re.findall(NUMBERED, b"\n".join(lines)))),
            "results": sum(1 for line in lines if RESULT_TEXT in line),
        }

    def close(self) -> None:
        """Close the file and remove it."""
        self._file.close()
        self._folder.cleanup()


def start(collector: str) -> Structlog:  # noqa: ARG001 - nothing is sent
    """Import the library and configure it."""
    return Structlog()
