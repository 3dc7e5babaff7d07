"""The store that a word on the command line means: a new and empty one of a kind, or the one that a URL names."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from benchmarks.figures import Refused
from tracecore.config import without_credentials
from tracecore.errors import ConfigError, TracecoreError
from tracecore.plugins import open_backend

__all__ = ["NEW", "check_store", "store_of"]

_OPTION: Final = "--backend"


@contextmanager
def _new_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-") as folder:
        yield f"sqlite:///{folder}/traces.db"


@contextmanager
def _new_memory() -> Iterator[str]:
    yield "memory:"


NEW: Final[dict[str, Callable[[], AbstractContextManager[str]]]] = {"sqlite": _new_file, "memory": _new_memory}
"""What makes a new and empty store, by its name: yields the URL, and takes the store away afterwards."""


@contextmanager
def store_of(asked: str) -> Iterator[str]:
    """Yield the URL of the store that is meant.

    Raises:
        Refused: it is neither a name that a new store can be made of nor a URL.
    """
    if asked in NEW:
        with NEW[asked]() as url:
            yield url
    elif ":" in asked:
        yield asked
    else:
        raise Refused(f"{_OPTION} {asked}: expected {', '.join(NEW)}, or a URL such as sqlite:///traces.db")


async def check_store(url: str) -> None:
    """Open a store and close it again.

    Raises:
        Refused: there is no such backend, it cannot be opened, or nothing can be read back from it.
    """
    try:
        backend = open_backend(url, source=_OPTION)
        try:
            await backend.open()
        finally:
            await backend.close()
    except ConfigError as error:  # it names the option and the URL itself
        raise Refused(str(error)) from error
    except TracecoreError as error:
        raise Refused(f"{_OPTION} {without_credentials(url)}: {error}") from error
    if backend.observations is None:
        raise Refused(f"{_OPTION} {without_credentials(url)}: what it stores cannot be read back")
