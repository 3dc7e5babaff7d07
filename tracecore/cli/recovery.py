"""Deliver what dead processes left in a journal, by a recorder that emits nothing itself, and say what became of it.

The recorder does the work, as it does in a service (:meth:`tracecore.Recorder.recover`). What is here looks at the
directory before and after: the recorder passes over what it may not take, and a process may have died meanwhile.

Invariants: nothing is made where there is nothing to deliver; ``complete`` is said only of a directory in which nothing
is left that nobody has; nothing is handed to a backend that keeps it in the memory of this command.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import Backend
from tracecore.cli.journal_survey import KeptAside, SeenHome, Survey, survey
from tracecore.clock import monotonic_ns
from tracecore.config import Config
from tracecore.destinations import destination_of
from tracecore.errors import BackendUnavailable, TracecoreError
from tracecore.health import Health, Recovered
from tracecore.plugins import configured_urls, open_backend
from tracecore.recorder import Recorder

__all__ = ["Answer", "KeepsNothing", "recovered_from"]

_LOOK_EVERY: Final = 0.25
"""Seconds between the first two looks at how far it is."""
_LONGER: Final = 1.2
_LONGEST: Final = 2.0
_LAST_WORDS: Final = 2.0
"""Seconds for the ledger and for closing the backend, when the time for delivery is up."""


class KeepsNothing(TracecoreError):
    """Report a backend that would let go of what it is handed when this command ends."""

    def __init__(self, location: str) -> None:
        super().__init__(
            f"{location} would keep the records in the memory of this command, and lose them with it; "
            "name the backend of the service with --backend"
        )


class Answer(Struct, frozen=True):
    """Say what became of what dead processes had left."""

    before: Survey
    after: Survey
    location: str | None = None
    """Where it was delivered to; None where there was nothing to deliver."""
    delivered: int = 0
    lost: dict[str, int] = {}
    finished: bool = True
    """Whether the time sufficed."""
    last_error: str | None = None
    """What was the matter last, if anything was."""
    destinations: frozenset[str] | None = None
    """The only backends for which homes were adopted; None where it was to be every one."""

    @property
    def complete(self) -> bool:
        """Return whether nothing is left that nobody has."""
        return not (self.left or self.elsewhere or self.after.of("denied"))

    @property
    def elsewhere(self) -> dict[str, list[SeenHome]]:
        """Return the homes that wait for other backends, by those."""
        return self.after.elsewhere(self.destinations)

    @property
    def left(self) -> list[SeenHome]:
        """Return the homes that still hold records, and that nobody else has."""
        found = [home for home in self.after.left_for(self.destinations) if self.after.may_hold(home)]
        if not self.finished:  # what was begun may still be in our own hands
            begun = {home.name for home in self.begun}
            found += [home for home in self.after.of("in_use") if home.name in begun]
        return found

    @property
    def begun(self) -> list[SeenHome]:
        """Return the homes that were to be delivered."""
        return self.before.left_for(self.destinations)

    @property
    def kept_aside(self) -> list[KeptAside]:
        """Return the segments that were kept aside as damaged meanwhile."""
        return [segment for segment in self.after.damaged if segment not in self.before.damaged]

    @property
    def emptied(self) -> int:
        """Return how many of the homes that were left before are gone: what was whole in them was delivered."""
        still = {home.name for home in self.after.homes}
        return sum(home.name not in still for home in self.begun)


def recovered_from(
    config: Config, timeout: float, tell: Callable[[Survey, Health], object], *, everything: bool = False
) -> Answer:
    """Deliver within ``timeout`` seconds what is left in the journal of a configuration for its backend.

    With ``everything``, whatever backend it was left for. ``tell`` is called now and then with what was there and how
    it stands.

    Raises:
        CannotLook: the directory is no journal, or cannot be read.
        BackendRejected: the backend will never take anything.
        ConfigError: there is no such backend.
        KeepsNothing: the backend is this command's memory.
    """
    deadline_ns = monotonic_ns() + int(timeout * 1e9)
    before = survey(Path(config.journal_dir))
    answer = Answer(before, before, destinations=None if everything else _destinations(config))
    if answer.begun:
        answer = replace(answer, location=_checked(config, timeout))
    while here := _names_left(answer):
        answer = _one_round(config, answer, deadline_ns, lambda health: tell(before, health))
        # Others may have died meanwhile; what is as it was will stay so.
        if not answer.finished or here <= _names_left(answer):
            break
    return answer


def _names_left(answer: Answer) -> set[str]:
    return {home.name for home in answer.after.left_for(answer.destinations)}


def _backends(config: Config) -> list[Backend]:
    source = config.sources.get("backend", "code")
    return [open_backend(url, source=source) for url in configured_urls(config)]


def _destinations(config: Config) -> frozenset[str]:
    return frozenset(destination_of(backend.location) for backend in _backends(config))


def _checked(config: Config, timeout: float) -> str:
    """Return where the backends keep what they take; refuse one for which no time suffices, not one that is away."""
    backends = _backends(config)
    locations = " and ".join(backend.location for backend in backends)
    if all(backend.capabilities.level == "accepted" for backend in backends):
        raise KeepsNothing(locations)

    async def open_once(backend: Backend) -> None:
        try:
            with suppress(BackendUnavailable), anyio.move_on_after(timeout):
                await backend.open()
        finally:
            with anyio.move_on_after(_LAST_WORDS, shield=True):
                await backend.close()

    for backend in backends:
        anyio.run(open_once, backend)
    return locations


def _one_round(config: Config, answer: Answer, deadline_ns: int, tell: Callable[[Health], object]) -> Answer:
    """Let one recorder deliver until a moment of the monotonic clock; add what it did to the answer."""
    recorder, pause = Recorder(config), _LOOK_EVERY
    everything = answer.destinations is None
    with _without_log():
        try:
            recorder.start()
            while not _is_over(done := recorder.recover(_at_most(pause, deadline_ns), everything=everything)):
                if monotonic_ns() >= deadline_ns:
                    break
                pause = min(pause * _LONGER, _LONGEST)  # each begins with a look around, which may take longer
                tell(recorder.health())
        finally:
            recorder.shutdown(_LAST_WORDS)
    said = recorder.recover(0)  # with what the last batch has settled
    return replace(
        answer,
        after=survey(Path(config.journal_dir)),
        delivered=answer.delivered + said.delivered,
        lost=dict(Counter(answer.lost) + Counter(said.lost)),
        finished=_is_over(done),
        last_error=recorder.health().last_error,
    )


def _is_over(done: Recovered) -> bool:
    """Return whether nothing more can be done."""
    return done.complete or done.why is not None


def _at_most(seconds: float, deadline_ns: int) -> float:
    return max(0.0, min(seconds, (deadline_ns - monotonic_ns()) / 1e9))


@contextmanager
def _without_log() -> Generator[None]:
    """Keep the kernel from telling stderr, in words meant for a service's log, what the answer tells."""
    log, silent = logging.getLogger("tracecore"), logging.NullHandler()
    propagates, log.propagate = log.propagate, False
    log.addHandler(silent)
    try:
        yield
    finally:
        log.removeHandler(silent)
        log.propagate = propagates
