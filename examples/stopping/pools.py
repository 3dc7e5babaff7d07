"""Pools of processes: ``python examples/stopping/pools.py``.

Workers of ``multiprocessing`` and ``concurrent.futures`` deliver what they recorded when they end by themselves, also
after one task each. ``Pool.__exit__`` kills them instead, so close the pool and wait for it. What ends by ``os._exit``
runs nothing: there ``tracecore.shutdown()`` is the last thing to do.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import tracecore
from tracecore import observe


@observe
def handle(job: int) -> int:
    """Do one job."""
    return job * job


def in_a_pool(jobs: int) -> None:
    """Do every job in a worker of its own."""
    pool = multiprocessing.Pool(2, maxtasksperchild=1)
    pool.map(handle, range(jobs), chunksize=1)
    pool.close()
    pool.join()


def in_an_executor(jobs: int) -> None:
    """Do every job in a worker of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        list(pool.map(handle, range(jobs)))


def in_children(jobs: int) -> None:
    """Do every job in a child that ends by ``os._exit``."""
    for number in range(jobs):
        child = os.fork()
        if child == 0:
            handle(number)
            tracecore.shutdown()
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    in_a_pool(count)
    in_an_executor(count)
    in_children(count)
