"""Doing something at the lines that the kernel runs: there a process may be killed, and a pump may end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


@contextmanager
def at_each_line(call: Callable[[int], object]) -> Iterator[None]:
    """Call something at every line of the kernel, with its number; what it runs itself is not traced."""
    lines = 0
    previous = sys.gettrace()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if Path(frame.f_code.co_filename).parent.name != "tracecore":
            return None
        if event == "line":
            lines += 1
            sys.settrace(None)
            call(lines)
            sys.settrace(trace)
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(previous)
