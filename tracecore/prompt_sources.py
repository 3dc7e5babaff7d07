"""Where the prompts of a recorder are: what is configured for them, or else the first of its backends that keeps some.

A store is read through a backend of its own, never through the one that a pump writes to. It is made and opened by the
thread that fetches: a driver takes long to import, and nobody's loop waits for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast

from msgspec import Struct

from tracecore.backend import Backend, Repeatable
from tracecore.catalog import Catalogued
from tracecore.catalog_prompts import prompts_of
from tracecore.config import Config, urls_in, without_credentials
from tracecore.credentials import with_secret
from tracecore.errors import BackendRejected
from tracecore.memory import MemoryBackend
from tracecore.plugins import configured_urls, known_schemes, open_backend
from tracecore.prompts import Prompting, PromptStore

__all__ = ["PromptSource", "source_of"]


class PromptSource(Struct, frozen=True):
    """Know a store of prompts that is not open yet, and which project of it is asked for."""

    location: str
    """Where the prompts are: copies on the disk are served for this place only."""
    project: str
    open: Callable[[], Awaitable[PromptStore]]
    close: Callable[[], Awaitable[object]]


def source_of(config: Config, backends: Sequence[Backend] = ()) -> PromptSource:
    """Return where prompts are: of ``backends``, where those are not what the configuration says, else as configured.

    Raises:
        BackendRejected: none of the backends keeps prompts.
        ConfigError: a URL is wrong, or its driver is missing.
    """
    seen: list[str] = []
    for backend in _backends(config, backends):
        if isinstance(backend, Prompting | Catalogued):
            return _from(backend, config.project)
        seen.append(backend.location)
    where = without_credentials(" and ".join(seen)) or "what was given as an object"
    raise BackendRejected(f"{where} keeps no prompts", "set `prompts` to the URL of a store that does")


def _backends(config: Config, given: Sequence[Backend]) -> Iterator[Backend]:
    if config.prompts is not None:
        yield open_backend(_url(config, config.prompts), access="read", source=config.sources["prompts"])
        return
    for backend in given:
        if isinstance(backend, MemoryBackend):
            yield cast("Backend", backend.beside())
        elif isinstance(backend, Repeatable):
            yield backend.another()
    if not given:
        for url in configured_urls(config):
            yield open_backend(url, access="read", source=config.sources["backend"])


def _url(config: Config, url: str) -> str:
    """Return the URL of the prompts, with the secret if that can only be meant for it, or for the same backend."""
    urls = urls_in(config.backend, known_schemes())
    if url in urls:
        return configured_urls(config)[urls.index(url)]
    return with_secret([*urls, url], config)[-1]


def _from(backend: Backend, project: str) -> PromptSource:
    async def opened() -> PromptStore:
        await backend.open()
        return prompts_of(backend)

    mark: str = getattr(backend, "asks_as", "")  # a server decides by the key which project is read, whatever is said
    location = f"{backend.location}#{mark}" if mark else backend.location
    return PromptSource(location, project, opened, backend.close)
