"""How far a copy is: a bar on a terminal, else a line now and then. All of it goes to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from tracecore.cli.copy_state import Part
from tracecore.cli.copying import in_words
from tracecore.cli.escaping import visible
from tracecore.cli.output import note
from tracecore.clock import monotonic_ns

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Lines", "Watched", "on_terminal", "progress"]

_SAY_EVERY_NS: Final = 5 * 10**9


class Watched(Protocol):
    """What somebody who waits gets to see."""

    def tell(self, part: Part, records: int, /) -> None:
        """Note that so many more records of a part have been dealt with."""
        ...

    def say(self, sentence: str, /) -> None:
        """Say something beside that."""
        ...


class Lines:
    """Say how many records were copied, every few seconds."""

    def __init__(self, *, clock: Callable[[], int] = monotonic_ns, say: Callable[[str], object] = note) -> None:
        self._clock = clock
        self._say = say
        self._next_ns = clock() + _SAY_EVERY_NS
        self._done: dict[Part, int] = {}

    def tell(self, part: Part, records: int) -> None:
        """Count some records, and say so if it is time."""
        self._done[part] = self._done.get(part, 0) + records
        now = self._clock()
        if now >= self._next_ns:
            self._next_ns = now + _SAY_EVERY_NS
            self._say("still copying: " + ", ".join(in_words(of, number) for of, number in self._done.items()))

    def say(self, sentence: str) -> None:
        """Say a sentence."""
        self._say(sentence)


class _Bar:
    """Draw how many observations were copied of all."""

    def __init__(self, drawn: Progress, task: TaskID) -> None:
        self._drawn = drawn
        self._task = task

    def tell(self, part: Part, records: int) -> None:
        if part == "observations":
            self._drawn.advance(self._task, records)
        else:
            self._drawn.update(self._task, description=f"copying {in_words(part)}")

    def say(self, sentence: str) -> None:
        self._drawn.console.print(visible(sentence), markup=False, highlight=False)


def on_terminal() -> bool:
    """Return whether somebody watches."""
    return sys.stderr.isatty()


@contextmanager
def progress(total: int | None, done: int = 0) -> Generator[Watched]:
    """Yield what is told of each batch; ``total`` and ``done`` count observations."""
    if not total or not on_terminal():
        yield Lines()
        return
    try:
        from rich.console import Console  # noqa: PLC0415 - optional, and slow to import
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as drawn:
        task = drawn.add_task("copying spans", total=total, completed=done)
        yield _Bar(drawn, task)
