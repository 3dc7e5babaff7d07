"""Making the n-th system call of a program on certain files fail, once, by ``strace``.

The program is attached to when it is ready, so that what it imports is not touched, and let go as soon as the fault has
happened, because strace counts for each thread by itself: another thread's n-th call would fail as well. A call that
answers 0 without having done anything is a write that was cut short.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.faults.processes import HANG_SECONDS, POLL_SECONDS

__all__ = ["ALLOW_TRACING", "Fault", "Injector", "why_not"]

ALLOW_TRACING: Final = """
import ctypes
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(2**64 - 1), 0, 0, 0)  # PR_SET_PTRACER, any
"""
"""With this a program lets others trace it, where the system asks for that."""
_INJECTED: Final = "(INJECTED"


class Fault(Struct, frozen=True):
    """Say which call fails, and how: ``error=EIO``, or ``retval=0`` for one that does nothing and says so."""

    call: str
    how: str
    nth: int

    def __str__(self) -> str:
        """Return it as strace spells it."""
        return f"{self.call}:{self.how}:when={self.nth}"


class Injector:
    """Stand between a program and its files until a fault has happened."""

    def __init__(self, pid: int, fault: Fault, paths: Iterable[Path], log: Path) -> None:
        command = ["strace", "-f", "-qq", "-p", str(pid), "-o", str(log), "-e", f"trace={fault.call}"]
        command += ["-e", f"inject={fault}", *(part for path in paths for part in ("-P", str(path)))]
        self._log = log
        self._pid = pid
        self._strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._wait_until_attached()

    def _wait_until_attached(self) -> None:
        deadline = time.monotonic() + HANG_SECONDS
        status = Path(f"/proc/{self._pid}/status")
        while f"TracerPid:\t{self._strace.pid}\n" not in status.read_text():
            if self._strace.poll() is not None:
                raise OSError(self._strace.communicate()[1].decode())
            assert time.monotonic() < deadline, "strace never came"
            time.sleep(POLL_SECONDS / 10)

    @property
    def happened(self) -> bool:
        """Return whether the fault has happened."""
        return self._log.exists() and _INJECTED in self._log.read_text()

    def let_go_when_it_happened(self) -> None:
        """Wait until the fault has happened and let the program go; or until the program has ended without it."""
        while self._strace.poll() is None and not self.happened:
            time.sleep(POLL_SECONDS / 10)
        self.close()

    def close(self) -> None:
        """Let the program go."""
        with contextlib.suppress(ProcessLookupError):
            self._strace.send_signal(signal.SIGTERM)
        self._strace.communicate()


@cache
def why_not() -> str | None:
    """Return why no program can be traced here, or None when it can: a child is started and a call of it fails."""
    if shutil.which("strace") is None:
        return "strace is not installed: install it (on Debian and Ubuntu: apt-get install strace)"
    program = f"{ALLOW_TRACING}\nimport os, sys\nsys.stdin.readline()\nopen(sys.argv[1], 'wb').write(b'x')"
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "file", Path(folder) / "log"
        command = [sys.executable, "-c", program, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            try:
                injector = Injector(child.pid, Fault("openat", "error=EIO", 1), [path], log)
            except OSError as error:
                child.kill()
                return f"this system lets nobody trace processes: {error}"
            child.communicate(os.linesep.encode())
            injector.close()
            return None if child.returncode == 1 and not path.exists() else "strace is here and makes no call fail"
