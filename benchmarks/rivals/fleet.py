"""All rivals at work side by side: orders in interleaved rounds, and what became of each.

Nothing that a rival says of itself is believed: spans are those that its collector counted, or that were read back. One
that cannot be installed, fails, hangs, or does not send what it claims to capture stays in the tables, with the reason
instead of figures. One that loses spans keeps its figures, with the share that arrived; tracecore may not lose any.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, Self

from msgspec import Struct

from benchmarks.figures import Row, Settings
from benchmarks.machine import version_of
from benchmarks.measure import ratio, row_of
from benchmarks.progress import Step
from benchmarks.rivals import catalogue, environments
from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.environments import Environment
from benchmarks.rivals.member import Counts, Failed, Member

__all__ = ["AGAINST", "Fleet", "Standing", "Taken", "enlisted", "rows_of"]

AGAINST: Final = "this ÷ tracecore"
_WHOLE: Final = 0.9995
"""From here on a share is shown as all of it."""


class Taken(Struct, frozen=True):
    """Hold what a rival did in one round: its answer, and how many of the spans it made arrived."""

    answer: dict[str, Any]
    made: int
    at_once: int
    """Spans that had arrived when its flush returned."""
    counts: Counts


class Standing(Struct):
    """Say how a rival fares: what it did in each round, or why it is out."""

    name: str
    rival: Rival
    environment: Environment
    version: str = ""
    reason: str = ""
    taken: list[Taken] = []
    made: int = 0
    """Spans of all rounds, that which is thrown away included; so are the next two."""
    delivered: int = 0
    late: int = 0
    ended: bool = True
    """It ended by itself when told to."""

    @property
    def share(self) -> float:
        """Return which part of its spans arrived."""
        return ratio(self.delivered, self.made)

    @property
    def note(self) -> str:
        """Return what a reader must know beside a figure: the version, and what was wrong."""
        parts = [self.version]
        if self.made and self.share < _WHOLE:
            parts.append(f"{self.share:.1%} of its spans arrived")
        if self.late:
            parts.append(f"{ratio(self.late, self.made):.1%} after its flush had returned")
        if not self.ended:
            parts.append("had to be killed in the end")
        return ", ".join(filter(None, parts))

    def figures(self, of: Callable[[Taken], float]) -> list[float]:
        """Return one figure of each round."""
        return [of(taken) for taken in self.taken]


def enlisted(settings: Settings) -> list[Standing]:
    """Return the rivals that are meant, those included that are not installed; tracecore is always one of them."""
    return [_standing(name) for name in catalogue.chosen(settings.only)]


def _standing(name: str) -> Standing:
    rival = catalogue.rival_of(name)
    environment = environments.installed(name, rival)
    version = version_of("tracecore") if catalogue.is_ours(name) else ""
    return Standing(name, rival, environment, version, environment.reason)


class Fleet:
    """Start every rival that is installed, for the length of a block."""

    def __init__(self, settings: Settings, step: Step) -> None:
        self.standings = enlisted(settings)
        self._seed = settings.seed
        self._step = step
        self._members: dict[str, Member] = {}

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.push(self.__exit__)
            for standing in self.standings:
                if not standing.reason:
                    self._step(f"starting {standing.rival.title}", 0.0)
                    self._members[standing.name] = Member(standing.name, standing.rival, standing.environment)
                    self._attempt(standing, lambda standing=standing: self._started(standing))
            exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for standing in self.standings:
            if standing.name in self._members:
                standing.ended = self._members.pop(standing.name).close()

    def rounds(self, rounds: int, within: float, **order: Any) -> list[Standing]:
        """Give every rival the order once a round, in changing turn; the first round is thrown away.

        Raises:
            RuntimeError: tracecore failed, or lost a span.
        """
        chance = random.Random(self._seed)
        turn = list(self.standings)
        for number in range(rounds + 1):
            share = number / (rounds + 1)
            chance.shuffle(turn)
            for place, standing in enumerate(turn):
                what = f"round {number} of {rounds}" if number else "warm-up"
                self._step(f"{what}: {standing.name}", share + place / len(turn) / (rounds + 1))
                if standing.name in self._members:
                    self._attempt(standing, lambda standing=standing: self._ordered(standing, within, order))
                if not number:
                    standing.taken = []
        for standing in self.standings:
            self._attempt(standing, lambda standing=standing: _check_all(standing))
        return self.standings

    def _started(self, standing: Standing) -> None:
        started = self._members[standing.name].start()
        standing.version = standing.version or started["version"]

    def _ordered(self, standing: Standing, within: float, order: dict[str, Any]) -> None:
        """Give an order, count what arrives, and note both."""
        member = self._members[standing.name]
        answer = member.order(within, **order)
        made = answer["made"]
        at_once, counts = member.counted(made)
        standing.made += made
        standing.delivered += counts.spans
        standing.late += counts.spans - at_once
        _check(standing.rival, counts)
        standing.taken.append(Taken(answer, made, at_once, counts))

    def _attempt(self, standing: Standing, attempt: Callable[[], None]) -> None:
        """Do something with a rival; where that fails it is out, with the reason."""
        try:
            attempt()
        except Failed as failed:
            if catalogue.is_ours(standing.name):
                raise RuntimeError(f"{standing.name}: {failed}") from failed
            standing.reason = str(failed)
            standing.taken = []
            member = self._members.pop(standing.name, None)
            if member is not None:
                member.close(0.0)


def _check(rival: Rival, counts: Counts) -> None:
    """Raise unless a round delivered what a rival says that it captures."""
    if not counts.spans:
        raise Failed(f"nothing arrived: {counts.requests} requests to {list(counts.paths)}, {counts.undecodable}")
    if rival.captures and min(counts.inputs, counts.results) < counts.spans:
        raise Failed(
            f"it is to capture arguments and results: of {counts.spans} spans {counts.inputs} arrived with arguments,"
            f" {counts.results} with results"
        )


def _check_all(standing: Standing) -> None:
    """Raise where more spans were counted than made, or where tracecore lost one."""
    if standing.delivered > standing.made:
        raise Failed(f"{standing.delivered} spans were counted, {standing.made} made: its adapter counts them wrongly")
    if catalogue.is_ours(standing.name) and standing.delivered < standing.made:
        raise Failed(f"{standing.made} spans were made, {standing.delivered} are there")


def rows_of(
    standings: list[Standing],
    prefix: str,
    unit: str,
    of: Callable[[Standing], list[float]],
    *,
    what: str = "",
    note: Callable[[Standing], str] = lambda standing: standing.note,
    compared: bool = True,
) -> list[Row]:
    """Return a row for each rival: median, minimum and spread of its figures, and their ratio to tracecore's."""
    figures = {standing.name: of(standing) for standing in standings if not standing.reason}
    ours = statistics.median(figures[catalogue.OURS]) if compared and catalogue.OURS in figures else 0.0
    rows: list[Row] = []
    for standing in standings:
        key, label = f"{prefix}.{standing.name}", f"{standing.rival.title}{what}"
        if standing.reason:
            rows.append(Row(key=key, label=label, unit=unit, value=None, note=standing.reason))
            continue
        taken = figures[standing.name]
        ratios = {AGAINST: ratio(statistics.median(taken), ours)} if ours else {}
        rows.append(row_of(key, label, unit, taken, ratios=ratios, note=note(standing)))
    return rows
