"""The part of the oracle that lives in programs under test: they tell the ledger what they did, and when.

What is told goes through a named pipe, one write a line, so it is out of the process when the call returns: the ledger
has it whatever becomes of the program. Threads, forked children and workers that were started anew may all tell; none
needs a lock, because a write of a short line to a pipe is one step.
"""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

import tracecore

__all__ = ["PIPE_VARIABLE", "Teller"]

PIPE_VARIABLE: Final = "TOLD_THROUGH"
"""The environment variable with the path of the pipe."""
_ATOMIC_BYTES: Final = 4_096


class Teller:
    """Tell the ledger what this process, and every one forked from it, does."""

    def __init__(self, path: str | None = None) -> None:
        self._pipe = os.open(path or os.environ[PIPE_VARIABLE], os.O_WRONLY)

    def emit(self, name: str, **fields: Any) -> None:
        """Record one span; tell its ids before it ends, and again after ``end()`` has returned."""
        opened = tracecore.span(name, **fields)
        ids = (opened.trace_id, opened.span_id)
        self.tell("opened", ids)
        opened.end()
        self.tell("ended", ids)

    def opened(self, opened: Any) -> None:
        """Tell that a span is open."""
        self.tell("opened", (opened.trace_id, opened.span_id))

    def ended(self, ended: Any) -> None:
        """Tell that a span has ended: its ``end()`` has returned."""
        self.tell("ended", (ended.trace_id, ended.span_id))

    def flush(self, timeout: float = 5.0) -> bool:
        """Flush; tell the level reached by what was told before, and the losses so far; return whether delivered."""
        asked = os.urandom(8).hex()
        self.tell("asked", asked)
        result = tracecore.flush(timeout)
        # A result without a level is of a recorder that knows one only: handed over to the backend.
        level = getattr(result, "level", "handed_over" if result.delivered else "accepted")
        self.tell("answered", (asked, level, sum(result.lost.values())))
        return result.delivered

    def account(self) -> None:
        """Tell what the recorder of this process says of itself, once nothing more will come from it."""
        self.tell("account", tracecore.health())

    def tell(self, kind: str, value: Any) -> None:
        """Tell anything."""
        line = msgspec.json.encode((os.getpid(), kind, value)) + b"\n"
        assert len(line) <= _ATOMIC_BYTES
        assert os.write(self._pipe, line) == len(line)
