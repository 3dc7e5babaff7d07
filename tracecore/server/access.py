"""The gate: from the credentials of a request to a principal, and whether it may.

``Authorization: Basic base64(public:secret)`` is the whole key; ``Bearer public`` the public part alone, which may only
give scores (wire contract of Langfuse). What a key stands for is remembered for some seconds, so that a burst of
requests does not read it again and again; a key that is revoked elsewhere is refused at most that much later.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final

from starlette.requests import Request

from tracecore.errors import AccessDenied
from tracecore.server.problems import Refusal
from tracecore.services.access import KEY_SCOPES, Permission, Principal
from tracecore.services.keys import Keys

__all__ = ["Gate", "Known"]

KNOWN_FOR_NS: Final = 3_000_000_000
"""How long an answer about a key is remembered; revocation is promised to hold within 5 s."""
_MOST_KNOWN: Final = 10_000
_LONGEST: Final = 1000
"""Characters of a credential: keys are shorter, and none that is longer is remembered."""

Known = tuple[int, Principal | None]
"""Until when, on the monotonic clock, and who."""


class Gate:
    """Admit requests, or refuse them."""

    def __init__(self, keys: Keys, *, wall: Callable[[], int], clock: Callable[[], int]) -> None:
        self._keys = keys
        self._wall = wall
        self._clock = clock
        self._known: dict[str, Known] = {}
        self.used: Final[dict[str, int]] = {}
        """When each key was used last, as far as nobody has noted it yet: wall clock, ns."""

    async def admit(self, request: Request, *permissions: Permission) -> Principal:
        """Return who asks, if one of the permissions is theirs.

        Raises:
            Refusal: 401 for a credential that is none, 403 for one that does not reach so far.
        """
        header = request.headers.get("authorization", "")
        principal = await self._principal(header)
        request.scope["key"] = principal.key
        if not any(principal.may(permission) for permission in permissions):
            raise Refusal(403, "AccessDenied", _denied(permissions))
        return principal

    def forget(self, public_key: str | None = None) -> None:
        """Forget what is known: of one key that was changed in this process, or of all."""
        self._known.clear()
        if public_key is not None:
            self.used.pop(public_key, None)

    async def _principal(self, header: str) -> Principal:
        if len(header) > _LONGEST:
            raise _unauthorized(f"the authorization is longer than {_LONGEST} characters")
        now = self._clock()
        until, principal = self._known.get(header, (0, None))
        if now >= until:
            principal = await self._asked(header)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[header] = (now + KNOWN_FOR_NS, principal)
        if principal is None:
            raise _unauthorized("Invalid credentials. Confirm that you've configured the correct host and keys.")
        self.used[principal.key] = self._wall()
        return principal

    async def _asked(self, header: str) -> Principal | None:
        scheme, _, given = header.partition(" ")
        try:
            if scheme.lower() == "basic":
                public, _, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
                return await self._keys.check(public, secret, now_ns=self._wall())
            if scheme.lower() == "bearer":
                return await self._keys.check_public(given.strip(), now_ns=self._wall())
        except (AccessDenied, binascii.Error, UnicodeDecodeError):
            return None
        raise _unauthorized("No authorization header" if not header else "Use Basic authorization: public:secret key")


def _unauthorized(message: str) -> Refusal:
    return Refusal(401, "Unauthorized", message)


def _denied(permissions: Sequence[Permission]) -> str:
    scopes = [scope for scope, may in KEY_SCOPES.items() if not may.isdisjoint(permissions)]
    return f"this key does not permit {' or '.join(permissions)}; use one of the scope {' or '.join(scopes)}"
