"""What goes wrong where no code of the program could catch it, and what is said about it in the log."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["Disturbances"]


class Disturbances:
    """Watch a program: exceptions in finalizers, threads and callbacks, coroutines never awaited, errors in the log."""

    def __init__(self) -> None:
        self.uncaught: list[str] = []
        """Exceptions and warnings that reached nobody."""
        self.logged: list[str] = []
        """Messages of errors in the log, each once."""

    @contextmanager
    def watched(self) -> Generator[None]:
        """Take note instead of printing, for the length of a block."""
        hooks = sys.unraisablehook, threading.excepthook
        handler = _Noting(self)
        logging.getLogger().addHandler(handler)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", RuntimeWarning)
                sys.unraisablehook = self._unraisable
                threading.excepthook = self._in_thread
                warnings.showwarning = self._warning
                yield
        finally:
            sys.unraisablehook, threading.excepthook = hooks
            logging.getLogger().removeHandler(handler)

    def watch_loop(self) -> None:
        """Take note of what the running asyncio loop reports."""
        asyncio.get_running_loop().set_exception_handler(self._in_loop)

    def _unraisable(self, what: sys.UnraisableHookArgs) -> None:
        self.uncaught.append(f"in a finalizer: {type(what.exc_value).__name__}: {what.exc_value}")

    def _in_thread(self, what: threading.ExceptHookArgs) -> None:
        self.uncaught.append(f"in a thread: {what.exc_type.__name__}: {what.exc_value}")

    def _warning(self, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if issubclass(category, RuntimeWarning):
            self.uncaught.append(f"{category.__name__}: {message}")

    def _in_loop(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.uncaught.append(f"in the loop: {context.get('message')}: {context.get('exception')!r}")


class _Noting(logging.Handler):
    def __init__(self, disturbances: Disturbances) -> None:
        super().__init__(logging.ERROR)
        self._logged = disturbances.logged

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of the message."""
        text = f"{record.name}: {record.getMessage()}"
        if text not in self._logged:
            self._logged.append(text)
