"""Credentials of a remote place: where they come from, the header they become, and that nobody sees them.

A user and a password are sent as Basic, a password alone as a Bearer token. A password may be in a file of its own,
which is read when it is first needed, and again after it was refused: whoever mends it need not start anything again.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from tracecore.errors import BackendUnavailable

__all__ = ["SPEAKABLE", "Credentials", "Key", "is_token"]

SPEAKABLE: Final = "a token of printable ASCII characters without blanks around it"
"""What a header can say, in words."""

_MOST_CHARACTERS: Final = 4096
_HIDDEN: Final = "***"


def is_token(text: str) -> bool:
    """Return whether a header can say a text; what cannot be said would be quoted in an error."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


class Credentials(Struct, frozen=True):
    """Say who asks. Not to be shown; ``repr`` does not."""

    user: str = ""
    password: str | None = None
    secret_file: str | None = None
    """Absolute path of a file that holds the password, or ``user:password``, and nothing else."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers of each request, which may be secrets too."""

    @property
    def mark(self) -> str:
        """Return what tells whoever asks from others, and says nothing of them: some digits of a hash, or nothing.

        It is of the user where there is one, so that a new password makes nobody another.
        """
        who = self.user or self.secret_file or self.password or ""
        return sha256(repr((who, self.headers)).encode()).hexdigest()[:16] if who or self.headers else ""

    def __repr__(self) -> str:
        return "Credentials(***)"


class Key:
    """Hold the credentials that are in use."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._pair: tuple[str, str] | None = None

    def pair(self) -> tuple[str, str] | None:
        """Return user and password, or None where there are none; read the file if that was not done yet.

        Raises:
            BackendUnavailable: the file cannot be read.
        """
        if self._pair is None:
            self._pair = self._read()
        return self._pair

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers that say who asks."""
        found = list(self._credentials.headers)
        pair = self.pair()
        if pair is not None and not any(name == "authorization" for name, _ in found):
            found.append(("authorization", _authorization(*pair)))
        return found

    @property
    def kind(self) -> str:
        """Return in words how it is said who asks, without saying it.

        Raises:
            BackendUnavailable: the file cannot be read.
        """
        said = next((value for name, value in self.headers() if name == "authorization"), "")
        known = {"": "none", "Basic": "user and password", "Bearer": "a token"}
        return known.get(said.partition(" ")[0], "a header")

    def forget(self) -> None:
        """Read the file again when the credentials are next needed: these were refused."""
        self._pair = None

    def hide(self, text: str) -> str:
        """Return a text of the other side without our secrets, which it may have sent back."""
        secrets = [value for _, value in self._credentials.headers]
        if self._pair is not None:
            secrets += [self._pair[1], _authorization(*self._pair).partition(" ")[2]]
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    def _read(self) -> tuple[str, str] | None:
        mine = self._credentials
        if mine.secret_file is None:
            return None if mine.password is None else (mine.user, mine.password)
        secret = _text_of(mine.secret_file)
        if not mine.user and ":" in secret:
            user, _, password = secret.partition(":")
            return user, password
        if not mine.user and not is_token(secret):
            raise _useless(mine.secret_file, f"without a user it must hold {SPEAKABLE}")
        return mine.user, secret


def _authorization(user: str, password: str) -> str:
    if not user:
        return f"Bearer {password}"
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _text_of(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            secret = file.read(_MOST_CHARACTERS + 1).strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise BackendUnavailable(f"the secret file {path} cannot be read: {why}", "mend it", retry_after=5.0) from error
    if not 1 <= len(secret) <= _MOST_CHARACTERS or not secret.isprintable():
        raise _useless(path, f"it must hold one line of 1 to {_MOST_CHARACTERS} characters")
    return secret


def _useless(path: str, remedy: str) -> BackendUnavailable:
    return BackendUnavailable(f"the secret file {path} holds no secret", remedy, retry_after=5.0)
