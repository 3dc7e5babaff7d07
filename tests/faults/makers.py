"""Which process made a span, and which one delivered it: what programs that fork are held to.

A span is named by the process that made it; the mask, which runs last and where the span is delivered, adds the
process that sent it and notes both in a ledger beside the database. So a span that is delivered by two processes, or by
the wrong one, is found even where the store merges them.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.faults.oracle import BUFFERS
from tests.torture.declaring import by_mode

__all__ = ["delivered_by_its_maker", "label_of", "lend_makers", "rows", "with_each_buffer"]

FORKED: Final = '''
"""What the processes of a program share: where records go, and how a span says who made it."""
import os, signal, sys, time
from pathlib import Path
import tracecore

HERE = Path(__file__).parent
os.environ.setdefault("TRACECORE_BACKEND", f"sqlite:///{HERE}/traces.db")
os.environ.setdefault("TRACECORE_MASK", "forked:mask")
os.environ.setdefault("TRACECORE_PENDING_AFTER_MS", "0")

def mask(text):
    if not text.startswith("made by "):
        return text
    text = text.replace("?", str(os.getpid()))
    with open(HERE / "ledger", "ab", buffering=0) as ledger:
        ledger.write(text.encode() + b"\\n")
    return text

def name(label):
    return f"made by {os.getpid()} sent by ?: {label}"

def work(label, count=1):
    for _ in range(count):
        tracecore.span(name(label)).end()
    return os.getpid()

def children(count, label, spans=1, end=lambda: tracecore.flush().delivered):
    """Fork children that emit spans and end by os._exit; wait for all of them."""
    started = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)  # whoever is stuck does not outlive the test
            work(label, spans)
            os._exit(0 if end() else 9)
        started.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in started] == [0] * count
'''

_NAME = re.compile(r"made by (\d+) sent by (\d+): (.*)")


@pytest.fixture(autouse=True, params=by_mode(["memory"], full=BUFFERS))
def with_each_buffer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test of a module that imports this with each kind of buffer, where all rounds are run."""
    monkeypatch.setenv("TRACECORE_BUFFER", request.param)
    monkeypatch.setenv("TRACECORE_JOURNAL_DIR", str(tmp_path / "journal"))


def lend_makers(folder: Path) -> None:
    """Put the module ``forked`` where programs of this folder find it."""
    (folder / "forked.py").write_text(FORKED)


def delivered_by_its_maker(folder: Path) -> tuple[dict[str, int], set[int]]:
    """Assert that every span was sent and stored once, by its maker; return the counts by label, and the makers."""
    ledger = Counter(map(_parsed, (folder / "ledger").read_text().splitlines()))
    stored = Counter(_parsed(name) for (name,) in rows(folder, "select name from spans"))
    assert stored == ledger
    assert all(maker == sender for maker, sender, _ in stored), "delivered by a process that did not make it"
    labels: Counter[str] = Counter()
    for (_, _, label), count in stored.items():
        labels[label] += count
    return dict(labels), {maker for maker, _, _ in stored}


def label_of(name: str) -> str:
    """Return what a span was called by its maker."""
    return _parsed(name)[2]


def _parsed(name: str) -> tuple[int, int, str]:
    match = _NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1]), int(match[2]), match[3]


def rows(folder: Path, sql: str) -> list[tuple[str, ...]]:
    """Return the answer to a statement, from a file that must be whole."""
    with closing(sqlite3.connect(folder / "traces.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        return connection.execute(sql).fetchall()
