"""The URL of a database: ``postgresql://user:password@host:port/database?schema=tracecore&retention_days=30``.

What tracecore does not know is the driver's: hosts, ports, TLS and passwords are found as asyncpg finds them, in the
URL, in its parameters, in ``PG…`` variables and in ``~/.pgpass``. A parameter that neither knows is refused by name,
for the driver would hand it to the server as a setting, where a misspelt one stops every connection or does nothing.
"""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from tracecore.errors import BackendUnavailable, ConfigError

__all__ = ["Address", "parse"]

_SCHEMES: Final = ("postgresql", "postgres")
_EXPECTED: Final = (
    "postgresql://user@host:port/database (postgresql:///database for one on this machine), with ?schema=… or other "
    "parameters if wanted"
)
_ENCODED: Final = "%40, %2F, %3F and %23 for @, /, ? and #"
_LONGEST_NAME: Final = 63
"""Bytes of a name; PostgreSQL cuts longer ones."""
_MOST_DAYS: Final = 36_500.0
_OURS: Final = ("schema", "retention_days", "statement_cache_size", "secret_file", "synchronous_commit")
_DRIVERS: Final = (
    "host", "port", "dbname", "database", "user", "password", "passfile", "service", "sslmode", "sslcert", "sslkey",
    "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version",
    "target_session_attrs", "krbsrvname", "gsslib", "application_name", "options",
)  # fmt: skip
"""What asyncpg reads out of the URL, and the two settings of a session that it hands to the server."""
_PLACES: Final = ("host", "port", "dbname", "database", "service")
"""Parameters that say which database it is."""
_COMMITS: Final = ("on", "off", "local", "remote_write", "remote_apply")


class Address(Struct, frozen=True):
    """Say which database, which schema in it, and how it is kept."""

    dsn: str
    """The URL for the driver: with the credentials, without our own parameters."""
    location: str
    """The same for people: host, port, database and schema."""
    schema: str = "tracecore"
    statement_cache_size: int | None = None
    """None: the driver's; 0: no prepared statement outlives its use, as poolers want that hand connections around."""
    retention_days: float | None = None
    """For how many days traces are kept after they ended; None: for ever."""
    secret_file: str | None = None
    """The file with the password."""
    synchronous_commit: str | None = None
    """What a commit waits for; None: what the server says, but at least for its own disk."""
    application_name: str | None = None
    """None: ``tracecore``."""

    def password(self) -> str | None:
        """Return the password in the secret file, read anew each time, for it may have been changed; None without one.

        Raises:
            BackendUnavailable: the file cannot be read.
        """
        if self.secret_file is None:
            return None
        try:
            with open(self.secret_file, encoding="utf-8") as file:  # noqa: PTH123 - importing pathlib takes milliseconds
                return file.read().strip()
        except (OSError, UnicodeError) as error:
            raise BackendUnavailable(
                f"{self.location}: no password can be read from {self.secret_file}", f"check that file ({error})"
            ) from error

    def __repr__(self) -> str:
        return f"Address({self.location!r})"  # no credentials


def parse(url: str) -> Address:
    """Return what a URL says.

    Raises:
        ConfigError: the URL names no database, or has a parameter or a value that is not known.
    """
    parts = _split(url)
    ours: dict[str, str] = {}
    drivers: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in _OURS and key not in _DRIVERS:
            raise _refused(url, f"a parameter that is known ({', '.join(_OURS)}, or one of the driver's), not {key}")
        if key in ours or key in drivers:
            raise _refused(url, f"each parameter once, not {key} twice")
        (ours if key in _OURS else drivers)[key] = value
    schema = _schema(url, ours.get("schema", "tracecore"))
    commit = ours.get("synchronous_commit")
    if commit is not None and commit not in _COMMITS:
        raise _refused(url, f"synchronous_commit = one of {', '.join(_COMMITS)}, not {commit}")
    return Address(
        dsn=parts._replace(query=urlencode(drivers)).geturl(),
        location=_location(parts, drivers, schema),
        schema=schema,
        statement_cache_size=_count(url, ours.get("statement_cache_size")),
        retention_days=_days(url, ours.get("retention_days")),
        secret_file=_file(url, ours.get("secret_file")),
        synchronous_commit=commit,
        application_name=drivers.get("application_name"),
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and url.partition(":")[2].startswith("//")
        usable = usable and not parts.fragment and "\0" not in unquote(url)
        if "," not in parts.netloc:  # of several hosts each has its port, which the driver reads
            usable = usable and parts.port != 0
    except ValueError:  # it quotes what may be a piece of a password
        raise _refused(url, f"{_EXPECTED}; in a password {_ENCODED}") from None
    if parts.netloc.count("@") > 1 or "@" in parts.path or _is_torn(parts):
        raise _refused(url, f"an @ only behind the password, and in it {_ENCODED}")
    if not usable:
        raise _refused(url, _EXPECTED)
    return parts


def _is_torn(parts: SplitResult) -> bool:
    """Return whether a sign in a password has ended what should be the user, the password and the host."""
    return "@" not in parts.netloc and "@" in parts.query.partition("=")[0]


def _location(parts: SplitResult, drivers: dict[str, str], schema: str) -> str:
    """Return where the data is, without credentials. What is left to the environment is taken from there."""
    place: dict[str, str] = {key: drivers[key] for key in _PLACES if key in drivers}
    host, database = parts.netloc.rpartition("@")[2], parts.path.strip("/")
    if not host and not place.keys() & {"host", "service"}:
        host = os.environ.get("PGHOST", "")
    if not database and not place.keys() & {"dbname", "database", "service"}:
        database = os.environ.get("PGDATABASE", "")
    place["schema"] = schema
    return f"postgresql://{host}/{database}?{urlencode(place, quote_via=quote, safe='/,:')}"


def _schema(url: str, value: str) -> str:
    if not value or len(value.encode("utf-8", "replace")) > _LONGEST_NAME or value.startswith("pg_"):
        raise _refused(
            url, f"schema = a name of 1 to {_LONGEST_NAME} bytes that does not begin with pg_, not {value!r}"
        )
    return value


def _count(url: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise _refused(url, f"statement_cache_size = a whole number, not {value!r}")
    return int(value)


def _days(url: str, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        days = float(value)
    except ValueError:
        days = 0.0
    if not 0.0 < days <= _MOST_DAYS:
        raise _refused(url, f"retention_days = a number of days, above 0 and at most {_MOST_DAYS:.0f}, not {value!r}")
    return days


def _file(url: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not value:
        raise _refused(url, "secret_file = the path of a file")
    return os.path.abspath(value)  # noqa: PTH100 - Path.resolve would touch the disk


def _refused(url: str, expected: str) -> ConfigError:
    return ConfigError("backend", _shown(url), "backend URL", expected)


def _shown(url: str) -> str:
    """Return a URL without the passwords in it, also where one was written with signs that end it."""
    scheme, slashes, rest = url.partition("://" if "://" in url else ":")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    torn = "@" not in authority and ":" in authority and "@" in rest
    start, mark, query = (rest, "", "") if torn else rest.partition("?")
    credentials, at, place = start.rpartition("@")
    user, colon, _ = credentials.partition(":")
    pairs = [pair.partition("=") for pair in query.split("&")]
    kept = "&".join(f"{key}{equals}{'***' if 'password' in key.lower() else value}" for key, equals, value in pairs)
    return f"{scheme}{slashes}{user}{colon}{'***' if colon else ''}{at}{place}{mark}{kept}"
