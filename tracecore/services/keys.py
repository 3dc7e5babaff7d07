"""API keys: 256 random bits that reach one project, of which only a keyed hash is kept.

A key is a public part, which names it, and a secret one. Kept is HMAC-SHA-256 of the secret under the installation's
pepper: secrets are random, so that a slow hash would only cost time, and who has the file without the pepper cannot
even try. The pepper is what ``TRACECORE_PEPPER`` holds, or else is made once and kept in the catalog.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tracecore.catalog import INSTALLATION, CatalogQuery, CatalogStore, Entry, Put
from tracecore.errors import AccessDenied, ConfigError, Conflict, NotFound
from tracecore.kinds import Kind
from tracecore.services.access import KEY_SCOPES, KeyScope, Principal
from tracecore.services.kept_secrets import kept_secret

__all__ = ["REVOKED_AFTER_NS", "ApiKey", "Keys", "NewKey"]

_PUBLIC: Final = "pk-tc-"
_SECRET: Final = "sk-tc-"  # noqa: S105 - how a secret begins, so that scanners find one that leaked
_SECRET_BYTES: Final = 32
_SHORTEST_SECRET: Final = 8
_LONGEST: Final = 200
REVOKED_AFTER_NS: Final = 5_000_000_000
"""How long after its revocation a key may still be admitted somewhere: servers remember keys for a moment."""


class ApiKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Describe a key; the secret itself is nowhere."""

    public_key: str
    project: str
    secret_hash: str
    """HMAC-SHA-256 of the secret, in hexadecimal."""
    hint: str
    """The secret's beginning and end, for people."""
    note: str = ""
    scope: KeyScope = "all"
    created_ns: int = 0
    expires_ns: int | None = None
    revoked_ns: int | None = None
    last_used_ns: int | None = None

    def holds(self, now_ns: int) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)


class NewKey(Struct, frozen=True):
    """Hold a key that was just made, with the secret that is shown this once."""

    key: ApiKey
    secret: str


_KIND: Final = Kind("api_key", ApiKey)


class Keys:
    """Make, check and revoke keys."""

    def __init__(self, catalog: CatalogStore, pepper: str | None = None) -> None:
        self._catalog = catalog
        self._pepper = pepper.encode() if pepper else None

    async def create(
        self,
        project: str,
        *,
        now_ns: int,
        note: str = "",
        scope: KeyScope = "all",
        expires_ns: int | None = None,
        public_key: str | None = None,
        secret: str | None = None,
    ) -> NewKey:
        """Make a key; both parts may be given, where they have to be known beforehand.

        Raises:
            ConfigError: a part that was given cannot be one.
            Conflict: there is one with this public part already.
        """
        public_key = _given("public key", public_key) or _PUBLIC + secrets.token_hex(16)
        secret = _given("secret key", secret) or _SECRET + secrets.token_urlsafe(_SECRET_BYTES)
        key = ApiKey(
            public_key=public_key, project=project, secret_hash=await self._hash(secret),
            hint=f"{secret[:6]}…{secret[-4:]}", note=note, scope=scope, created_ns=now_ns, expires_ns=expires_ns,
        )  # fmt: skip
        await self._catalog.commit([Put(_entry(key), 0)])
        return NewKey(key, secret)

    async def check(self, public_key: str, secret: str, *, now_ns: int) -> Principal:
        """Return who this is.

        Raises:
            AccessDenied: there is no such key, it does not hold any more, or the secret is another one.
        """
        key = await self._known(public_key)
        # The hash is made and compared in any case: how long it takes says nothing about which keys there are.
        same = hmac.compare_digest(await self._hash(secret), key.secret_hash if key else "0" * 64)
        if key is None or not same or not key.holds(now_ns):
            raise AccessDenied("Invalid credentials. Confirm that the public and the secret key belong together.")
        return Principal(key.project, key.public_key, KEY_SCOPES[key.scope])

    async def check_public(self, public_key: str, *, now_ns: int) -> Principal:
        """Return who a public part alone stands for: somebody who may give scores, such as a browser.

        Raises:
            AccessDenied: there is no such key, or it does not hold any more.
        """
        key = await self._known(public_key)
        if key is None or not key.holds(now_ns):
            raise AccessDenied("Invalid public key.")
        return Principal(key.project, key.public_key, KEY_SCOPES["scores"] & KEY_SCOPES[key.scope])

    async def of_project(self, project: str) -> list[ApiKey]:
        """Return the keys of a project, the newest first."""
        query = CatalogQuery(kind=_KIND.name, parent=project)
        return [_KIND.of(entry) for entry in await _KIND.every(self._catalog, INSTALLATION, query)]

    async def revoke(self, project: str, public_key: str, *, now_ns: int) -> ApiKey:
        """Make a key hold no more; it stays listed.

        Raises:
            NotFound: the project has no such key.
        """
        return await self._change(project, public_key, revoked_ns=now_ns)

    async def used(self, public_key: str, *, now_ns: int) -> None:
        """Note when a key was used last; one that is gone, or changes meanwhile, is left alone."""
        entry = await self._catalog.get(INSTALLATION, _KIND.name, public_key)
        if entry is not None:
            key = replace(_KIND.of(entry), last_used_ns=now_ns)
            try:
                await self._catalog.commit([Put(_entry(key), entry.revision)])
            except Conflict:
                return

    async def _known(self, public_key: str) -> ApiKey | None:
        entry = await self._catalog.get(INSTALLATION, _KIND.name, public_key)
        return None if entry is None else _KIND.of(entry)

    async def _change(self, project: str, public_key: str, **changes: int) -> ApiKey:
        while True:
            entry = await self._catalog.get(INSTALLATION, _KIND.name, public_key)
            if entry is None or entry.parent != project:
                raise NotFound("key", public_key, "see those of the project with `tracecore key list`")
            key = replace(_KIND.of(entry), **changes)
            try:
                await self._catalog.commit([Put(_entry(key), entry.revision)])
            except Conflict:
                continue  # somebody noted that it was used
            return key

    async def _hash(self, secret: str) -> str:
        if self._pepper is None:
            self._pepper = await kept_secret(self._catalog, "keys")
        return hmac.digest(self._pepper, secret.encode("utf-8", "surrogatepass"), "sha256").hex()


def _entry(key: ApiKey) -> Entry:
    return Entry(
        project=INSTALLATION, kind=_KIND.name, id=key.public_key, parent=key.project, body=_KIND.body(key),
        position=key.created_ns,
    )  # fmt: skip


def _given(what: str, text: str | None) -> str | None:
    if text is None:
        return None
    if not (_SHORTEST_SECRET <= len(text) <= _LONGEST and text.isascii() and text.isprintable() and ":" not in text):
        shown = text if what == "public key" else "…"
        raise ConfigError(what, shown, "the request", "8 to 200 printable ASCII characters without ':'")
    return text
