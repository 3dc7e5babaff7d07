"""An asyncio program that is stopped by SIGTERM: ``python examples/stopping/asyncio_worker.py [JOBS]``, ``kill PID``.

The signal cancels the main task, as Ctrl-C does; whatever that task cleans up happens, the loop ends, the program ends
in order, and tracecore delivers what waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from tracecore import observe


@observe
async def handle(job: int) -> int:
    """Do one job."""
    await asyncio.sleep(0)
    return job * job


async def work(jobs: int) -> None:
    """Do what there is to do, then wait for more, until somebody cancels it."""
    for number in range(jobs):
        await handle(number)
    print("idle", flush=True)
    await asyncio.Event().wait()


async def until_stopped(jobs: int) -> None:
    """Work until SIGTERM."""
    working = asyncio.create_task(work(jobs))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working


if __name__ == "__main__":
    asyncio.run(until_stopped(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
