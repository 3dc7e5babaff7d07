"""What tests of lists and of deferred work ask of any backend."""

from __future__ import annotations

from tracecore.backend import Backend, ObservationQuery
from tracecore.testing.opening import observations_in
from tracecore.testing.samples import PROJECT

__all__ = ["found", "maintained"]


async def found(backend: Backend, query: ObservationQuery, project: str = PROJECT) -> list[str]:
    """Return the names of what a query finds."""
    return [one.name for one in (await observations_in(backend).find(project, query)).items]


async def maintained(backend: Backend) -> None:
    """Do all that was put off."""
    while await backend.maintain():
        pass
