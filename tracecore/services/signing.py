"""URLs that are their own credential: they say what they permit and until when, and only this installation signs them.

The key is derived from ``TRACECORE_PEPPER``; without that it is made once and kept in the catalog, beside the pepper.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from tracecore.catalog import CatalogStore
from tracecore.errors import AccessDenied
from tracecore.services.kept_secrets import kept_secret

__all__ = ["Signer"]

T = TypeVar("T", bound=Struct)
_PURPOSE: Final = b"tracecore signed URLs"
_LONGEST: Final = 4096


class Signer:
    """Sign statements, and read what was signed here. A statement has a field ``expires_ns``."""

    def __init__(self, catalog: CatalogStore, pepper: str | None = None) -> None:
        self._catalog = catalog
        self._key = _derived(pepper.encode()) if pepper else None

    async def sign(self, statement: Struct) -> str:
        """Return a statement as a text for a URL, with its signature; whoever has it can read it."""
        said = msgspec.json.encode(statement)
        return f"{_text(said)}.{_text(await self._signature(type(statement).__name__, said))}"

    async def read(self, text: str, kind: type[T], *, now_ns: int) -> T:
        """Return the statement that was signed.

        Raises:
            AccessDenied: it was not signed here, says something else, or holds no more.
        """
        said, signature = _parts(text)
        expected = await self._signature(kind.__name__, said)
        if not hmac.compare_digest(signature, expected):
            raise AccessDenied("this URL was not made here, or was changed; ask for another one")
        statement = msgspec.json.decode(said, type=kind)
        if now_ns >= getattr(statement, "expires_ns", 0):
            raise AccessDenied("this URL has expired; ask for another one")
        return statement

    async def _signature(self, kind: str, said: bytes) -> bytes:
        if self._key is None:
            self._key = _derived(await kept_secret(self._catalog, "urls"))
        return hmac.digest(self._key, kind.encode() + b"\0" + said, "sha256")


def _derived(pepper: bytes) -> bytes:
    return hmac.digest(pepper, _PURPOSE, "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _parts(text: str) -> tuple[bytes, bytes]:
    said, _, signature = text.partition(".")
    try:
        if len(text) > _LONGEST or not text.isascii():
            return b"", b""
        return _bytes(said), _bytes(signature)
    except (binascii.Error, ValueError):
        return b"", b""


def _bytes(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(data) != text:  # the last character has bits that mean nothing
        raise ValueError("this is not how it is written")
    return data
