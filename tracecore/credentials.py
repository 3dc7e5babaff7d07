"""The secret of a backend joins its URL at the last moment: when a plug-in is about to make the backend.

Until then they are apart, so that the URL can be shown, kept and passed on. The secret becomes the password of the
URL's user, percent-encoded, which is what every plug-in reads anyway.

Invariants: a URL that holds a credential, or says where one is, stays as it is; one without host and user is given
none; where it is not plain whose the secret is, nobody gets it; no error shows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tracecore.config import Config, without_credentials
from tracecore.errors import ConfigError

__all__ = ["has_place_for_secret", "secret_of", "takes_secret", "with_secret"]

_PARTS: Final = re.compile(r"(?P<before>[^:/?#]+://)(?:(?P<user>[^/?#]*)@)?(?P<host>[^/?#@]*)(?P<rest>.*)", re.DOTALL)
_OTHER_WAYS: Final = re.compile(
    r"[?&](?:secret_file|password|passfile|header\.(?:x-)?(?:authorization|api-key))=", re.IGNORECASE
)
_NO_HOST: Final = frozenset({"memory"})
"""Schemes whose ``//name`` is no host."""
_LARGEST: Final = 4096
"""Characters of a secret in a file of its own."""


def secret_of(config: Config) -> str | None:
    """Return the secret that is set: the value itself before that of the file.

    Raises:
        ConfigError: the file cannot be read, or what is in it is no secret.
    """
    if config.secret is not None or config.secret_file is None:
        return config.secret
    source = config.sources["secret_file"]
    try:
        with Path(config.secret_file).open(encoding="utf-8-sig") as file:  # some editors begin with a mark
            secret = file.read(4 * _LARGEST).strip()  # a device has no end
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        expected = f"the path of a file that can be read ({why})"
        raise ConfigError("secret_file", config.secret_file, source, expected) from error
    if not 1 <= len(secret) <= _LARGEST:
        expected = f"the path of a file that holds a secret of 1 to {_LARGEST} characters, not of {len(secret):,}"
        raise ConfigError("secret_file", config.secret_file, source, expected)
    return secret


def has_place_for_secret(url: str) -> bool:
    """Return whether a URL names a host or a user, who may be asked for a secret."""
    found = _PARTS.fullmatch(url)
    return bool(found and (found["user"] or found["host"])) and url.partition(":")[0].lower() not in _NO_HOST


def takes_secret(url: str) -> bool:
    """Return whether a URL names a host or a user, and no credential for it nor where one is."""
    found = _PARTS.fullmatch(url)
    if found is None or not has_place_for_secret(url):
        return False
    return not (found["user"] or "").partition(":")[2] and _OTHER_WAYS.search(found["rest"]) is None


def with_secret(urls: Sequence[str], config: Config) -> list[str]:
    """Return the URLs, and in the one that lacks a secret the one that is set.

    Raises:
        ConfigError: several lack one, so that nobody knows whose it is; or it cannot be read.
    """
    lacking = [place for place, url in enumerate(urls) if takes_secret(url)]
    if not lacking or (secret := secret_of(config)) is None:
        return list(urls)
    if len(lacking) > 1:
        raise _whose(config, [urls[place] for place in lacking])
    return [_joined(url, secret) if place in lacking else url for place, url in enumerate(urls)]


def _joined(url: str, secret: str) -> str:
    found = _PARTS.fullmatch(url)
    if found is None:  # it would not have been lacking
        return url
    user = (found["user"] or "").partition(":")[0]
    return f"{found['before']}{user}:{quote(secret, safe='')}@{found['host']}{found['rest']}"


def _whose(config: Config, urls: Sequence[str]) -> ConfigError:
    named = " and ".join(map(without_credentials, urls))
    expected = f"one backend without a secret, not {named}: add ?secret_file=PATH, or user:password@, to each URL"
    key = "secret_file" if config.secret is None else "secret"
    return ConfigError(key, "***", config.sources[key], expected)
