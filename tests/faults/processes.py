"""Programs and servers as processes of their own, in a group that is gone when the test is over."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from tests.torture.declaring import by_mode

__all__ = ["ROOT", "Program", "asked", "free_port", "running"]

ROOT: Final = Path(__file__).resolve().parents[2]
HANG_SECONDS: Final = by_mode(40.0, full=300.0)
"""After which a program that should have ended, or said something, is stuck."""
POLL_SECONDS: Final = 0.01


class Program:
    """A process that was started, with what it says in two files."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def out(self) -> str:
        """Return what it said so far."""
        return (self._folder / "stdout").read_text()

    @property
    def errors(self) -> str:
        """Return what it said on standard error so far."""
        return (self._folder / "stderr").read_text()

    def wait_for_word(self, word: str) -> None:
        """Wait until the program has said a word, on either way."""
        deadline = time.monotonic() + HANG_SECONDS
        while word not in self.out + self.errors:
            assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.out}{self.errors}"
            assert time.monotonic() < deadline, f"{word!r} was never said: {self.out}{self.errors}"
            time.sleep(POLL_SECONDS)

    def say(self, word: str) -> None:
        """Give the program a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(word.encode() + b"\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 0.0) -> int:
        """Wait for the end of a program that takes so long; return the exit code."""
        return self._process.wait(seconds + HANG_SECONDS)

    def ended_after(self, began: float) -> float:
        """Wait for the end; return how many seconds have passed since a reading of the monotonic clock."""
        self.wait()
        return time.monotonic() - began


@contextmanager
def running(
    *arguments: str, folder: Path, environment: Mapping[str, str], python: tuple[str, ...] = ("-W", "error")
) -> Iterator[Program]:
    """Start Python with these arguments; kill whatever is left of its process group afterwards."""
    path = os.pathsep.join([str(folder), str(ROOT), str(ROOT / "backends")])
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, *python, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
    try:
        yield Program(process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def asked(port: int, path: str) -> bytes:
    """Return the answer of a local server, waiting until it listens."""
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        with closing(HTTPConnection("127.0.0.1", port, timeout=HANG_SECONDS)) as connection:
            try:
                connection.request("GET", path)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
            else:
                return connection.getresponse().read()
        time.sleep(POLL_SECONDS)
