"""The process's default recorder: what ``tracecore.configure`` sets up, or the first span starts by itself.

Configuring raises on bad settings. Starting by itself, inside somebody's first span, does not: it says once what is
wrong, and the process records nothing.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from msgspec.structs import replace

from tracecore.clock import monotonic_ns
from tracecore.config import Config
from tracecore.context import INHERITED, SWITCH, Route
from tracecore.errors import TracecoreError
from tracecore.forks import watch
from tracecore.health import FlushResult, Health
from tracecore.open_span import NOT_RECORDED
from tracecore.recorder import Recorder, is_recording
from tracecore.reporting import named_error, report, text_of_error

__all__ = ["DEFAULT", "aflush", "ashutdown", "configure", "default_recorder", "flush", "health", "route", "shutdown"]

_PAUSE_NS: Final = 10_000_000_000
"""How long nobody tries again after a start that failed for a reason that may pass."""
_LONGEST_START: Final = 2.0
"""Seconds that a fork waits at most for a recorder that is being made."""


class _Default:
    """Hold the default recorder and whether starting it has failed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.recorder: Recorder | None = None
        self.failed = False
        """Whether the configuration cannot be used: nobody tries again."""
        self.trouble: str | None = None
        self.next_try_ns = 0
        self.starting = False
        """Whether the thread that holds the lock is making a recorder for a first span."""
        self._forking = threading.local()

    def watch_forks(self) -> None:
        """Let forks wait while a recorder is being made, which imports its backend, and give children their own lock.

        A child that is forked in the middle of an import keeps the half of a module for ever. The wait is bounded, and
        the thread that then still holds the lock does not exist in the child.
        """
        watch(before=self._wait, in_parent=self._go_on, in_child=self._renew_lock)

    def _wait(self) -> None:
        self._forking.waited = self.lock.acquire(timeout=_LONGEST_START)

    def _go_on(self) -> None:
        if vars(self._forking).pop("waited", False):
            self.lock.release()

    def _renew_lock(self) -> None:
        self.lock = threading.RLock()
        self.starting = False


_default: Final = _Default()
DEFAULT: Final = _default
"""For who looks which recorder there is, and starts none."""


def configure(**settings: Any) -> Recorder:
    """Set up and start the process's default recorder; without it, the first span does so from the environment.

    ``settings`` are fields of :class:`~tracecore.Config` and win over environment variables and TOML files. A recorder
    that was configured before is shut down first.

    Raises:
        ConfigError: a key, value or source is wrong; the message says which, and what was expected.
    """
    recorder = Recorder(Config.load(overrides=settings))
    _default.watch_forks()
    with _default.lock:
        recorder.begin()  # what is emitted from here on waits in its buffer
        previous, _default.recorder, _default.failed = _default.recorder, recorder, False
        if previous is not None:
            previous.shutdown()  # first, because both may write to one file
        recorder.start()
        _switch_off_if_unused(recorder)
        return recorder


def default_recorder() -> Recorder | None:
    """Return the default recorder, starting it if nobody has; None when its configuration is unusable."""
    recorder = _default.recorder
    if recorder is not None or _default.failed or monotonic_ns() < _default.next_try_ns:
        return recorder
    return _start_by_itself()


def route() -> Route | None:
    """Return where a new trace of the current context goes, or None when it is not recorded."""
    recorder = INHERITED.get().recorder or default_recorder()
    return None if recorder is None else recorder.route


def flush(timeout: float = 5.0) -> FlushResult:
    """Wait at most ``timeout`` seconds until everything emitted so far is delivered or lost; tell which."""
    recorder = _default.recorder
    return _without_recorder() if recorder is None else recorder.flush(timeout)


async def aflush(timeout: float = 5.0) -> FlushResult:
    """Wait as :func:`flush` does, without blocking the loop."""
    recorder = _default.recorder
    return _without_recorder() if recorder is None else await recorder.aflush(timeout)


def shutdown(timeout: float | None = None) -> FlushResult:
    """Stop the default recorder: deliver within ``timeout`` seconds (default: as configured), count the rest."""
    recorder = _default.recorder
    return _without_recorder() if recorder is None else recorder.shutdown(timeout)


async def ashutdown(timeout: float | None = None) -> FlushResult:
    """Stop as :func:`shutdown` does, without blocking the loop."""
    recorder = _default.recorder
    return _without_recorder() if recorder is None else await recorder.ashutdown(timeout)


def health() -> Health:
    """Return counters and state of the default recorder; starts nothing."""
    recorder = _default.recorder
    return replace(_NO_HEALTH, last_error=_default.trouble) if recorder is None else recorder.health()


_NONE_EMITTED: Final = FlushResult(delivered=True, pending=0, lost={})
_NO_HEALTH: Final = Health(
    state="new", location="", emitted=0, delivered=0, pending=0, lost={}, sampled=0, open_spans=0, buffer_depth=0,
    last_error=None, last_delivery_age_s=None,
)  # fmt: skip


def _without_recorder() -> FlushResult:
    """Return what became of everything without a recorder: nothing was emitted, or it could not be recorded."""
    return _NONE_EMITTED if _default.trouble is None else NOT_RECORDED


def _start_by_itself() -> Recorder | None:
    _default.watch_forks()
    with _default.lock:
        # Starting runs code of others (a mask's module, a signal handler, a finalizer) in this thread, so that the lock
        # lets it in. Spans that it opens are not recorded: a second start would find modules half imported.
        if _default.recorder is None and not _default.failed and not _default.starting:
            _default.starting = True
            try:
                recorder = Recorder(Config.load())
                if _default.recorder is None:  # that code may have called configure()
                    _default.recorder = recorder.start()
                _switch_off_if_unused(_default.recorder)
            except Exception as error:  # noqa: BLE001 - inside somebody's first span: nothing may be raised
                _note_failure(error)
            finally:
                _default.starting = False
        return _default.recorder


def _note_failure(error: Exception) -> None:
    """Remember that starting has failed: for good where the configuration is wrong, else for a while."""
    surprise = None if isinstance(error, TracecoreError) else error
    _default.failed = surprise is None
    _default.next_try_ns = monotonic_ns() + _PAUSE_NS
    _default.trouble = named_error(error)
    report("tracecore records nothing: %s", text_of_error(error), severe=True, error=surprise)
    if _default.failed:
        _switch_off_if_unused(None)


def _switch_off_if_unused(recorder: Recorder | None) -> None:
    """Turn instrumentation off where neither the default recorder nor any other one records."""
    if (recorder is None or not recorder.config.enabled) and not is_recording():
        SWITCH.off = True
