"""The sessions that a batch touches, gathered while its traces are written: their rows are locked in one order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from tracecore.records import Session
from tracecore_sql.filters import NEVER
from tracecore_sql.to_rows import session_values

__all__ = ["Name", "Touched"]

Name: TypeAlias = tuple[str, str]
"""Project and session id."""


class Touched:
    """Know which sessions follow traces that were written, and how."""

    def __init__(self) -> None:
        self._starts: dict[Name, int] = {}
        self.moved: set[Name] = set()
        """Those whose last start has to be looked for among all of their traces."""

    def begins(self, project: str, session_id: str | None, start_ns: int) -> None:
        """Note that a trace which is new in its session begins at some time."""
        if session_id is not None:
            name = project, session_id
            self._starts[name] = max(start_ns, self._starts.get(name, NEVER))

    def moves(self, project: str, before: tuple[str | None, int], after: tuple[str | None, int]) -> None:
        """Note what a trace that was known follows from now on: its session, and when it begins."""
        if before == after:
            return
        for session_id, _ in (before, after):
            if session_id is not None:
                self.moved.add((project, session_id))
                self._starts.setdefault((project, session_id), NEVER)
        self.begins(project, *after)

    def values(self, own: Iterable[Session], null: Any) -> list[Any]:
        """Return the rows of ``upsert_sessions``, one after the other: of sessions of traces and of session records."""
        values: list[Any] = []
        flat = session_values(own, null)
        for at in range(0, len(flat), 6):
            project, session_id, *rest = flat[at : at + 6]
            values += (project, session_id, self._starts.pop((project, session_id), NEVER), *rest)
        for (project, session_id), start_ns in self._starts.items():
            values += (project, session_id, start_ns, 0, null, null, null)
        return values
