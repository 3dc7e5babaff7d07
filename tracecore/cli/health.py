"""What doctor looks at: versions, settings, whether the backend answers, delivery; and what to do about what is wrong.

Invariants: nothing is created or changed unless a write was asked for; no finding shows credentials; every problem says
what to do.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio

from tracecore.backend import Backend, ObservationQuery, TraceQuery
from tracecore.cli.delivery_findings import delivery_findings
from tracecore.cli.findings import Finding
from tracecore.cli.options import importing_as_the_program_does
from tracecore.cli.reading import NoTracesYet, opened
from tracecore.clock import wall_ns
from tracecore.config import Config, without_credentials
from tracecore.config_sources import ignored_variables
from tracecore.errors import ConfigError, TracecoreError
from tracecore.plugins import open_backend
from tracecore.records import Span

__all__ = ["backend_findings", "mask_finding", "settings", "settings_findings", "versions"]

_PACKAGES: Final = ("tracecore", "msgspec", "anyio", "aiosqlite", "click", "rich", "uvloop")
_SAFE_SQLITE: Final = (3, 51, 3)
_PROBE: Final = Span("tracecore-doctor", "0" * 31 + "1", "0" * 15 + "1", "doctor", 0, duration_ns=0)
"""Always the same record: probing again writes nothing new."""


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
    """Return every setting with its value, without credentials, and its source."""
    return {
        key: {"value": _shown(getattr(config, key)), "source": source}
        for key, source in config.sources.items()
        if key != "mask"  # has a finding of its own
    }


def settings_findings(environ: Mapping[str, str]) -> list[Finding]:
    """Return what there is to say about the configuration and what it runs on."""
    ignored = ignored_variables(environ, Config.__struct_fields__)
    known = "the settings are those above, in upper case"
    findings = [Finding(f"environment variable {name} is no setting and is ignored", remedy=known) for name in ignored]
    if sqlite3.sqlite_version_info < _SAFE_SQLITE:
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


async def backend_findings(config: Config, *, write: bool) -> list[Finding]:
    """Return whether the backend can be opened and read and, if asked for, written to; and what its ledger says."""
    findings: list[Finding] = []
    if write:
        findings.append(await _written(config))
    try:
        async with opened(config) as backend:
            findings.append(await _answer(backend, config.project))
            findings += await delivery_findings(backend, config.project, wall_ns())
    except NoTracesYet:
        findings.append(_place_for_file(open_backend(config.backend, access="read").location))
    except TracecoreError as error:
        findings.append(Finding(str(error), ok=False, remedy="see the sentence above; --backend names another place"))
    return findings


async def _answer(backend: Backend, project: str) -> Finding:
    started = wall_ns()
    if backend.traces is not None:
        page = await backend.traces.find(project, TraceQuery(limit=1))
        what = "has traces" if page.items else "has no traces yet"
    elif backend.observations is not None:
        found = await backend.observations.find(project, ObservationQuery(limit=1))
        what = "has spans" if found.items else "has no spans yet"
    else:
        return Finding(f"{backend.location} can be opened; it offers nothing to read")
    took = (wall_ns() - started) / 1e6
    return Finding(f"{backend.location} answered in {took:.1f} ms; project {project!r} {what}")


async def _written(config: Config) -> Finding:
    backend = open_backend(config.backend, source=config.sources["backend"])
    try:
        await backend.open()
        await backend.write([_PROBE])
    except TracecoreError as error:
        return Finding(f"writing failed: {error}", ok=False, remedy="until this is mended, what is recorded is lost")
    finally:
        with anyio.move_on_after(5, shield=True):
            await backend.close()
    return Finding(f"{backend.location} can be written to (one record in project {_PROBE.project!r})")


def _place_for_file(location: str) -> Finding:
    folder = Path(location).absolute().parent
    if not folder.is_dir():
        return Finding(
            f"{folder} does not exist, so that no file can be made there", ok=False, remedy=f"mkdir -p {folder}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            f"{folder} cannot be written to", ok=False, remedy="give this user access, or set another backend"
        )
    return Finding(f"{location} does not exist yet; the first span makes it")


def _shown(value: object) -> object:
    if isinstance(value, str):
        return without_credentials(value)
    return value if isinstance(value, int | float | None) else getattr(value, "__qualname__", repr(value))
