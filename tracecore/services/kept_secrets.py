"""Secrets of an installation that nobody gave: made once, and kept in the catalog."""

from __future__ import annotations

import secrets
from typing import Final

from msgspec import Struct

from tracecore.catalog import INSTALLATION, CatalogStore, Entry, Put
from tracecore.errors import Conflict
from tracecore.kinds import Kind

__all__ = ["kept_secret"]

_BYTES: Final = 32


class _Secret(Struct, frozen=True):
    pepper: str


_KIND: Final = Kind("pepper", _Secret)


async def kept_secret(catalog: CatalogStore, purpose: str) -> bytes:
    """Return the secret for a purpose; of several processes that make one at once, all use the first."""
    kept = await catalog.get(INSTALLATION, _KIND.name, purpose)
    if kept is None:
        body = _KIND.body(_Secret(secrets.token_hex(_BYTES)))
        made = Entry(project=INSTALLATION, kind=_KIND.name, id=purpose, body=body)
        try:
            await catalog.commit([Put(made, 0)])
        except Conflict:
            kept = await catalog.get(INSTALLATION, _KIND.name, purpose)
        kept = kept or made
    return _KIND.of(kept).pepper.encode()
