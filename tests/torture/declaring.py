"""Saying of a test that it is torture: its number, what it does to the program, and how many rounds of it there are.

The numbers are those of the list of what tracecore has to survive. A test runs in both modes, with few rounds wherever
tests run and with all of them in ``make torture``; what is too slow for the first is marked ``only_in_full``.
"""

from __future__ import annotations

from typing import Final, TypeVar

import pytest

__all__ = ["MODE", "TOGETHER", "Mode", "by_mode", "only_in_full", "torture"]

T = TypeVar("T")


class Mode:
    """Hold how this run tortures; the plugin sets it before any test is read."""

    def __init__(self) -> None:
        self.full = False
        self.seed = 0
        self.only: int | None = None
        """The one case to run again, by its number."""


MODE: Final = Mode()
only_in_full: Final = pytest.mark.only_in_full
TOGETHER: Final = frozenset({"R-18", "R-23", "T29", "T38", "T41", "T46"})
"""What may run beside any other test, because nothing in it is a matter of time; everything else runs two at a time."""


def by_mode(reduced: T, *, full: T) -> T:
    """Return the second in ``make torture``, and the first elsewhere."""
    return full if MODE.full else reduced


def torture(number: str, title: str, *, rounds: int = 1, full: int | None = None) -> pytest.MarkDecorator:
    """Declare a test as torture; the tests that share number and title are one line of the table."""
    return pytest.mark.torture(number, title, by_mode(rounds, full=rounds if full is None else full))
