"""How a command ends whatever happens to it: in order, and with a sentence instead of a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import Final

__all__ = ["ended", "interruptible", "scratch"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_BY_SIGNAL: Final = 128
"""What shells add to the number of the signal that ended a command."""
_PIPE: Final = 13
"""The number of SIGPIPE, which not every system names."""


def ended(work: Callable[[], int]) -> int:
    """Return the exit code of a command, also where it is interrupted, or what it says cannot be written."""
    if sys.stdout is None:
        # The caller closed it. It stays until the program ends, as the real one would.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - see above
    try:
        with interruptible():
            code = work()
            sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        print("interrupted", file=sys.stderr)
        return _BY_SIGNAL + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except BrokenPipeError:
        _drop_output()
        return _BY_SIGNAL + _PIPE
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        _drop_output()
        return 2
    return code


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """Raise ``KeyboardInterrupt`` at the first signal to end, so that nothing is left behind; ignore those after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, _interrupted) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def scratch() -> Generator[str]:
    """Make a folder that is gone after the block, also where the interruption comes while it is taken away.

    Everybody may go through it, because a database server that root starts runs as somebody else.
    """
    folder = tempfile.mkdtemp(prefix="tc-")  # short: what is in it has a socket's path to make
    Path(folder).chmod(0o711)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:  # there is no second one: see `interruptible`
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _interrupted(number: int, _: FrameType | None) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        _interrupt(number)
    else:
        # Between two of its callbacks: a task whose waking is interrupted waits for ever, cancelled or not.
        loop.call_soon_threadsafe(_interrupt, number)


def _interrupt(number: int) -> None:
    if signal.getsignal(number) is not _interrupted:
        return
    for other in _SIGNALS:
        # Not SIG_IGN: a process that is started meanwhile would inherit it.
        signal.signal(other, _ignored)
    raise KeyboardInterrupt(number)


def _ignored(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: what ends is ending already."""


def _drop_output() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the reader that left."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
