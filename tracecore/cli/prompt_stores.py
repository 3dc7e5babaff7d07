"""From settings to the store of prompts that a command asks or changes: opened for that alone, always closed.

Where no backend is named on the command line it is the one in which ``get_prompt`` of a service would look: that of the
setting ``prompts``, or else the first backend that keeps some.
"""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from tracecore.backend import Access, Backend
from tracecore.catalog_prompts import prompts_of
from tracecore.cli.reading import Settings, is_missing_file
from tracecore.credentials import with_secret
from tracecore.errors import BackendRejected, NotFound
from tracecore.plugins import configured_urls, open_backend
from tracecore.prompts import Author, PromptQuery, PromptStore, PromptSummary
from tracecore.services.prompt_outcomes import summaries

__all__ = ["alter", "ask", "author", "summary_of"]

T = TypeVar("T")
_CLOSE_TIMEOUT: Final = 5.0


def ask(settings: Settings, work: Callable[[PromptStore], Awaitable[T]]) -> T:
    """Run ``work`` with the prompts of a backend that is open for reading.

    Raises:
        NotFound: there is no file yet.
        BackendRejected: no backend that is configured keeps prompts.
    """
    return _run(settings, work, access="read", creates=False)


def alter(settings: Settings, work: Callable[[PromptStore], Awaitable[T]], *, creates: bool = False) -> T:
    """Run ``work`` with the prompts of a backend that is open for writing; ``creates`` lets it make the file.

    Raises:
        NotFound: there is no file yet.
        BackendRejected: no backend that is configured keeps prompts.
    """
    return _run(settings, work, access="write", creates=creates)


def author() -> Author:
    """Return who is at the terminal, as the system knows them; a server says whose the key is instead."""
    try:
        return Author(getpass.getuser())
    except (OSError, KeyError, ImportError):  # no such user, or a system that knows none
        return Author()


async def summary_of(store: PromptStore, project: str, name: str) -> PromptSummary:
    """Return what is known of a name.

    Raises:
        NotFound: there is none; it says what exists nearby.
    """
    async for summary in summaries(store, project, PromptQuery(name=name)):
        return summary
    await store.get(project, name, label="latest", resolve=False)
    raise NotFound("prompt", name, "it was published this moment; ask again")


def _run(settings: Settings, work: Callable[[PromptStore], Awaitable[T]], *, access: Access, creates: bool) -> T:
    async def main() -> T:
        backend, store = _keeping(settings, access)
        if not creates and is_missing_file(backend.location):
            remedy = "`tracecore prompts publish NAME FILE` makes it, or name where prompts are with --backend"
            raise NotFound("file", backend.location, remedy)
        try:
            await backend.open()
            return await work(store)
        finally:
            with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
                await backend.close()

    return anyio.run(main)


def _keeping(settings: Settings, access: Access) -> tuple[Backend, PromptStore]:
    """Return the first backend that keeps prompts, not opened yet."""
    refused: BackendRejected | None = None
    for url, source in _urls(settings):
        backend = open_backend(url, access=access, source=source)
        try:
            return backend, prompts_of(backend)
        except BackendRejected as error:
            refused = refused or error
    raise refused or BackendRejected("no backend is configured", "name one with --backend")


def _urls(settings: Settings) -> list[tuple[str, str]]:
    """Return the URLs in question with the source of each."""
    config = settings.config
    if config.prompts is not None and "backend" not in settings.given:
        return [(url, config.sources.get("prompts", "code")) for url in with_secret([config.prompts], config)]
    return [(url, config.sources.get("backend", "code")) for url in configured_urls(config)]
