"""What doctor finds out about each configured backend: whether it answers, what it can do, and what its ledger says.

Invariants: nothing is created or changed unless a write was asked for; no finding shows credentials; every problem says
what to do; a backend that does not answer is not waited for longer than some seconds.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

from tracecore.backend import Backend, Capabilities, Inspectable, ObservationQuery, TraceQuery
from tracecore.cli.delivery_findings import delivery_findings
from tracecore.cli.figures import count, duration
from tracecore.cli.findings import Finding
from tracecore.cli.migrating import schema_of
from tracecore.cli.reading import NoTracesYet, opened_to_read
from tracecore.clock import monotonic_ns, wall_ns
from tracecore.config import Config, urls_in
from tracecore.credentials import has_place_for_secret, secret_of, takes_secret
from tracecore.errors import BackendError, BackendUnavailable, ConfigError, TracecoreError
from tracecore.plugins import configured_urls, known_schemes, open_backend, open_to_read
from tracecore.records import Span

__all__ = ["backend_findings"]

_PROBE: Final = Span("tracecore-doctor", "0" * 31 + "1", "0" * 15 + "1", "doctor", 0, duration_ns=0)
"""Always the same record: probing again writes nothing new."""
_PATIENCE: Final = 15.0
"""Seconds that a backend has for everything it is asked."""
_ELSEWHERE: Final = "mend that, or name another place with --backend"
_LOST: Final = "until this is mended, what is recorded is lost"


async def backend_findings(config: Config, *, write: bool) -> list[Finding]:
    """Return what there is to say about every configured backend; with ``write``, whether it can be written to."""
    try:
        urls = configured_urls(config)
        findings = _secret_findings(config)
    except ConfigError as error:
        return [Finding(str(error), ok=False, remedy="until this is mended, nothing is recorded")]
    if len(urls) > 1:
        findings.append(Finding(f"records go to {len(urls)} backends; commands read from {_first_to_read(config)}"))
    for url in urls:
        findings += await _of_one(url, config, write=write)
    return findings


def _first_to_read(config: Config) -> str:
    """Return the backend that commands read from, in words where one of the backends cannot be made."""
    try:
        return open_to_read(config).location
    except ConfigError:  # another finding says so
        return "the first that can be read"


def _secret_findings(config: Config) -> list[Finding]:
    """Say so where a secret is set that nobody gets: the weaker of two, or that of a URL which needs none."""
    if secret_of(config) is None:
        return []
    sources, findings = config.sources, list[Finding]()
    if config.secret is not None and config.secret_file is not None:
        weaker = f"secret_file (from {sources['secret_file']}) is not read: secret (from {sources['secret']}) is set"
        findings.append(Finding(weaker, remedy="unset one of the two"))
    key = "secret_file" if config.secret is None else "secret"
    urls = urls_in(config.backend, known_schemes())
    if not any(map(has_place_for_secret, urls)):
        what = "a secret is set, and no backend's URL has a place for it"
        findings.append(Finding(what, remedy="unset it, or name a host"))
    elif not any(map(takes_secret, urls)):
        own = f"{key} (from {sources[key]}) is not used: the backend's URL has a secret of its own, or names its file"
        findings.append(Finding(own, remedy="unset one of the two"))
    return findings


async def _of_one(url: str, config: Config, *, write: bool) -> list[Finding]:
    source = config.sources["backend"]
    findings: list[Finding] = []
    try:
        if write:
            findings.append(await _written(open_backend(url, source=source)))
        backend = open_backend(url, access="read", source=source)
        async with _in_time(backend):
            return [*findings, *await _looked_at(backend, config.project)]
    except TracecoreError as error:
        what, remedy = _apart(error)
        return [*findings, Finding(what, ok=False, remedy=remedy or _ELSEWHERE)]


def _apart(error: TracecoreError) -> tuple[str, str]:
    """Return what happened, and what to do next where the error says that by itself."""
    return (error.what, error.remedy) if isinstance(error, BackendError) else (str(error), "")


@asynccontextmanager
async def _in_time(backend: Backend) -> AsyncGenerator[None]:
    with anyio.move_on_after(_PATIENCE) as waiting:
        yield
    if waiting.cancelled_caught:
        raise BackendUnavailable(f"{backend.location} did not answer within {_PATIENCE:g} s", "see that it runs")


async def _looked_at(backend: Backend, project: str) -> list[Finding]:
    """Return what there is to say about a backend that can be made."""
    schema = await schema_of(backend)
    if schema.version and schema.behind:
        what = f"{backend.location} has schema {schema.version} of {schema.newest}: {', '.join(schema.pending)} to run"
        return [Finding(what, ok=False, remedy="tracecore migrate, or start a program that records")]
    try:
        async with opened_to_read(backend):
            known = "" if schema.version is None else f"; schema {schema.version}, up to date"
            return [
                await _answer(backend, project),
                Finding(f"{backend.location} {_abilities(backend.capabilities)}{known}"),
                *await _facts(backend),
                *await delivery_findings(backend, project, wall_ns()),
            ]
    except NoTracesYet:
        return [_place_for_file(backend.location)]
    except BackendUnavailable:
        if schema.version != 0:
            raise
        made = f"{backend.location} answers, and has no schema yet: {count(len(schema.pending), 'migration')} to run"
        return [Finding(made, remedy="the first program that records does that, or tracecore migrate")]


async def _answer(backend: Backend, project: str) -> Finding:
    started_ns = monotonic_ns()
    if backend.traces is not None:
        page = await backend.traces.find(project, TraceQuery(limit=1))
        what = "has traces" if page.items else "has no traces yet"
    elif backend.observations is not None:
        found = await backend.observations.find(project, ObservationQuery(limit=1))
        what = "has spans" if found.items else "has no spans yet"
    else:
        untried = "add --write to see whether it takes what it is sent"
        return Finding(f"{backend.location} can be opened; it offers nothing to read", remedy=untried)
    took = duration(monotonic_ns() - started_ns)
    return Finding(f"{backend.location} answered in {took}; project {project!r} {what}")


def _abilities(can: Capabilities) -> str:
    """Return what a backend can do, in words."""
    stores = [name for name in ("traces", "observations", "sessions", "scores", "ledger") if getattr(can, name)]
    further = [name for name, there in (("search", can.search), ("SQL", can.sql)) if there]
    reads = f"gives back {', '.join([*stores, *further])}" if stores or further else "gives nothing back"
    return f"{reads}; what it has taken is {can.level}"


async def _facts(backend: Backend) -> list[Finding]:
    if not isinstance(backend, Inspectable):
        return []
    return [Finding(f"{backend.location}: {name} {text}") for name, text in (await backend.facts()).items()]


async def _written(backend: Backend) -> Finding:
    try:
        async with _in_time(backend):
            await backend.open()
            await backend.write([_PROBE])
    except TracecoreError as error:
        what, remedy = _apart(error)
        return Finding(f"writing failed: {what}", ok=False, remedy=f"{remedy}; {_LOST}" if remedy else _LOST)
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
