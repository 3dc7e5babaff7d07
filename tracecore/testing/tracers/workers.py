"""Running cases in a process of their own, which is thrown away when a case fails, hangs or ends it.

So a tracer that hangs fails instead of hanging whoever asks, and what a failed case leaves behind is no other one's.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from tracecore.testing.tracers.case import Case, Loop
from tracecore.testing.tracers.reports import About, Order, Report
from tracecore.testing.tracers.running import Outcome
from tracecore.testing.tracers.trial import Difference

__all__ = ["CannotStart", "Place", "Worker"]

_START_S: Final = 60.0
_END_S: Final = 5.0
_UNWANTED: Final = ("TRACECORE_", "OTEL_", "LANGFUSE_", "PYTHONASYNCIODEBUG")
"""Settings of whoever asks, which would make the outcome depend on them."""


class Place(Struct, frozen=True):
    """Say where cases are run: an interpreter, and what it finds besides what is installed for it."""

    python: str = sys.executable
    path: tuple[str, ...] = ()


class CannotStart(Exception):
    """The adapter could not be loaded; the message says why, in a line."""


class _Ended(Exception):
    """The process ended before it answered; the message says how."""


class _Silent(Exception):
    """The process did not answer in time."""


class Worker:
    """Run cases through one adapter, as many as are asked for, each isolated and with a time limit in seconds."""

    def __init__(self, reference: str, *, place: Place | None = None, timeout: float = 20.0) -> None:
        self._reference = reference
        self._place = place or Place(path=tuple(filter(None, sys.path)))
        self._timeout = timeout
        self._process: _Process | None = None
        self._about: About | None = None

    def __enter__(self) -> Self:
        """Do nothing: a process is started when it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, if there is one."""
        self.close()

    def about(self) -> About:
        """Return what the adapter says of its tracer.

        Raises:
            CannotStart: it cannot be loaded.
        """
        if self._about is None:
            self._started()
        assert self._about is not None  # noqa: S101 - starting reads it
        return self._about

    def run(self, order: Order) -> Outcome:
        """Run a case and return what came of it, also of one that hangs or ends the process.

        Raises:
            CannotStart: the adapter cannot be loaded.
        """
        process = self._started()
        try:
            process.say(msgspec.json.encode(order))
            outcome = msgspec.json.decode(process.heard(self._timeout), type=Outcome)
        except _Silent:
            outcome = _failed(order, f"did not end within {self._timeout:g} s")
        except _Ended as ended:
            outcome = _failed(order, f"the process ended: {ended}")
        if outcome.verdict == "failed":
            self.close(at_once=True)
        return outcome

    def report(self, cases: Iterable[Case], loop: Loop = "asyncio") -> Report:
        """Run these cases, as far as the loop can run them.

        Raises:
            CannotStart: the adapter cannot be loaded.
        """
        return Report(self.about(), loop, [self.run(Order(case.name, loop)) for case in cases if case.runs_in(loop)])

    def close(self, *, at_once: bool = False) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end(0.0 if at_once else _END_S)
            self._process = None

    def _started(self) -> _Process:
        if self._process is None:
            process = _Process(self._reference, self._place)
            try:
                self._about = msgspec.json.decode(process.heard(_START_S), type=About)
            except (_Silent, _Ended) as error:
                process.end(0.0)
                raise CannotStart(f"{self._reference}: {error}") from error
            self._process = process
        return self._process


def _failed(order: Order, text: str) -> Outcome:
    return Outcome(order.case, "failed", [Difference("program", text)])


class _Process:
    """Talk with the child in lines. It has a session of its own, so that all that it has started can be killed."""

    def __init__(self, reference: str, place: Place) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tracers-", ignore_cleanup_errors=True)
        self._said = (Path(self._folder.name) / "said").open("w+b")
        module, _, name = reference.rpartition(":")
        if module.endswith(".py"):
            reference = f"{Path(module).absolute()}:{name}"
        self._process = subprocess.Popen(  # noqa: S603 - an interpreter of the caller's, and our own module
            [place.python, "-m", "tracecore.testing.tracers.child", reference],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=0, start_new_session=True,
            cwd=self._folder.name, env=_environment(place),
        )  # fmt: skip
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._in, self._out = self._process.stdin, self._process.stdout
        self._read = b""

    def say(self, line: bytes) -> None:
        """Write a line; a process that is gone is found when it is to answer."""
        with suppress(BrokenPipeError):
            self._in.write(line + b"\n")

    def heard(self, within: float) -> bytes:
        """Return the next line."""
        until = time.monotonic() + within
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._out], [], [], left)[0]:
                raise _Silent(f"no answer within {within:g} s")
            piece = os.read(self._out.fileno(), 1 << 16)
            if not piece:
                raise _Ended(f"exit code {self._process.wait()}: {self._last_words()}")
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return line

    def end(self, within: float) -> None:
        """Close its standard input and wait until it ends; kill what has not ended in time."""
        self._in.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._out.close()
        self._said.close()
        self._folder.cleanup()

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing was said"


def _environment(place: Place) -> Mapping[str, str]:
    """Return the environment of the process: ours without settings of tracers."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_UNWANTED)}
    return {**kept, "PYTHONPATH": os.pathsep.join(place.path), "PYTHONSAFEPATH": "1"}
