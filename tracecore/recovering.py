"""Waiting until all that dead processes left in a journal is delivered, as far as it is meant to be delivered here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracecore.health import Recovered
from tracecore.ring import Ring
from tracecore.station import Station
from tracecore.waiting import Waiter

if TYPE_CHECKING:
    from tracecore.adoption import Adoption

__all__ = ["recovered"]


def recovered(
    ring: Ring[Any], station: Station, adoption: Adoption | None, timeout: float, *, everything: bool
) -> Recovered:
    """Have the journal's directory looked into now, and wait at most ``timeout`` seconds until that is delivered.

    With ``everything`` it is delivered whatever backend it was meant for.
    """
    waiter = Waiter(ring, station)
    if adoption is None:
        counts = station.accounts.recovered
        return Recovered(counts.delivered, counts.lost(), complete=True)
    if not station.hosted:
        vain = "this recorder delivers nothing: it was not started, or is disabled"
        return Recovered(0, {}, complete=False, why=vain)
    with adoption.searching(everything=everything):
        waiter.wait(lambda: station.ended or not ring.recovering, timeout)
    finished = not ring.recovering
    why = adoption.trouble if finished else None
    if ring.closed:  # since then nothing has been looked for
        why = why or "this recorder was shut down: what has died since it looked the last time was not looked for"
    counts = station.accounts.recovered
    complete = finished and why is None
    return Recovered(counts.delivered, counts.lost(), complete, elsewhere=adoption.elsewhere(), why=why)
