"""Carrying the context into plain threads, by explicit choice.

A thread begins with an empty context, so what it opens is a new trace. After :func:`propagate_to_threads`

* a ``threading.Thread`` (also a subclass, also a ``Timer``) runs in a copy of the context of the code that called
  ``start``;
* a call given to a ``ThreadPoolExecutor`` runs in a copy of the context of the code that called ``submit`` (``map`` and
  ``loop.run_in_executor`` go through it), whichever worker takes it.

The copy holds every context variable of the program, not only ours. Do not choose it in a program whose long-lived
threads are started by whoever comes first: such a thread would stay in that one's trace. The workers of an executor are
safe, they begin with an empty context.

Invariants: each replacement is made once however often it is asked for, and taken back with the last handle. One that
somebody else has wrapped meanwhile is left in place and does nothing. Threads and calls that were under way keep what
they began with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Final, Self

__all__ = ["ThreadPropagation", "propagate_to_threads"]

_lock: Final = threading.Lock()
_active: Final[set[ThreadPropagation]] = set()
_replaced: Final[list[_Replacement]] = []


class ThreadPropagation:
    """Keep the context travelling into threads until :meth:`undo`; also a context manager that undoes at its end."""

    def undo(self) -> None:
        """Stop, if no other handle is active. Undoing twice does nothing more."""
        with _lock:
            _active.discard(self)
            while not _active and _replaced:
                _replaced.pop().take_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.undo()


def propagate_to_threads() -> ThreadPropagation:
    """Make plain threads and thread pools run in the context of the code that started them, for the whole process.

    Call it once at start-up, or use it as a block: ``with propagate_to_threads(): ...``. Each call returns a handle;
    threads are as before once every handle was undone.
    """
    handle = ThreadPropagation()
    with _lock:
        if not _active:
            _replaced.append(_Replacement(threading.Thread, "start", _starting_in_context))
            _replaced.append(_Replacement(ThreadPoolExecutor, "submit", _submitting_in_context))
        _active.add(handle)
    return handle


class _Replacement:
    """Put a wrapper in the place of a method, until it is taken back."""

    def __init__(self, owner: type, name: str, wrap: Callable[[_Replacement], Callable[..., Any]]) -> None:
        self.active = True
        self.original: Callable[..., Any] = getattr(owner, name)
        self._owner = owner
        self._name = name
        self._wrapper = wrap(self)
        setattr(owner, name, self._wrapper)

    def take_back(self) -> None:
        """Restore the method; where somebody else has wrapped ours, only stop doing anything."""
        self.active = False
        if getattr(self._owner, self._name) is self._wrapper:
            setattr(self._owner, self._name, self.original)


def _starting_in_context(replacement: _Replacement) -> Callable[[threading.Thread], None]:
    original = replacement.original

    def start(self: threading.Thread) -> None:
        """Start the thread in a copy of the caller's context."""
        if not replacement.active:
            original(self)
            return
        run, own = self.run, vars(self).get("run")
        context = copy_context()

        def run_in_context() -> None:
            _put_back(self, own)
            context.run(run)

        self.run = run_in_context  # type: ignore[method-assign]  # on this object only, and only until it runs
        try:
            original(self)
        except BaseException:
            _put_back(self, own)
            raise

    return start


def _put_back(thread: threading.Thread, own: object) -> None:
    """Leave the thread as the program made it: with a ``run`` of its own, or without one."""
    if own is None:
        vars(thread).pop("run", None)
    else:
        vars(thread)["run"] = own


def _submitting_in_context(replacement: _Replacement) -> Callable[..., Future[Any]]:
    original = replacement.original

    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call that runs in a copy of the caller's context."""
        if not replacement.active:
            return original(self, fn, *args, **kwargs)  # type: ignore[no-any-return]  # what submit returns
        # The worker that may be started by this belongs to nobody: it outlives the caller and serves others.
        return Context().run(original, self, copy_context().run, fn, *args, **kwargs)

    return submit
