"""Which migrations some data has not seen yet, and when it is not ours to touch: the rules, the same for every dialect.

A schema of a newer tracecore, or one that another build made, is refused before anything is changed in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracecore.backend import SchemaStatus
from tracecore.errors import BackendRejected
from tracecore_sql.statements import Migration

__all__ = ["missing", "status"]


def missing(place: str, known: Sequence[Migration], applied: Mapping[int, str], *, other: str) -> list[Migration]:
    """Return the migrations that are not among the applied ones, which are given as version and checksum.

    ``place`` is where the data is and ``other`` what else may be used, for people.

    Raises:
        BackendRejected: the data is of a newer or of another tracecore.
    """
    newest = max(applied, default=0)
    if newest > len(known):
        raise BackendRejected(
            f"{place} has schema {newest} and this tracecore knows {len(known)}", f"upgrade tracecore or use {other}"
        )
    for step in known:
        if applied.get(step.version, step.checksum) != step.checksum:
            raise BackendRejected(
                f"{place} was made by another build: migration {step.version} differs", "use the build that made it"
            )
    return [step for step in known if step.version not in applied]


def status(known: Sequence[Migration], waiting: Sequence[Migration]) -> SchemaStatus:
    """Return how far some data is behind, of whose migrations some are waiting."""
    return SchemaStatus(len(known) - len(waiting), len(known), tuple(step.name for step in waiting))
