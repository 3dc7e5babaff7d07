"""Waiting until all that dead processes left in a journal is delivered, as far as it is meant to be delivered here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from tracecore.health import Recovered
from tracecore.ring import Ring
from tracecore.station import Station
from tracecore.waiting import Waiter, wait

if TYPE_CHECKING:
    from tracecore.adoption import Adoption

__all__ = ["Delivering", "recovered"]


class Delivering(Protocol):
    """Deliver to one backend."""

    @property
    def ring(self) -> Ring[Any]:
        """Return the buffer that it is delivered from."""
        ...

    @property
    def station(self) -> Station:
        """Return where the pump is at work."""
        ...

    @property
    def adoption(self) -> Adoption | None:
        """Return what looks after the homes of dead processes; None without a journal."""
        ...


def recovered(channels: Sequence[Delivering], timeout: float, *, everything: bool) -> Recovered:
    """Have the journal's directory looked into now, and wait at most ``timeout`` seconds until that is delivered.

    With ``everything`` what was meant for none of these backends is delivered to the first that keeps what it takes.
    """
    adoptions = [channel.adoption for channel in channels if channel.adoption is not None]
    if not adoptions:
        return _told(channels, complete=True)
    if not all(channel.station.hosted for channel in channels):
        vain = "this recorder delivers nothing: it was not started, or is disabled"
        return Recovered(0, {}, complete=False, why=vain)
    taker = next((one for one in adoptions if not one.keeps_nothing), None) if everything else None
    with ExitStack() as searches:
        waiters = [Waiter(channel.ring, channel.station) for channel in channels]
        for adoption in adoptions:
            searches.enter_context(adoption.searching(everything=adoption is taker))
        wait(waiters, lambda: all(c.station.ended or not c.ring.recovering for c in channels), timeout)
    stands = [_stand(channel.ring, adoption) for channel, adoption in zip(channels, adoptions, strict=True)]
    why = next((why for _, why in stands if why is not None), None)
    complete = why is None and all(finished for finished, _ in stands)
    return _told(channels, complete=complete, why=why, elsewhere=_elsewhere(adoptions))


def _stand(ring: Ring[Any], adoption: Adoption) -> tuple[bool, str | None]:
    """Return whether nothing is left to be done, and what could not be looked into, and why."""
    finished = not ring.recovering
    why = adoption.trouble if finished else None
    if ring.closed:  # since then nothing has been looked for
        why = why or "this recorder was shut down: what has died since it looked the last time was not looked for"
    return finished, why


def _elsewhere(adoptions: Sequence[Adoption]) -> dict[str, int]:
    """Return how many homes were left to whoever delivers to another backend than any of these, by its location."""
    own = {adoption.destination for adoption in adoptions}
    found: dict[str, int] = {}
    for adoption in adoptions:
        for location, homes in adoption.elsewhere().items():
            if location not in own:
                found[location] = max(homes, found.get(location, 0))
    return found


def _told(
    channels: Sequence[Delivering], *, complete: bool, why: str | None = None, elsewhere: dict[str, int] | None = None
) -> Recovered:
    """Return what became of the records, added up over all backends: each home is delivered to one of them."""
    every = [channel.station.accounts.recovered for channel in channels]
    lost: Counter[str] = Counter()
    for counts in every:
        lost.update(counts.lost())
    delivered = sum(counts.delivered for counts in every)
    return Recovered(delivered, dict(lost), complete, elsewhere=elsewhere or {}, why=why)
