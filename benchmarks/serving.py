"""A tracecore server over a store, in a process of its own.

``python -m benchmarks.serving URL`` opens the store, prints where it listens, and serves its own endpoint until its
standard input is closed.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading

import uvicorn
import uvloop
from starlette.applications import Starlette

from tracecore.plugins import open_backend
from tracecore.server.native import routes

__all__ = ["main"]


async def _serve(url: str) -> None:
    backend = open_backend(url)
    await backend.open()
    try:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(
                Starlette(routes=routes(backend)), http="httptools", lifespan="off", ws="none", log_config=None,
                access_log=False, timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        await server.serve(sockets=[listening])
    finally:
        await backend.close()


def _end_with_input(server: uvicorn.Server) -> None:
    """End the server when its standard input is closed."""
    sys.stdin.buffer.read()
    server.should_exit = True


def main(url: str) -> None:
    """Serve the store of a URL."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(url))


if __name__ == "__main__":
    main(sys.argv[1])
