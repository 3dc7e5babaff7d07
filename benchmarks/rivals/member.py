"""One rival at work: its worker and its collector, each in a process of its own, in an environment of nobody else's.

Home, working directory and the place for temporary files are one empty folder, which goes with it. Of our environment
variables only those go along that a process needs to run: neither somebody's settings nor credentials nor a proxy. Both
processes end when their standard input is closed, so that none is left when we die, and a process that does not is
killed, with whatever it has started.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any, Final

import msgspec
from msgspec import Struct

from benchmarks.figures import ROOT
from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.catalogue import path_of
from benchmarks.rivals.environments import Environment

__all__ = ["Counts", "Failed", "Member", "Process"]

_NEEDED: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_START_S: Final = 90.0
_CLOSE_S: Final = 15.0
_SETTLE_S: Final = 3.0
"""How long what arrives after a flush may still take, from the last arrival."""
_POLL_S: Final = 0.05
_COUNT_S: Final = 60.0
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy is set: the collector is here."""


class Failed(Exception):
    """A rival did not do what it was told; the message says why, in a line."""


class Counts(Struct):
    """Say what arrived: spans, inputs that are there, results."""

    spans: int = 0
    inputs: int = 0
    results: int = 0
    requests: int = 0
    bytes: int = 0
    decoded: int = 0
    last: float = 0.0
    """When the last request with spans in it came, by ``time.perf_counter``; 0 of what is not sent."""
    statuses: dict[str, int] = {}
    paths: dict[str, int] = {}
    unknown: dict[str, int] = {}
    undecodable: dict[str, int] = {}

    def less(self, before: Counts) -> Counts:
        """Return what was added since."""
        return Counts(self.spans - before.spans, self.inputs - before.inputs, self.results - before.results)


class Process:
    """Talk with a Python process, a line each way. It has a session of its own, so that all of it can be killed."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._complaints, bufsize=0, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid: Final = self._process.pid
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout
        self._read = b""

    def say(self, line: bytes) -> None:
        """Write a line; a process that is gone is found when it is to answer."""
        with suppress(BrokenPipeError):
            self._in.write(line + b"\n")

    def heard(self, within: float) -> bytes:
        """Return the next line.

        Raises:
            Failed: it ended, or said nothing in time.
        """
        until = time.monotonic() + within
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._out], [], [], left)[0]:
                raise Failed(f"no answer within {within:.0f} s")
            piece = os.read(self._out.fileno(), 1 << 16)
            if not piece:
                self._process.wait()
                raise Failed(f"ended with exit code {self._process.returncode}: {self._last_words()}")
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return line

    def end(self, within: float) -> bool:
        """Close its standard input and wait until it ends; kill what has not ended in time, and say which it was."""
        if self._out.closed:
            return True
        self._in.close()
        in_time = True
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            in_time = False
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._out.close()
        self._complaints.close()
        return in_time

    def _last_words(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing was said"


class Member:
    """Start a rival in its environment, give it orders, and count what arrived."""

    def __init__(self, name: str, rival: Rival, environment: Environment) -> None:
        self.name = name
        self.rival = rival
        self._python = str(environment.python)
        self._exits = ExitStack()
        self._home = self._exits.enter_context(
            tempfile.TemporaryDirectory(prefix="tracecore-benchmark-", ignore_cleanup_errors=True)
        )
        self._url = ""
        self._worker: Process | None = None
        self._counts_itself = False
        self._read_back = Counts()

    def start(self) -> dict[str, Any]:
        """Start both processes and return what the worker says of the start.

        Raises:
            Failed: one of them did not start, or the rival did not.
        """
        self._url = self._process("collector").heard(_START_S).decode().strip()
        self._worker = self._process("worker", self._url)
        started = self._answer(_START_S)
        self._counts_itself = started["counts_itself"]
        return started

    def order(self, within: float, **order: Any) -> dict[str, Any]:
        """Give an order and return the answer; what has arrived before is forgotten.

        Raises:
            Failed: the rival failed, or gave no answer in time.
        """
        self._asked("/__forget", b"")
        return self._ordered(within, order)

    def counted(self, made: int) -> tuple[int, Counts]:
        """Return how many spans had arrived when the order was done, and what has when no more come.

        Raises:
            Failed: the rival cannot say.
        """
        if self._counts_itself:
            before, self._read_back = self._read_back, msgspec.convert(self._ordered(_COUNT_S, {"do": "count"}), Counts)
            found = self._read_back.less(before)
            return found.spans, found
        found = self._arrived()
        at_once, last_news = found.spans, time.monotonic()
        while found.spans < made and time.monotonic() - last_news < _SETTLE_S:
            time.sleep(_POLL_S)
            before, found = found, self._arrived()
            if found.spans != before.spans:
                last_news = time.monotonic()
        return at_once, found

    def close(self, within: float = _CLOSE_S) -> bool:
        """End both processes and say whether the rival ended by itself."""
        ended, worker, self._worker = True, self._worker, None
        try:
            if worker is not None:
                worker.say(b'{"do": "close"}')
                ended = worker.end(within)
        finally:
            self._exits.close()
        return ended

    def _process(self, module: str, *arguments: str) -> Process:
        """Start one of the two."""
        command = [self._python, "-m", f"benchmarks.rivals.{module}", str(path_of(self.name)), *arguments]
        try:
            process = Process(command, self._environment(), self._home)
        except OSError as error:
            raise Failed(f"its interpreter cannot be started: {error}") from error
        self._exits.callback(process.end, 0.0)
        return process

    def _environment(self) -> dict[str, str]:
        """Return the environment variables of a process; those of the rival once the collector's URL is known."""
        ours = not self.rival.requirements
        of_rival = self.rival.environment.items() if self._url else ()
        return {
            **{name: os.environ[name] for name in _NEEDED if name in os.environ},
            "HOME": self._home,
            "TMPDIR": self._home,
            "PYTHONHASHSEED": "0",
            # What runs in our own environment finds what we find.
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)) if ours else str(ROOT),
            **{name: value.replace("{collector}", self._url) for name, value in of_rival},
        }

    def _ordered(self, within: float, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._worker is not None
        self._worker.say(json.dumps(order).encode())
        return self._answer(within)

    def _answer(self, within: float) -> dict[str, Any]:
        assert self._worker is not None
        answer: dict[str, Any] = json.loads(self._worker.heard(within))
        if "error" in answer:
            raise Failed(answer["error"].splitlines()[-1])
        return answer

    def _arrived(self) -> Counts:
        return msgspec.json.decode(self._asked("/__collected"), type=Counts)

    def _asked(self, path: str, body: bytes | None = None) -> bytes:
        """Ask the collector."""
        try:
            with _DIRECT.open(self._url + path, data=body, timeout=_COUNT_S) as response:
                return bytes(response.read())
        except OSError as error:
            raise Failed(f"the collector does not answer: {error}") from error
