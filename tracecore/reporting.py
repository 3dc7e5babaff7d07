"""Telling the program's log, once in a while and never per event. Capturing raises nothing, so neither does this.

``logging`` is imported at the first word: a program in which all is well does not pay its six milliseconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

__all__ = ["Voice", "named_error", "report", "text_of_error"]

_EVERY_NS: Final = 10_000_000_000
_LONGEST: Final = 1_000
"""Characters of what an exception says: some quote the whole batch that they are about."""


class Voice:
    """Report each kind of thing at most once in ten seconds, whoever comes to speak of it."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._next: dict[str, int] = {}

    def may_speak_of(self, kind: str) -> bool:
        """Return whether something of this kind may be reported now; who asks does so."""
        now = self._clock()
        if now < self._next.get(kind, 0):
            return False
        self._next[kind] = now + _EVERY_NS
        return True


def report(message: str, *arguments: object, severe: bool = False, error: BaseException | None = None) -> None:
    """Warn in the log ``tracecore``, of what is ``severe`` as an error, with the stack of ``error``."""
    with contextlib.suppress(Exception):
        import logging  # noqa: PLC0415 - see the module docstring

        level = logging.ERROR if severe else logging.WARNING
        logging.getLogger("tracecore").log(level, message, *arguments, exc_info=error)


def text_of_error(error: BaseException) -> str:
    """Return what an exception says, cut where it says very much, or its type when it says nothing or cannot."""
    try:
        text = str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        text = type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def named_error(error: BaseException) -> str:
    """Return the type of an exception and what it says."""
    return f"{type(error).__name__}: {text_of_error(error)}"
