"""What doctor looks at besides backends and the journal: versions and settings, and what to do about what is wrong.

Invariants: nothing is created or changed; no finding shows credentials; every problem says what to do.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from tracecore.cli.findings import Finding
from tracecore.cli.options import importing_as_the_program_does
from tracecore.config import Config, urls_in
from tracecore.config_sources import ignored_variables
from tracecore.errors import ConfigError
from tracecore.plugins import known_schemes

__all__ = ["mask_finding", "settings", "settings_findings", "versions"]

_PACKAGES: Final = ("tracecore", "msgspec", "anyio", "aiosqlite", "asyncpg", "httpx2", "click", "rich", "uvloop")
_SAFE_SQLITE: Final = (3, 51, 3)


def versions() -> dict[str, str | None]:
    """Return the version of everything that matters, None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def settings(config: Config) -> dict[str, dict[str, Any]]:
    """Return every setting with its value, without credentials, its source, and those that this one overrode."""
    shown = config.shown()
    return {
        key: {"value": _shown(shown[key]), "source": source, "overrode": config.overridden.get(key, ())}
        for key, source in config.sources.items()
        if key != "mask"  # has a finding of its own
    }


def settings_findings(environ: Mapping[str, str], backend: str) -> list[Finding]:
    """Return what there is to say about the configuration and what it runs on; ``backend`` is what is configured."""
    ignored = ignored_variables(environ, Config.__struct_fields__)
    known = "the settings are those above, in upper case"
    findings = [Finding(f"environment variable {name} is no setting and is ignored", remedy=known) for name in ignored]
    kept_in_sqlite = any(url.lower().startswith("sqlite:") for url in urls_in(backend, known_schemes()))
    if kept_in_sqlite and sqlite3.sqlite_version_info < _SAFE_SQLITE:
        wanted = ".".join(map(str, _SAFE_SQLITE))
        older = f"SQLite {sqlite3.sqlite_version} is older than {wanted}"
        findings.append(Finding(older, remedy="let only one process write to a file at a time"))
    return findings


def mask_finding() -> Finding:
    """Return whether the masking function can be imported, with the working directory on the path.

    Only the program that records needs it, so no other command imports it.
    """
    try:
        with importing_as_the_program_does():
            mask = Config.load().mask
    except ConfigError as error:
        return Finding(str(error), ok=False, remedy="name a mask that exists: without it nothing is recorded")
    return Finding("no mask is set: payloads are kept as they are" if mask is None else f"mask: {_shown(mask)}")


def _shown(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else getattr(value, "__qualname__", repr(value))
