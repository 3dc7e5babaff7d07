"""A thread that looks after something: again and again, and at once when it is asked to.

The journal has one, ``tracecore-journal``: it adds and removes files, brings them to the disk, and adopts what dead
processes left.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from tracecore.clock import monotonic_ns
from tracecore.reporting import Voice, report, text_of_error

__all__ = ["Caretaker"]


class Caretaker:
    """Call ``work`` in a thread of its own every ``pause`` seconds. Whatever it raises is said, and it goes on.

    The thread ends with the program, whatever it is doing; nothing may depend on it.
    """

    def __init__(self, work: Callable[[], object], *, pause: float, name: str) -> None:
        """Begin.

        Raises:
            RuntimeError: the system gives no thread.
        """
        self._work = work
        self._pause = pause
        self._stopped = False
        self._voice = Voice(monotonic_ns)
        self._gate = threading.Lock()
        """Held while nobody asks for anything: opening and passing it are single steps, for signals' handlers too."""
        self._gate.acquire()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def works(self) -> bool:
        """Return whether it will do what it is asked to."""
        return not self._stopped and self._thread.is_alive()

    def wake(self) -> None:
        """Have it work now. Never waits; any thread may call this, also in the middle of another call."""
        with contextlib.suppress(RuntimeError):  # it has been asked already
            self._gate.release()

    def stop(self) -> None:
        """Let it end when it has finished what it is doing."""
        self._stopped = True
        self.wake()

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next time may be better
                if self._voice.may_speak_of("errors"):
                    report("tracecore could not look after its files: %s", text_of_error(error), error=error)
            self._gate.acquire(timeout=self._pause)
