"""The oracle of tests in which processes die: a ledger outside of them, and what must hold afterwards.

:class:`Ledger` is kept by the test, which survives. Programs report each span when it opens and after its ``end()`` has
returned, and each acknowledgement with its level (see ``telling``). Once everybody is gone:

* **acknowledged without stored is empty**: what a flush (or the journal, at once) promised is there, except for as many
  as the same answer said were lost;
* **stored ids are unique**, and nothing is stored that nobody opened;
* **conservation is exact**: a process that lived to give account emitted what it told, and all of it is delivered or
  counted as lost, to the unit; what it says it delivered is what is stored of it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import msgspec
import pytest

from tests.faults.processes import running
from tests.faults.telling import PIPE_VARIABLE

__all__ = ["BUFFERS", "Ledger", "deliver_leftovers", "each_buffer", "environment_of", "locked", "stored_ids"]

SpanId: TypeAlias = tuple[str, str]
"""Trace id and span id."""

BUFFERS: Final = ("memory", "journal")
"""What may hold records until they are delivered: every test with a ``buffer`` runs with each."""
each_buffer: Final = pytest.mark.parametrize("buffer", BUFFERS)

_SURVIVING: Final = frozenset({"handed_over", "durable", "received"})
"""Levels that survive the death of the process."""
_ENDED: Final = "SELECT trace_id, span_id FROM spans WHERE status NOT IN ('running', 'abandoned')"


def environment_of(buffer: str, backend: str) -> dict[str, str]:
    """Return the settings of a program with one kind of buffer and one backend."""
    settings = {"TRACECORE_BACKEND": backend, "TRACECORE_PENDING_AFTER_MS": "0"}
    return settings if buffer == "memory" else {**settings, "TRACECORE_BUFFER": buffer}


def stored_ids(path: Path) -> Counter[SpanId]:
    """Return the ids of every ended span of an SQLite file, which must be whole; none of one that was just begun."""
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'spans'").fetchall():
            return Counter()
        return Counter(raw.execute(_ENDED).fetchall())


def deliver_leftovers(buffer: str, path: Path) -> None:
    """Start once more where the buffer outlives its process: what it holds is delivered."""
    if buffer != "memory":
        program = (
            "import tracecore; recorder = tracecore.configure(); "
            "assert recorder.recover(60).complete; assert tracecore.flush(30).delivered"
        )
        environment = environment_of(buffer, f"sqlite:///{path}")
        with running("-c", program, folder=path.parent, environment=environment) as again:
            assert again.wait() == 0, again.errors


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Keep everybody else from writing to a file until the transaction is rolled back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


class Ledger:
    """Write down what programs tell, from a thread of the test, until it is closed.

    With a buffer that survives the process, ``end()`` is itself the acknowledgement.
    """

    def __init__(self, folder: Path, buffer: str = "memory") -> None:
        self.path = folder / "told.pipe"
        self.opened: dict[SpanId, int] = {}
        self.ended: dict[SpanId, int] = {}
        self.acknowledged: set[SpanId] = set()
        """What must be there, each and every one."""
        self.accounts: dict[int, dict[str, Any]] = {}
        self.said: list[tuple[int, str, Any]] = []
        """Whatever else was told, in order: process, kind, value."""
        self._ended_of: dict[int, list[SpanId]] = {}
        self._twice: list[SpanId] = []
        """Ids that more than one span had when it ended."""
        self._asked: dict[str, int] = {}
        self._partly: list[tuple[set[SpanId], int]] = []
        """What was acknowledged by a process that had said how much it had lost: so many may be missing."""
        self._end_acknowledges = buffer == "journal"
        self._changed = threading.Condition()
        self._closed = False

    def __enter__(self) -> Self:
        """Begin to listen."""
        os.mkfifo(self.path)
        # For writing too: so that it stays open when the last program has gone, and can be told to end.
        self._pipe = os.open(self.path, os.O_RDWR)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening; everything that was told before is written down."""
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """Return what a program's environment needs for telling."""
        return {PIPE_VARIABLE: str(self.path)}

    def close(self) -> None:
        """Write down what was told so far, and end."""
        if not self._closed:
            self._closed = True
            os.write(self._pipe, b'[0,"closed",null]\n')
            self._thread.join()
            os.close(self._pipe)
            self.path.unlink()

    def wait_for(self, condition: Callable[[Ledger], bool], timeout: float = 30.0) -> None:
        """Wait until what was told fulfils a condition; fail the test if that takes too long."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout), f"told so far: {self}"

    def heard(self, kind: str) -> list[Any]:
        """Return the values of one kind that were told, in order."""
        return [value for _, told, value in self.said if told == kind]

    def ended_by(self, process: int) -> int:
        """Return how many spans a process has told to have ended."""
        return len(self._ended_of.get(process, ()))

    def check(self, stored: Counter[SpanId]) -> None:
        """Assert what must hold when every program has ended and nothing more will be delivered."""
        self.close()
        assert self._twice == [], "several spans have the same ids"
        missing = self.acknowledged - stored.keys()
        assert not missing, f"{len(missing)} of {len(self.acknowledged)} acknowledged spans are not stored"
        for spans, lost in self._partly:
            missing = spans - stored.keys()
            assert len(missing) <= lost, f"{len(missing)} acknowledged spans are not stored, and {lost} were reported"
        assert [ids for ids, count in stored.items() if count != 1] == []
        assert not stored.keys() - self.opened.keys(), "spans are stored that nobody opened"
        for process, account in self.accounts.items():
            self._check_account(process, account, stored)

    def _check_account(self, process: int, account: dict[str, Any], stored: Counter[SpanId]) -> None:
        lost = sum(account["lost"].values())
        emitted, delivered = account["emitted"], account["delivered"]
        assert emitted == self.ended_by(process), f"emitted is not what process {process} told: {account}"
        assert account["pending"] == 0, account
        assert emitted == delivered + lost, account
        mine = sum(maker == process for ids, maker in self.opened.items() if ids in stored)
        assert mine == delivered, f"process {process} says that it delivered {delivered}, and {mine} are stored"

    def _listen(self) -> None:
        rest = b""
        while True:
            *lines, rest = (rest + os.read(self._pipe, 1 << 16)).split(b"\n")
            with self._changed:
                for line in lines:
                    process, kind, value = msgspec.json.decode(line)
                    if kind == "closed":
                        return
                    self._write_down(process, kind, value)
                self._changed.notify_all()

    def _write_down(self, process: int, kind: str, value: Any) -> None:
        match kind:
            case "opened":
                self.opened[tuple(value)] = process
            case "ended":
                self._write_down_end(process, tuple(value))
            case "asked":
                self._asked[value] = self.ended_by(process)
            case "answered":
                asked, level, lost = value
                if level in _SURVIVING:
                    self._acknowledge(self._ended_of.get(process, [])[: self._asked[asked]], lost)
            case "account":
                self.accounts[process] = value
            case _:
                self.said.append((process, kind, value))

    def _write_down_end(self, process: int, ids: SpanId) -> None:
        if ids in self.ended:  # to be said by the test: a thread that fails would leave the programs' pipe full
            self._twice.append(ids)
        self.ended[ids] = process
        self._ended_of.setdefault(process, []).append(ids)
        if self._end_acknowledges:
            self.acknowledged.add(ids)

    def _acknowledge(self, spans: Iterable[SpanId], lost: int) -> None:
        if lost:
            self._partly.append((set(spans), lost))
        else:
            self.acknowledged.update(spans)

    def __repr__(self) -> str:
        counts = f"{len(self.opened)} opened, {len(self.ended)} ended, {len(self.acknowledged)} acknowledged"
        return f"{counts}, accounts of {sorted(self.accounts)}, {[kind for _, kind, _ in self.said]}"
