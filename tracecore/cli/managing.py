"""From settings to an open backend whose catalog a command reads or changes: projects and keys.

Invariants: what only looks opens for reading and creates nothing; a change of one file or database is seen by a server
that runs on it, because both keep nothing of it for longer than some seconds.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from tracecore.backend import Backend
from tracecore.cli.reading import Settings, is_missing_file
from tracecore.errors import ConfigError, NotFound
from tracecore.kinds import catalog_of
from tracecore.plugins import configured_urls, open_backend
from tracecore.services.keys import Keys
from tracecore.services.projects import Projects

__all__ = ["change", "keys_of", "projects_of"]

T = TypeVar("T")
_CLOSE_TIMEOUT: Final = 5.0


def change(settings: Settings, work: Callable[[Backend], Awaitable[T]], *, creates: bool = False) -> T:
    """Run ``work`` with the configured backend, open for writing; ``creates`` lets it make a file that is not there.

    Raises:
        ConfigError: several backends are configured.
        NotFound: there is no file yet, and with it no project.
    """

    async def main() -> T:
        backend = _backend(settings)
        catalog_of(backend)  # says so where there is none
        if not creates and is_missing_file(backend.location):
            remedy = f"{backend.location} does not exist; `tracecore project create {settings.project}` makes it"
            raise NotFound("project", settings.project, remedy)
        try:
            await backend.open()
            return await work(backend)
        finally:
            with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
                await backend.close()

    return anyio.run(main)


def projects_of(backend: Backend) -> Projects:
    """Return the projects of a backend."""
    return Projects(catalog_of(backend))


def keys_of(backend: Backend) -> Keys:
    """Return the keys of a backend, under the pepper that its server has."""
    return Keys(catalog_of(backend), os.environ.get("TRACECORE_PEPPER") or None)


def _backend(settings: Settings) -> Backend:
    urls = configured_urls(settings.config)
    source = settings.config.sources["backend"]
    if len(urls) > 1:
        raise ConfigError("backend", settings.config.shown()["backend"], source, "one URL: that of the server")
    return open_backend(urls[0], source=source)
