"""Showing how far a run has come: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Final, TextIO, TypeAlias

__all__ = ["ProgressLine", "Step"]

Step: TypeAlias = Callable[[str, float], None]
"""Say what is being done now, and which share of the suite (0 to 1) is behind."""
_BAR: Final = 24


class ProgressLine:
    """Draw a bar on a terminal and take it away again; where ``stream`` is no terminal do nothing."""

    def __init__(self, suites: int, stream: TextIO | None = None) -> None:
        self._suites = suites
        self._done = 0
        self._stream = sys.stderr if stream is None else stream
        self.shown = self._stream.isatty()
        """Whether anything is drawn."""

    def show(self, suite: str, what: str, share: float) -> None:
        """Draw the bar: ``share`` of this suite is behind, and all of those before it."""
        if self.shown:
            whole = (self._done + min(max(share, 0.0), 1.0)) / max(1, self._suites)
            filled = round(whole * _BAR)
            line = f"{'█' * filled}{'·' * (_BAR - filled)} {whole:4.0%}  {suite}: {what}"
            self._write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")

    def suite_done(self) -> None:
        """Count one suite as finished."""
        self._done += 1

    def clear(self) -> None:
        """Take the bar away."""
        if self.shown:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
