"""A tracecore server over a store, in a process of its own.

``python -m benchmarks.serving URL`` serves what ``tracecore serve`` does, prints where it listens, with a key, and ends
when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import uvicorn
import uvloop

from tracecore.plugins import open_backend
from tracecore.server.app import Server
from tracecore.server.connections import Connection
from tracecore.server.serving import KEEP_ALIVE_S, collect_rarely, listen
from tracecore.services.first_start import Init, first_key

__all__ = ["KEY", "main"]

KEY = ("pk-tc-benchmark", "sk-tc-benchmark")
_INIT = Init("default", *KEY)


async def _serve(url: str) -> None:
    collect_rarely()
    server = Server(open_backend(url))
    await server.open()
    state = server.state
    await first_key(state.projects, state.keys, _INIT, now_ns=state.wall())
    with listen("127.0.0.1", 0) as listening:
        running = uvicorn.Server(
            uvicorn.Config(
                server, http=Connection, lifespan="on", ws="none", log_config=None, access_log=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        threading.Thread(target=_end_with_input, args=(running,), daemon=True).start()
        print(f"http://{':'.join(KEY)}@127.0.0.1:{listening.getsockname()[1]}", flush=True)
        await running.serve(sockets=[listening])


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
