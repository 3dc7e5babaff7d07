"""What an adapter is: one module per rival that says what the rival is, and how to record with it.

Everything here and in the adapters' module scope is the standard library, because an adapter is read twice: by the
benchmarks, for its :class:`Rival`, and in the rival's own environment, where nothing of ours is installed. The rival's
library is imported inside ``start``, and there alone.

An adapter module has two names: ``RIVAL``, and ``start(collector)``, which imports the library, points it at the
collector's URL and returns a :class:`Tracer`. One that does not send to the collector returns a
:class:`CountingTracer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

__all__ = ["NUMBERED", "RESULT_TEXT", "Answer", "CountingTracer", "Rival", "Tracer"]

NUMBERED: Final = rb"\[(\d{8})\]"
"""What marks one call among its arguments: ``[00000042]``; whoever captures the arguments sends it. A root has a number
of its own."""
RESULT_TEXT: Final = b"until it leaves the warehouse"
"""What every result holds, that of a root too: whoever captures results sends it."""


@dataclass(frozen=True)
class Answer:
    """Say what the collector answers: whatever a client needs to go on."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Describe a rival: what to install, what it records of a call, and how its spans are counted as they arrive."""

    title: str
    requirements: tuple[str, ...] = ()
    """For pip, the rival itself first, with its version pinned."""
    without: tuple[str, ...] = ()
    """Distributions that it asks for, does not need for tracing, and does not get."""
    captures: bool = True
    """Whether arguments and result of a call are recorded and sent."""
    remark: str = ""
    """What a reader must know to compare: what is not captured, what is done by hand, what is switched off."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the process starts with; ``{collector}`` in a value becomes the collector's URL."""
    counted_by: bytes = NUMBERED
    """A pattern to find in what arrives: a span each time or, where it has a group, for each different group. Roots
    (their function is called ``request``) are counted as well as nested calls (``answer``)."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """What the collector answers, by ``METHOD /path`` as a regular expression for the whole of it, without a query;
    ``200 {}`` unless given."""


class Tracer(Protocol):
    """Record calls with a rival. Functions are coroutine functions of positional arguments that return a dict."""

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, as its manual says, arguments and result captured."""
        ...

    def observed_root(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call that is the root of a trace of its own."""
        ...

    def flush(self) -> None:
        """Wait until all that was recorded has been sent, as the rival's manual says."""
        ...

    def close(self) -> None:
        """End whatever the rival runs beside the program."""
        ...


class CountingTracer(Tracer, Protocol):
    """Record into something that can be read back, instead of sending it to the collector."""

    def delivered(self) -> dict[str, int]:
        """Return what is there by now, read back: ``spans``, and of those with ``inputs`` and with ``results``."""
        ...
