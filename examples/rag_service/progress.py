"""A progress bar of one line: redrawn in place on a terminal, a line per quarter elsewhere."""

from __future__ import annotations

from typing import Final, TextIO

__all__ = ["ProgressLine"]

WIDTH: Final = 30
QUARTERS: Final = 4


class ProgressLine:
    """Show how much of something is done."""

    def __init__(self, stream: TextIO, verb: str) -> None:
        self._stream = stream
        self._verb = verb
        self._in_place = stream.isatty()
        self._shown = -1

    def show(self, what: str, done: int, total: int) -> None:
        """Draw ``done`` of ``total``; the line ends when they are equal."""
        steps = WIDTH if self._in_place else QUARTERS
        step = steps * done // max(total, 1)
        if step == self._shown and done != total:
            return
        self._shown = step
        filled = WIDTH * done // max(total, 1)
        line = f"{self._verb} {what} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total}"
        if self._in_place:
            self._stream.write(f"\r{line}" + ("\n" if done == total else ""))
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()
