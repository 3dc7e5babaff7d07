"""Serve: ``python -m examples.rag_service [--host 127.0.0.1] [--port 8000]``.

Port 0 takes a free one. The address is printed on standard output before the corpus is read; a request that comes early
waits in the socket's queue. Where the traces go is tracecore's own setting, ``TRACECORE_BACKEND``.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from typing import NoReturn

import uvicorn

from examples.rag_service.app import create_app
from examples.rag_service.settings import Settings, SettingsError

BACKLOG = 512


def _exit(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.rag_service", description="Serve the example.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        Settings.from_environment(os.environ)
        listener = socket.create_server((options.host, options.port), backlog=BACKLOG)
    except (SettingsError, OSError, OverflowError) as error:
        print(f"cannot serve on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 2
    print(f"listening on http://{options.host}:{listener.getsockname()[1]}", flush=True)
    # uvicorn raises the signal that ended it once more; the default actions are a traceback and a sudden death.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _exit)
    config = uvicorn.Config(create_app(), log_level="warning", timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
