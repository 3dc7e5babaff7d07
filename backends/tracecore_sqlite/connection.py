"""The only place where a connection is opened, and where aiosqlite's private parts are touched.

aiosqlite's worker thread is not a daemon since 0.22, and a program that forgets to close would never exit: here it is
given another one before it starts. WAL and transactions make it safe to be stopped at any point. That thread also puts
up with a loop that is gone when an answer is ready, where the driver's would end with a traceback.

Every hop to the thread and back costs two thread switches, so a caller passes one function that does everything it
needs: :meth:`Connection.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Thread
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast
from urllib.parse import quote

import aiosqlite
from aiosqlite.core import _connection_worker_thread  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType] # the pinned version has it

from tracecore.errors import Closed
from tracecore_sqlite.address import Address
from tracecore_sqlite.failures import translated
from tracecore_sqlite.forking import Unforked, disown_in_children, watch_forks

__all__ = ["Connection", "connect"]

P = ParamSpec("P")
T = TypeVar("T")
_Execute: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]

_BUSY_TIMEOUT_S: Final = 5.0
# Prepared statements that a connection keeps: the batch sizes of every statement, and the lists people ask for.
_CACHED_STATEMENTS: Final = 256
_PRAGMAS: Final = ("cache_size = -4000", "temp_store = memory", "mmap_size = 0")
# A checkpoint is in the way of the write that is its turn: 10 ms every 8 MB of log, or 5 every 4, at the same rate.
_WRITER_PRAGMAS: Final = ("wal_autocheckpoint = 250", "secure_delete = fast")


class _Call(Generic[T]):
    """A function that waits for its turn on the thread of a connection."""

    __slots__ = ("_function", "wanted")

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self.wanted = True

    def __call__(self) -> T | None:
        """Call the function, if anybody still waits for what it returns."""
        return self._function() if self.wanted else None


class Connection:
    """Run functions on the thread of one SQLite connection, one after the other."""

    def __init__(self, path: str, driver: aiosqlite.Connection) -> None:
        self._path = path
        self._driver = driver
        self._closed = False

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` on the thread of the connection and return what it returns.

        Cancelled before its turn, it is not called: while a disk stands still the same is asked again and again. What
        has begun is finished, before whatever is asked next.

        Raises:
            BackendUnavailable: the file is locked, full or gone for now.
            BackendRejected: the file or a value will never be accepted.
            Closed: the connection has been closed.
        """
        if self._closed:
            raise Closed(f"{self._path} is closed; open it again")
        with translated(self._path):
            # The public methods hop once per statement.
            execute = cast("_Execute", self._driver._execute)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType] # noqa: SLF001 - as below
            call = _Call(partial(function, *args, **kwargs))
            try:
                result: T = await execute(call)
            finally:
                call.wanted = False
            return result

    @property
    def raw(self) -> sqlite3.Connection:
        """Return the connection itself, for functions that run on its thread."""
        return self._driver._conn  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - there is no public way

    async def close(self) -> None:
        """Let go of the file and end the thread."""
        self._closed = True
        with translated(self._path):
            await self._driver.close()


async def connect(address: Address, *, writable: bool) -> Connection:
    """Open the file of an address; a connection that is not ``writable`` never changes or checkpoints it.

    Raises:
        BackendUnavailable: the file cannot be opened now.
        BackendRejected: it is not a database.
    """
    watch_forks()
    mode = "rwc" if writable else "ro&immutable=1" if _stands_still(address.path) else "ro"
    uri = f"file:{quote(address.path)}?mode={mode}"
    driver = aiosqlite.connect(
        uri,
        uri=True,
        isolation_level=None,
        timeout=_BUSY_TIMEOUT_S,
        cached_statements=_CACHED_STATEMENTS,
        check_same_thread=False,
    )
    # Private, which is why the version of aiosqlite is pinned: without it programs hang at exit.
    queue = cast("Any", driver._tx)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType] # noqa: SLF001 - as above
    thread = Thread(target=_work_for, args=(weakref.ref(driver), Unforked(queue)), daemon=True)
    disown_in_children(driver, _let_go)
    driver._thread = thread  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - as above
    try:
        with translated(address.path):
            connection = Connection(address.path, await driver)
    except BaseException:
        while thread.is_alive():  # noqa: ASYNC110 - it has been told to end, and its last answer needs this loop
            await asyncio.sleep(0.001)
        raise
    try:
        await connection.run(_prepare, connection.raw, address=address, writable=writable)
    except BaseException:
        await connection.close()
        raise
    return connection


def _work_for(driver: weakref.ref[aiosqlite.Connection], queue: Any) -> None:
    """Do the work of a connection until it is closed, also when a loop that waited for an answer has been closed."""
    while True:
        try:
            _connection_worker_thread(queue)
        except RuntimeError:
            if _is_open(driver()):
                continue
        return


def _let_go(driver: aiosqlite.Connection, rested: bool) -> None:  # noqa: FBT001 - called by position
    """Close what a forked child inherited, unless it was copied in the middle of something; its thread is not there."""
    raw, driver._connection = driver._connection, None  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - as above
    if raw is not None and rested:
        with contextlib.suppress(sqlite3.Error):
            raw.close()


def _is_open(driver: aiosqlite.Connection | None) -> bool:
    return driver is not None and driver._connection is not None  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - as above


def _stands_still(path: str) -> bool:
    """Return whether a file lies, whole, where nothing can be written, as on a read-only mount.

    SQLite reads a file in write-ahead mode only with the help of two files beside it, unless it is told that nobody
    changes it. That is so here as long as no other user, who may write there, begins to.
    """
    folder = os.path.dirname(path)  # noqa: PTH120 - pathlib costs milliseconds to import, and paths are texts here
    return not os.access(folder, os.W_OK) and not os.path.exists(f"{path}-wal")  # noqa: PTH110 - as above


def _prepare(raw: sqlite3.Connection, *, address: Address, writable: bool) -> None:
    for pragma in _PRAGMAS:
        raw.execute(f"PRAGMA {pragma}")
    if not writable:
        raw.execute("PRAGMA query_only = on")
        return
    for pragma in (*_WRITER_PRAGMAS, f"synchronous = {address.synchronous}"):
        raw.execute(f"PRAGMA {pragma}")
