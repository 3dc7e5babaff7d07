"""What holds for every test: nothing it started survives it, and nothing of the caller's environment reaches it.

After each test, its fixtures and its event loop are gone:

* no new thread is alive;
* no new file descriptor is open (Linux);
* no task that it started on its loop is pending.

Allowances, and there are no others: what is ending by itself has two seconds to end; one collection of garbage is run,
because a traceback that pytest keeps may hold what it saw; descriptors of the interpreter's own (random numbers, the
process file system) do not count. Fixtures of wider scope than one test get no allowance: a fixture yields a factory,
and the test opens and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.torture.plugin", "tests.postgres_server"]

GRACE_SECONDS = 2.0
POLL_SECONDS = 0.005
OWN_DESCRIPTORS = ("/dev/urandom", "/dev/random", "/proc/")
DESCRIPTORS = Path("/proc/self/fd")
BEFORE: pytest.StashKey[Snapshot] = pytest.StashKey()

# Deadlines on wall clock fail on a busy machine; a failing example is printed so that it can be replayed.
settings.register_profile("tracecore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tracecore")


class Snapshot:
    """What the process holds at one moment, in terms that a person understands."""

    def __init__(self) -> None:
        self.threads = set(threading.enumerate())
        self.descriptors = _descriptors()

    def leaked_since(self) -> list[str]:
        """Return what exists now and did not then, one line each."""
        threads = [f"thread {thread.name!r}" for thread in threading.enumerate() if thread not in self.threads]
        descriptors = _descriptors().items() - self.descriptors.items()
        return sorted(threads) + [f"file descriptor {number}: {target}" for number, target in sorted(descriptors)]


def _descriptors() -> dict[int, str]:
    """Return the open descriptors and what they point to; none where the system does not list them."""
    found: dict[int, str] = {}
    if DESCRIPTORS.is_dir():
        for entry in DESCRIPTORS.iterdir():
            # The descriptor that lists the folder is gone by now.
            with contextlib.suppress(OSError):
                found[int(entry.name)] = str(entry.readlink())
    return {number: target for number, target in found.items() if not target.startswith(OWN_DESCRIPTORS)}


def _leaked_after_grace(before: Snapshot) -> list[str]:
    """Return what is still there when the allowances are used up."""
    if not before.leaked_since():
        return []
    gc.collect()
    deadline = time.monotonic() + GRACE_SECONDS
    while (leaked := before.leaked_since()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return leaked


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Remember what the process holds before the first fixture of a test."""
    item.stash[BEFORE] = Snapshot()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Fail a test that leaves a thread or a descriptor behind, after its last fixture and its loop are gone."""
    result = yield
    if leaked := _leaked_after_grace(item.stash[BEFORE]):
        pytest.fail("the test left behind:\n  " + "\n  ".join(leaked), pytrace=False)
    return result


@pytest.fixture
async def _pending_tasks() -> AsyncIterator[None]:
    """Fail a test whose tasks are still pending when it is over."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE_SECONDS)
    if left:
        names = ", ".join(sorted(f"{task.get_name()} ({task.get_coro()!r})" for task in left))
        pytest.fail(f"the test left tasks pending: {names}", pytrace=False)


@pytest.fixture(autouse=True)
def _watch_tasks(request: pytest.FixtureRequest) -> None:
    """Watch the tasks of every test that is a coroutine."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_pending_tasks")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the caller's settings: a test that wants one sets it."""
    for name in list(os.environ):
        if name.startswith(("TRACECORE_", "OTEL_", "LANGFUSE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def project_root() -> Path:
    """Return the folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Return a function that moves the test into an empty folder of its own and returns it."""

    def enter() -> Path:
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return enter
