"""Tasks of Celery: ``celery -A examples.stopping.celery_tasks worker --max-tasks-per-child=100``.

The processes of its default pool end by ``os._exit``, which runs nothing that a program registers for its end. Celery
tells each of them beforehand: deliver what waits there.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_shutdown

import tracecore
from tracecore import observe

app = Celery("tasks", broker=os.environ.get("CELERY_BROKER_URL", "amqp://"))


@worker_process_shutdown.connect
def deliver(**_: Any) -> None:
    """Deliver what waits, when a process of the pool ends."""
    tracecore.shutdown()


@app.task
@observe
def handle(job: int) -> int:
    """Do one job."""
    return job * job
