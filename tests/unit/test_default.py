"""The default recorder: set up by code, or by the first span; unusable settings never reach the program."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import tracecore
from tests.fakes import FakeBackend, names
from tracecore import default
from tracecore.channel import Reopened
from tracecore.config import Config
from tracecore.context import SWITCH
from tracecore.errors import ConfigError
from tracecore.health import FlushResult
from tracecore.open_span import Muted, OpenSpan
from tracecore.recorder import Recorder
from tracecore.records import Record

DELIVERED = tracecore.FlushResult(delivered=True, pending=0, lost={})
NOT_RECORDED = tracecore.FlushResult(delivered=False, pending=0, lost={}, level=None)


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch, in_directory: Callable[[], Path]) -> Callable[[], None]:
    """Return a function that makes this process one whose default recorder nobody has started."""

    def reset() -> None:
        monkeypatch.setattr(default, "_default", default._Default())
        monkeypatch.setattr(SWITCH, "off", False)
        in_directory()

    return reset


@pytest.fixture
def offering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the next default recorders write to the given backends, one after the other."""

    def offer(*backends: FakeBackend) -> None:
        left = list(backends)
        monkeypatch.setattr(Reopened, "__call__", lambda _: left.pop(0))

    return offer


def test_the_first_span_starts_it(
    undecided: Callable[[], None], offering: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any set-up the first span is recorded, with settings from the environment."""
    backend = FakeBackend()
    undecided()
    offering(backend)
    monkeypatch.setenv("TRACECORE_ENVIRONMENT", "staging")
    assert tracecore.health().state == "new"
    with tracecore.span("first"):
        pass
    assert tracecore.health().state == "recording"
    assert tracecore.flush() == DELIVERED
    assert tracecore.shutdown() == DELIVERED
    (record,) = backend.records
    assert (names([record]), record.trace.environment) == (["first"], "staging")  # type: ignore[union-attr]  # a span


def test_a_failure_that_may_pass_is_tried_again(
    undecided: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No thread to be had at the first span: that is told, and after a pause a later span starts the recorder."""
    backend, failures = FakeBackend(), [OSError("no more files")]

    def opened(_: Reopened) -> FakeBackend:
        if failures:
            raise failures.pop()
        return backend

    now = [1_000_000_000]
    undecided()
    monkeypatch.setattr(Reopened, "__call__", opened)
    monkeypatch.setattr(default, "monotonic_ns", lambda: now[0])
    tracecore.span("lost").end()
    tracecore.span("lost too").end()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert tracecore.health().last_error == "OSError: no more files"
    assert tracecore.flush(0) == NOT_RECORDED
    now[0] += 10_000_000_000
    tracecore.span("kept").end()
    assert tracecore.shutdown() == DELIVERED
    assert names(backend.records) == ["kept"]


def test_what_a_mask_opens_is_not_recorded(undecided: Callable[[], None], offering: Callable[..., None]) -> None:
    """A mask that is itself observed would feed the pump for ever: what it opens is left out."""
    backend = FakeBackend()
    undecided()
    offering(backend)

    @tracecore.observe
    def mask(text: str) -> str:
        tracecore.event("masking")
        return text

    tracecore.configure(mask=mask)
    tracecore.span("once").end()
    assert tracecore.shutdown() == DELIVERED
    assert names(backend.records) == ["once"]


def test_nothing_is_started_by_asking(undecided: Callable[[], None]) -> None:
    """Flushing, ending and looking at the health of a recorder that was never started start none."""
    undecided()
    assert tracecore.flush(0) == tracecore.shutdown(0) == DELIVERED
    health = tracecore.health()
    assert (health.state, health.emitted, health.lost) == ("new", 0, {})
    assert default._default.recorder is None


async def test_nothing_is_started_by_awaiting(undecided: Callable[[], None]) -> None:
    """The awaited forms start nothing either."""
    undecided()
    assert await tracecore.aflush(0) == await tracecore.ashutdown(0) == DELIVERED


@pytest.mark.parametrize("count", [8])
def test_many_first_spans_start_one(undecided: Callable[[], None], offering: Callable[..., None], count: int) -> None:
    """Threads that open their first spans at the same moment share one recorder, and none of the spans is missed."""
    backend = FakeBackend()
    undecided()
    offering(backend)
    together = threading.Barrier(count)

    def work(number: int) -> None:
        together.wait()
        tracecore.span(f"s{number}").end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracecore.shutdown() == DELIVERED
    assert sorted(names(backend.records)) == sorted(f"s{number}" for number in range(count))


def test_unusable_settings_are_told_once(
    undecided: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong environment variable costs the traces, not the program: one line says which, and nothing is recorded."""
    undecided()
    monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "many")
    with caplog.at_level(logging.DEBUG, "tracecore"):
        for _ in range(3):
            with tracecore.span("work") as opened:
                assert isinstance(opened, Muted)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "sample_rate = 'many'" in caplog.text
    assert "Traceback" not in caplog.text
    assert SWITCH.off
    assert tracecore.health().state == "new"


async def test_what_unusable_settings_cost_is_not_called_delivered(
    undecided: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where spans could not be recorded, whoever waits for their delivery is told that nothing was delivered."""
    undecided()
    monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "many")
    assert tracecore.flush(0) == DELIVERED
    tracecore.span("lost").end()
    assert tracecore.flush(0) == tracecore.shutdown(0) == NOT_RECORDED
    assert await tracecore.aflush(0) == await tracecore.ashutdown(0) == NOT_RECORDED


def test_spans_opened_while_it_starts_are_no_failure(
    undecided: Callable[[], None],
    offering: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the start itself runs (a mask's module, a signal handler) may open spans: they start nothing again."""
    backend = FakeBackend()
    undecided()
    offering(backend)
    load = Config.load
    loads: list[Muted | OpenSpan] = []

    def load_and_open() -> Config:
        loads.append(tracecore.span("meanwhile"))
        return load()

    monkeypatch.setattr(Config, "load", load_and_open)
    tracecore.span("first").end()
    tracecore.span("second").end()
    assert tracecore.shutdown() == DELIVERED
    assert names(backend.records) == ["first", "second"]
    assert [type(opened) for opened in loads] == [Muted]
    assert caplog.text == ""


def test_configuring_while_it_starts_wins(
    undecided: Callable[[], None], offering: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that is imported by the start, and configures tracing, has the last word."""
    configured, own = FakeBackend(), FakeBackend()
    undecided()
    offering(configured, own)
    load = Config.load

    def load_and_configure() -> Config:
        monkeypatch.setattr(Config, "load", load)
        tracecore.configure(project="configured")
        return load()

    monkeypatch.setattr(Config, "load", load_and_configure)
    tracecore.span("first").end()
    assert tracecore.shutdown() == DELIVERED
    assert (names(configured.records), names(own.records)) == (["first"], [])


def test_a_backend_that_breaks_at_once_is_no_harm(
    undecided: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A plug-in that raises anything while it is made leaves the first span to go on unrecorded."""
    undecided()

    def broken(_: Reopened) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Reopened, "__call__", broken)
    with caplog.at_level(logging.DEBUG, "tracecore"):
        tracecore.span("work").end()
        tracecore.span("work").end()
    assert len(caplog.records) == 1


def test_configuring_after_a_failure_works(
    undecided: Callable[[], None], offering: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program whose first span found unusable settings may still configure tracing, and then records."""
    backend = FakeBackend()
    undecided()
    monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "many")
    tracecore.span("lost").end()
    monkeypatch.delenv("TRACECORE_SAMPLE_RATE")
    offering(backend)
    tracecore.configure()
    tracecore.span("kept").end()
    assert tracecore.shutdown() == DELIVERED
    assert names(backend.records) == ["kept"]


def test_wrong_settings_in_code_raise_and_change_nothing(
    undecided: Callable[[], None], offering: Callable[..., None]
) -> None:
    """Configuring with a wrong value raises, and the recorder that was there goes on."""
    backend = FakeBackend()
    undecided()
    offering(backend)
    before = tracecore.configure()
    with pytest.raises(ConfigError, match="sample_rate = 7"):
        tracecore.configure(sample_rate=7)
    assert default.default_recorder() is before
    tracecore.span("kept").end()
    assert tracecore.shutdown() == DELIVERED
    assert names(backend.records) == ["kept"]


def test_configuring_again_ends_the_previous_one(undecided: Callable[[], None], offering: Callable[..., None]) -> None:
    """A second configuration takes over: what was emitted before goes to the first backend, the rest to the second."""
    first, second = FakeBackend(), FakeBackend()
    undecided()
    offering(first, second)
    tracecore.configure()
    tracecore.span("before").end()
    tracecore.configure()
    tracecore.span("after").end()
    tracecore.shutdown()
    assert (names(first.records), names(second.records)) == (["before"], ["after"])


def test_nothing_is_missed_while_the_previous_one_ends(
    undecided: Callable[[], None], offering: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is emitted while a reconfiguration waits for the previous backend is kept for the next one."""
    began, ending, release = threading.Event(), threading.Event(), threading.Event()

    async def slow(_: list[Record]) -> None:
        began.set()
        release.wait(30)

    first, second = FakeBackend(on_write=slow), FakeBackend()
    undecided()
    offering(first, second)
    previous = tracecore.configure()
    shut_down = previous.shutdown

    def shutdown() -> FlushResult:
        ending.set()
        return shut_down()

    monkeypatch.setattr(previous, "shutdown", shutdown)
    tracecore.span("before").end()
    assert began.wait(30)
    thread = threading.Thread(target=tracecore.configure)
    thread.start()
    assert ending.wait(30)
    tracecore.span("meanwhile").end()
    release.set()
    thread.join()
    assert tracecore.shutdown() == DELIVERED
    assert (names(first.records), names(second.records)) == (["before"], ["meanwhile"])


def test_disabled_is_switched_off(undecided: Callable[[], None]) -> None:
    """A disabled default recorder turns instrumentation off, and an enabled one turns it on again."""
    undecided()
    tracecore.configure(enabled=False, backend="memory:")
    assert SWITCH.off
    assert isinstance(tracecore.span("work"), Muted)
    tracecore.configure(enabled=True, backend="memory:")
    assert not SWITCH.off
    assert isinstance(tracecore.span("work"), OpenSpan)
    assert tracecore.shutdown() == DELIVERED


@pytest.mark.parametrize("spoil", ["disabled", "broken"])
def test_others_go_on_recording(undecided: Callable[[], None], monkeypatch: pytest.MonkeyPatch, spoil: str) -> None:
    """A default recorder that is disabled or unusable switches off nothing that goes to another recorder."""
    undecided()
    backend = FakeBackend()
    recorder = Recorder(Config(), backend=backend).start()

    @tracecore.observe(recorder=recorder)
    def observed() -> None:
        """Do nothing."""

    if spoil == "disabled":
        monkeypatch.setenv("TRACECORE_ENABLED", "false")
    else:
        monkeypatch.setenv("TRACECORE_SAMPLE_RATE", "many")
    tracecore.span("to nobody").end()
    observed()
    assert recorder.shutdown() == DELIVERED
    assert names(backend.records) == ["observed"]


def test_a_child_forked_while_it_starts_is_not_stuck(
    undecided: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is forked while another thread starts the default recorder can start its own."""
    undecided()
    inside, release = threading.Event(), threading.Event()
    parent = os.getpid()

    def slow(_: Reopened) -> FakeBackend:
        if os.getpid() == parent:
            inside.set()
            release.wait(30)
        return FakeBackend()

    monkeypatch.setattr(Reopened, "__call__", slow)
    thread = threading.Thread(target=lambda: tracecore.span("parent's").end())
    thread.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        tracecore.span("child's").end()
        os._exit(0 if tracecore.flush().delivered and tracecore.health().delivered == 1 else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    tracecore.shutdown()
    assert status == 0


def test_importing_decides_nothing() -> None:
    """Importing the package reads no setting, starts no thread and registers nothing for the end or for forks."""
    program = """
import atexit, os, sys, threading

def refuse(*_, **__):
    if sys._getframe(1).f_globals["__name__"].startswith("tracecore"):
        sys.exit("registered at import")

os.register_at_fork = atexit.register = refuse
import tracecore
assert threading.active_count() == 1
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TRACECORE_SAMPLE_RATE": "many"}
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert (said.returncode, said.stderr) == (0, "")
