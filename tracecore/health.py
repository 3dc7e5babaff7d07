"""What is said of delivery: of everything before a moment, and of a recorder as a whole.

Of a recorder with several backends each of these is said of every one of them, by its location, in ``backends``; above
that stands the worst: what the slowest has delivered, and the most that one has pending or, by reason, has lost.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from tracecore.backend import Level

__all__ = ["BackendState", "FlushResult", "Health", "Recovered"]

BackendState: TypeAlias = Literal["up", "down", "probing"]
"""Whether the backend takes what it is sent; ``probing`` while it is tried again after several failures in a row."""


class FlushResult(Struct, frozen=True):
    """Say what became of everything emitted before, or of one trace."""

    delivered: bool
    """Nothing of it is pending, and none of it was lost while somebody waited or when the recorder ended; False, too,
    where nothing could be recorded because the configuration cannot be used (``health().last_error`` says why)."""
    pending: int
    """Records emitted and neither delivered nor lost; of a journal, those that wait there for the next process too."""
    lost: dict[str, int]
    """Records lost so far, by reason, zeros left out."""
    level: Level | None = "accepted"
    """What all of it survives, at least: accepted < handed_over < durable < received. None when some of it was lost."""
    backends: dict[str, FlushResult] = {}
    """The same for each backend, by its location, where there are several: ``delivered`` above means by all of them."""


class Health(Struct, frozen=True):
    """Describe a recorder at one moment: ``emitted == delivered + pending + sum(lost.values())``, exactly.

    With several backends that holds of each of ``backends``; ``emitted`` counts a record once, whatever their number.
    ``sampled`` counts traces left out by the sampling rate: they are not in ``emitted``. ``recovered`` are records that
    were delivered out of the journals of dead processes: they are in neither ``emitted`` nor ``delivered``.
    """

    state: Literal["new", "recording", "disabled", "closed"]
    location: str
    emitted: int
    delivered: int
    pending: int
    lost: dict[str, int]
    sampled: int
    open_spans: int
    buffer_depth: int
    last_error: str | None
    last_delivery_age_s: float | None
    restarts: int = 0
    """How often a pump that had died or hung was replaced."""
    backend_state: BackendState = "up"
    recovered: int = 0
    process: str = ""
    """The random id of this recorder in this process: ``service.instance.id``, and ``process`` in the ledger."""
    trouble: str | None = None
    """Why what is emitted now waits in memory although there should be a journal; None where all is well."""
    backends: dict[str, Health] = {}
    """The same for each backend, by its location, where there are several."""


class Recovered(Struct, frozen=True):
    """Say what became of the records that dead processes had left in the journal."""

    delivered: int
    lost: dict[str, int]
    """Records that could not be delivered, by reason, zeros left out."""
    complete: bool
    """All that was left for this recorder's backend has been delivered or lost: every home was looked into."""
    elsewhere: dict[str, int] = {}
    """Homes that were left to whoever delivers to another backend, by its location; nobody does so now."""
    why: str | None = None
    """What could not be looked into, and why; None where all could be, or the time was up before that was known."""
