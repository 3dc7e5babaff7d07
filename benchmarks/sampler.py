"""Where the CPU goes, line by line and thread by thread: a sampler that weighs each look by the CPU it stands for.

A thread of its own wakes again and again, looks at the innermost frame of every thread, and charges that line with the
CPU time that the thread has used since the last look. A thread that waits all the while costs nothing, however often it
is seen, and a long call into C is charged to the line that made it.

What it cannot do: look where CPython does not let go of the GIL. It does so at calls, at the edges of loops and where a
thread begins to wait, so that a line also carries what came before it since the last such place: that of a
``select`` carries the short pieces of work between two waits.
"""

from __future__ import annotations

import linecache
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from msgspec import Struct

from benchmarks.figures import ROOT

__all__ = ["Line", "Profile", "Sampler", "shown"]

_EVERY_S: Final = 0.001
_SWITCH_S: Final = 0.000_2
"""How long the sampler waits for the GIL before it is given up for it; usually 5 ms, which would be too coarse."""
_INNER_MODULES: Final = ("<frozen",)


class Line(Struct, frozen=True):
    """Name a line of a program."""

    path: str
    number: int
    function: str

    @property
    def place(self) -> str:
        """Return where the line is, as short as a person needs it."""
        path = Path(self.path)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts:
            return f"{path.relative_to(ROOT)}:{self.number}"
        return f"{'/'.join(path.parts[-2:])}:{self.number}"

    @property
    def source(self) -> str:
        """Return the text of the line, or the function where there is none."""
        return linecache.getline(self.path, self.number).strip() or f"({self.function})"


class Profile(Struct):
    """Hold what was seen: seconds of CPU by the name of the thread and the line."""

    lines: dict[str, Counter[Line]] = {}
    looks: int = 0

    def charge(self, thread: str, line: Line, seconds: float) -> None:
        """Add CPU time to a line."""
        self.lines.setdefault(thread, Counter())[line] += seconds  # type: ignore[assignment]  # seconds are counted

    def functions(self, thread: str) -> Counter[Line]:
        """Return seconds by function, each named by its first line seen."""
        first: dict[tuple[str, str], Line] = {}
        found: Counter[Line] = Counter()
        for line, seconds in self.lines[thread].items():
            found[first.setdefault((line.path, line.function), line)] += seconds
        return found


class Sampler:
    """Look at every thread but its own for the length of a block."""

    def __init__(self) -> None:
        self.profile = Profile()
        self._used: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)
        self._interval = sys.getswitchinterval()

    def __enter__(self) -> Self:
        self._look()
        sys.setswitchinterval(_SWITCH_S)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        sys.setswitchinterval(self._interval)

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._look()
            self.profile.looks += 1

    def _look(self) -> None:
        """Charge every thread for what it has used since the last look; of one seen first, nothing."""
        frames = sys._current_frames()  # noqa: SLF001 - the documented way to see another thread's frame
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or thread.ident is None or thread is self._thread:
                continue
            # A thread that is listed has not begun to end, and cannot while this one holds the GIL.
            used = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            spent = used - self._used.get(thread.ident, used)
            self._used[thread.ident] = used
            if spent > 0:
                self.profile.charge(thread.name, _line_of(frame), spent)


def _line_of(frame: FrameType) -> Line:
    """Return the line of a frame; of the import machinery, that of whoever imports."""
    while frame.f_code.co_filename.startswith(_INNER_MODULES) and frame.f_back is not None:
        frame = frame.f_back
    code = frame.f_code
    number: int | None = frame.f_lineno  # None in code that stands on no line, such as the end of a ``with``
    return Line(code.co_filename, number or code.co_firstlineno, code.co_qualname)


def shown(profile: Profile, *, spans: int, most: int) -> str:
    """Return a profile as text: each thread with its CPU, its functions and its lines, the most expensive first."""
    parts = [f"{profile.looks:,} looks, {spans:,} spans; µs are CPU time of the thread per span"]
    whole = sum(sum(lines.values()) for lines in profile.lines.values()) or 1.0
    for thread, lines in sorted(profile.lines.items(), key=lambda item: -sum(item[1].values())):
        seconds = sum(lines.values())
        parts.append(f"── {thread}: {seconds / spans * 1e6:.2f} µs, {seconds / whole:.0%} of all ──")
        parts.append(_table(profile.functions(thread), seconds, spans, most // 2, by_function=True))
        parts.append(_table(lines, seconds, spans, most, by_function=False))
    return "\n\n".join(parts)


def _table(charged: Counter[Line], seconds: float, spans: int, most: int, *, by_function: bool) -> str:
    rows = [f"{'share':>6}  {'µs':>6}  {'function' if by_function else 'line'}"]
    for line, spent in charged.most_common(most):
        said = f"{line.function}  ({line.place.rpartition(':')[0]})" if by_function else f"{line.place}  {line.source}"
        rows.append(f"{spent / seconds:6.1%}  {spent / spans * 1e6:6.2f}  {said[:150]}")
    return "\n".join(rows)
