"""Watching forks: everybody is asked, also who begins to watch while a fork is under way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracecore import forks
from tracecore.forks import watch


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> forks._Watchers:
    """Return watchers that ``os`` knows nothing of, in the place of the process's own."""
    watchers = forks._Watchers()
    watchers._hooked = True
    monkeypatch.setattr(forks, "_watchers", watchers)
    return watchers


def test_who_begins_during_a_fork_is_asked_too(fresh: forks._Watchers) -> None:
    """A watcher that another one's wait brings into being is asked in the same fork, and told of its end."""
    said: list[str] = []

    def late() -> None:
        said.append("late")

    watch(before=lambda: (said.append("first"), watch(before=late, in_parent=lambda: said.append("late on")))[0])
    fresh._before()
    fresh._in_parent()
    assert said == ["first", "late", "late on"]


def test_who_comes_too_late_waits_until_the_fork_has_happened(fresh: forks._Watchers) -> None:
    """From the last question to the end of the fork nobody begins to watch, and so nobody begins to work."""
    watch()
    began = threading.Event()
    thread = threading.Thread(target=lambda: (watch(before=began.clear), began.set()))
    fresh._before()
    thread.start()
    assert not began.wait(0.05)
    fresh._in_parent()
    assert began.wait(10)
    thread.join()


def test_watching_twice_is_watching_once(fresh: forks._Watchers) -> None:
    """The same watcher is asked once, and in the parent the last is told first."""
    said: list[str] = []
    first, second = (lambda: said.append("first")), (lambda: said.append("second"))
    for _ in range(2):
        watch(before=first, in_parent=first)
        watch(before=second, in_parent=second)
    fresh._before()
    fresh._in_parent()
    assert said == ["first", "second", "second", "first"]


def test_an_interrupted_wait_leaves_no_lock(fresh: forks._Watchers) -> None:
    """A signal handler that raises while a fork waits does not stop the next fork, nor the next watcher."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    watch(before=interrupted)
    with pytest.raises(KeyboardInterrupt):
        fresh._before()
    fresh._in_parent()
    watch()
    assert not fresh._lock.locked()


def test_a_child_begins_anew_and_may_fork(fresh: forks._Watchers) -> None:
    """In the child everybody is told once, and a child of the child is asked for again."""
    told = os.pipe()
    watch(before=lambda: _say(told[1], b"b"), in_child=lambda: _say(told[1], b"c"))
    os.register_at_fork(before=fresh._before, after_in_parent=fresh._in_parent, after_in_child=fresh._in_child)
    try:
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            os._exit(0 if grandchild == 0 else os.waitpid(grandchild, 0)[1])
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(told[0], 100) == b"bcbc"
    finally:
        fresh._all.clear()
        for end in told:
            os.close(end)


def _say(pipe: int, what: bytes) -> None:
    os.write(pipe, what)


def test_a_fork_waits_for_imports_and_not_for_the_lock_of_logging(project_root: Path) -> None:
    """Forked while the pump imports what it needs, a child has all of it, and delivers its spans."""
    code = f"""
import os, sys
sys.path[:0] = [{str(project_root)!r}, {str(project_root / "backends")!r}]
import tracecore

tracecore.configure(backend="memory:")
with tracecore.span("parent"):
    pass
child = os.fork()
with tracecore.span("either"):
    pass
delivered = tracecore.shutdown(20).delivered
if not child:
    os._exit(not delivered)
assert os.waitpid(child, 0)[1] == 0
assert delivered
"""
    command = [sys.executable, "-W", "error", "-c", code]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
        assert (done.returncode, done.stderr) == (0, "")
