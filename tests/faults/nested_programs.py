"""Random programs that open spans below each other in every way there is, and an oracle that knows what must come out.

A program is a tree of :class:`Node`. Running one, every function is *told* where it is (:class:`Here`, passed as an
argument), and notes with the oracle what it opens below what. tracecore is told nothing and finds out by its context.
Before and after every node the oracle looks whether the current span is the one that the program knows to be in.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from typing import Any

import anyio
from msgspec import Struct

import tracecore
from tracecore import OpenSpan
from tracecore.records import Record, Span

__all__ = ["NOWHERE", "Abandon", "Here", "Node", "Oracle"]


class Node(Struct, frozen=True):
    """Do something of this kind, with programs inside; ``number`` varies how."""

    kind: str
    number: int = 0
    inside: tuple[Node, ...] = ()


class Here(Struct, frozen=True):
    """Say where a program is: the name of the innermost span around, and the user that was propagated."""

    name: str | None = None
    user: str | None = None


NOWHERE = Here()
"""Where a plain thread begins."""


class Abandon(Exception):
    """Leave a span by an exception."""


class Oracle:
    """Know what every span must be, and collect what is seen to be otherwise while the program runs."""

    def __init__(self, group: anyio.abc.TaskGroup, *, threads_carry: bool) -> None:
        self.group = group
        self.threads_carry = threads_carry
        self.parents: dict[str, str | None] = {}
        self.users: dict[str, str | None] = {}
        self.statuses: dict[str, str] = {}
        self.objects: dict[str, OpenSpan] = {}
        self.wrong: list[str] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def open(self, here: Here, kind: str, status: str = "ok") -> str:
        """Note that a span is about to be opened here, which will end so; return its name."""
        name = f"{kind} {next(self._numbers)}"
        self.parents[name], self.users[name], self.statuses[name] = here.name, here.user, status
        return name

    def entered(self, name: str, opened: Any) -> None:
        """Note which object is the span of that name; no two may have one."""
        with self._lock:
            if not isinstance(opened, OpenSpan) or any(opened is other for other in self.objects.values()):
                self.wrong.append(f"{name} was given {opened!r}, which is not its own")
            self.objects[name] = opened

    def check(self, here: Here, when: str = "") -> None:
        """Note when the current span is not that of ``here``."""
        current = tracecore.current_span()
        expected = None if here.name is None else self.objects[here.name]
        if current is not expected:
            self.wrong.append(f"in {here.name} {when}: the current span is {getattr(current, 'name', None)}")

    def number(self) -> int:
        """Return a number of its own."""
        return next(self._numbers)

    def root_of(self, name: str) -> str:
        """Return the root that a span is below of."""
        parent = self.parents[name]
        return name if parent is None else self.root_of(parent)

    def trace_names(self) -> dict[str, str]:
        """Return each span's root by its name."""
        return {name: self.root_of(name) for name in self.parents}

    def differences(self, records: list[Record]) -> list[str]:
        """Return everything about the stored records that is not as it must be."""
        spans = [record for record in records if isinstance(record, Span)]
        counts = Counter(span.name for span in spans)
        problems = [f"{name} is stored {counts[name]} times" for name in {*counts, *self.parents} if counts[name] != 1]
        problems += [f"{name} was not expected" for name in counts if name not in self.parents]
        by_name = {span.name: span for span in spans if span.name in self.parents}
        names = {span.span_id: span.name for span in spans}
        for name, span in by_name.items():
            parent = None if span.parent_id is None else names.get(span.parent_id, span.parent_id)
            found = (parent, span.status, span.trace.user_id)
            expected = (self.parents[name], self.statuses[name], self.users.get(name, span.trace.user_id))
            if found != expected:
                problems.append(f"{name}: (parent, status, user) are {found}, expected {expected}")
        return [*self.wrong, *problems, *self._trace_problems(by_name)]

    def _trace_problems(self, by_name: dict[str, Span]) -> list[str]:
        """Return which spans are in another trace than their root, and which roots share one."""
        roots = {name: root for name, root in self.trace_names().items() if name in by_name and root in by_name}
        problems = [
            f"{name} is not in the trace of {root}"
            for name, root in roots.items()
            if by_name[name].trace_id != by_name[root].trace_id
        ]
        traces = Counter(by_name[root].trace_id for root in set(roots.values()))
        return problems + [f"{count} roots share the trace {trace}" for trace, count in traces.items() if count > 1]
