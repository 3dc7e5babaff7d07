"""What a run of torture tests came to: a table for people, JSON for programs."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["Line", "Outcome"]


class Line(Struct):
    """Add up the tests that share a number and a title."""

    number: str
    title: str
    tests: int = 0
    rounds: int = 0
    violations: int = 0
    known: int = 0
    """Tests that are expected to fail, and say why."""
    seconds: float = 0.0
    skipped: list[str] = []
    """Why tests did not run."""
    figures: list[str] = []
    """What was measured on the way."""

    def as_row(self) -> str:
        """Return the line as a row of a markdown table."""
        skipped = (f"**not run: {reason}**" for reason in sorted(set(self.skipped)))
        title = "; ".join([self.title, *self.figures, *skipped])
        violations = f"{self.violations}" + (f" (and {self.known} known)" if self.known else "")
        return f"| {self.number} | {title} | {self.rounds:,} | {violations} | {self.seconds:.1f} s |"


class Outcome:
    """Collect lines, in the order of their numbers."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}

    def line(self, number: str, title: str) -> Line:
        """Return the line of a number and a title."""
        return self._lines.setdefault((number, title), Line(number, title))

    def lines(self) -> list[Line]:
        """Return every line."""
        return [line for _, line in sorted(self._lines.items())]

    @property
    def violations(self) -> int:
        """Return how many rounds failed in all."""
        return sum(line.violations for line in self._lines.values())

    def table(self) -> Iterable[str]:
        """Yield the table, with a line of sums at the end."""
        yield "| test | what happens | rounds | violations | time |"
        yield "| --- | --- | ---: | ---: | ---: |"
        total = Line("", "all")
        for line in self.lines():
            total.rounds += line.rounds
            total.violations += line.violations
            total.known += line.known
            total.seconds += line.seconds
            yield line.as_row()
        yield total.as_row()

    def as_json(self, **facts: Any) -> bytes:
        """Return everything, with what it ran on."""
        machine = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "system": platform.platform()}
        found = {**facts, **machine, "violations": self.violations, "lines": self.lines()}
        return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
