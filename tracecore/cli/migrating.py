"""How far the schema of each configured backend is behind this program, and bringing it up to date.

Invariants: looking changes nothing and makes no file; what is up to date already is not opened for writing; a schema of
a newer program is an error of the backend, before anything has changed.
"""

from __future__ import annotations

from typing import Final

import anyio
from msgspec import Struct
from msgspec.structs import replace

from tracecore.backend import Backend, Migratable, SchemaStatus

__all__ = ["Schema", "brought_up_to_date", "schema_of"]

_CLOSE_TIMEOUT: Final = 5.0


class Schema(Struct, frozen=True):
    """Say what schema the data of one backend has, and what becomes, or became, of it."""

    location: str
    version: int | None = None
    """None where the backend has no schema that could be behind."""
    newest: int | None = None
    pending: tuple[str, ...] = ()
    """The migrations to be run, as ``0004_scores``, in their order."""
    applied: tuple[str, ...] = ()
    """Those that were run, from the version that is named here."""

    @property
    def behind(self) -> bool:
        """Return whether there is something to be done."""
        return bool(self.pending)


async def schema_of(backend: Backend) -> Schema:
    """Return what opening a backend, which is not open yet, would do to its schema."""
    if not isinstance(backend, Migratable):
        return Schema(backend.location)
    status = await backend.schema()
    return Schema(backend.location, status.version, status.newest, _numbered(status))


async def brought_up_to_date(backend: Backend) -> Schema:
    """Bring the schema of a backend to the newest version by opening it, where it is behind."""
    before = await schema_of(backend)
    if not before.behind:
        return before
    try:
        await backend.open()
    finally:
        with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
            await backend.close()
    return replace(before, pending=(), applied=before.pending)


def _numbered(status: SchemaStatus) -> tuple[str, ...]:
    """Return the names of migrations as their files have them."""
    first = status.newest - len(status.pending) + 1
    return tuple(f"{number:04d}_{name}" for number, name in enumerate(status.pending, first))
