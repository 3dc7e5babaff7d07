"""Serving by itself: sockets, processes, signals. The application is :class:`tracecore.server.app.Server`.

Several processes share one socket and one PostgreSQL; each is as stateless as one alone. SIGTERM and SIGINT end them
gracefully: no new connection, what was begun is answered and written, then the backend is closed.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import socket
from collections.abc import Callable, Mapping
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from tracecore.backend import Backend
from tracecore.clock import monotonic_ns
from tracecore.errors import BackendUnavailable, ConfigError
from tracecore.plugins import open_backend
from tracecore.reporting import Voice
from tracecore.server.app import Server
from tracecore.server.connections import Connection
from tracecore.server.state import ServerState
from tracecore.services.first_start import Init, first_key
from tracecore.services.keys import NewKey

__all__ = [
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "Seldom",
    "collect_rarely",
    "from_environment",
    "init_of",
    "listen",
    "prepared",
    "room",
    "serve",
]

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 4318
"""Where exporters of OpenTelemetry send to unless they are told otherwise (OTLP/HTTP)."""
GRACE_S: Final = 10
"""How long requests that were begun may take when the server ends."""
KEEP_ALIVE_S: Final = 75
"""Seconds that an idle connection stays. Exporters send every 5 s: a server that closes after 5, as uvicorn does unless
told otherwise, closes while they send."""
_COLLECT_AFTER: Final = (50_000, 20, 20)
_URL: Final = "_TRACECORE_SERVES"
"""Hands the backend to worker processes; it is no setting."""
_APP: Final = "tracecore.server.serving:from_environment"
_BACKLOG: Final = 2048
_MOST_CONNECTIONS: Final = 4000
"""Beyond these a client is told to come again; each takes some kilobytes and a descriptor."""
_OTHER_DESCRIPTORS: Final = 200
"""For the backend, and for connections that are told to come again."""


def init_of(environ: Mapping[str, str]) -> Init:
    """Return what the environment asks for at the start."""
    return Init(
        environ.get("TRACECORE_INIT_PROJECT") or None,
        environ.get("TRACECORE_INIT_PUBLIC_KEY") or None,
        environ.get("TRACECORE_INIT_SECRET_KEY") or None,
    )


def collect_rarely() -> None:
    """Have the collector of garbage look at what is worth it, in a process that does nothing but serve.

    Most of what a request makes is gone with its answer, and nothing of the modules ever is: the collector looks at the
    latter no more, and at the former more rarely (4 of 33 µs of a decoded span).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def from_environment() -> Server:
    """Return the application that a worker process serves."""
    collect_rarely()
    return Server(open_backend(os.environ[_URL], source="tracecore serve"), pepper=_pepper())


async def prepared(backend: Backend, init: Init) -> NewKey | None:
    """Bring the schema up to date, and see that there is a project and a key; return a key that was made now."""
    state = ServerState(backend, pepper=_pepper())
    await backend.open()
    try:
        return await first_key(state.projects, state.keys, init, now_ns=state.wall())
    finally:
        await backend.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: the address is none of this machine's.
        BackendUnavailable: somebody else listens there.
    """
    try:
        [(family, kind, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # Only a socket that says that it is TCP makes ones that send at once: without that an answer waits 40 ms.
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise ConfigError("host", host, "the command line", f"an address of this machine ({error})") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise BackendUnavailable(
            f"cannot listen at {host}:{port}: {error.strerror or error}", "name another --port or --host"
        ) from error
    listening.set_inheritable(True)
    return listening


def serve(url: str, listening: socket.socket, *, workers: int = 1, access_log: bool = False) -> None:
    """Serve until a signal says to end."""
    config = uvicorn.Config(
        _APP,
        factory=True,
        workers=workers,
        lifespan="on",
        ws="none",
        http=Connection,
        log_config=_logging(access_log=access_log),
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=room(),
    )
    os.environ[_URL] = url
    if workers == 1:
        uvicorn.Server(config).run(sockets=[listening])
    else:
        Multiprocess(config, sockets=[listening]).run()


def room() -> int:
    """Return how many connections there can be, after asking for a descriptor for each.

    Most systems give a process 1,024 descriptors unless it asks. One that has none left neither takes connections nor
    opens its database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = wanted if soft == resource.RLIM_INFINITY else soft
    return min(_MOST_CONNECTIONS, max(found - _OTHER_DESCRIPTORS, found // 2))


class Seldom(logging.Filter):
    """Let each thing be said once in a while: what clients do wrong is theirs to repeat, not the log's."""

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        super().__init__()
        self._voice = Voice(clock)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether this may be said now."""
        return self._voice.may_speak_of(str(record.msg))


def _pepper() -> str | None:
    return os.environ.get("TRACECORE_PEPPER") or None


def _logging(*, access_log: bool) -> dict[str, object]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}, "line": {"format": "%(message)s"}},
        "filters": {"seldom": {"()": Seldom}},
        "handlers": {
            "notes": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"},
            "access": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
        },
        "loggers": {
            "uvicorn": {"handlers": ["notes"], "level": "WARNING", "propagate": False},
            "uvicorn.error": {"filters": ["seldom"]},
            "tracecore": {"handlers": ["notes"], "level": "WARNING", "propagate": False},
            "tracecore.access": {
                "handlers": ["access"], "level": "INFO" if access_log else "WARNING", "propagate": False,
            },
        },
    }  # fmt: skip
