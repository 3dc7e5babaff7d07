"""An ASGI service: ``uvicorn examples.stopping.asgi_app:app``, or ``gunicorn -k asgi examples.stopping.asgi_app:app``.

uvicorn ends itself by the signal that it was sent, so nothing that a program registers for its end is run. The one
place that is, in each of its workers, is the lifespan of the application.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import tracecore
from tracecore import observe


@observe
async def handle(job: int) -> int:
    """Do one job."""
    return job * job


async def do_jobs(request: Request) -> JSONResponse:
    """Do as many jobs as the query says."""
    return JSONResponse([await handle(number) for number in range(int(request.query_params.get("jobs", "10")))])


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    """Deliver what waits when the server has answered its last request."""
    yield
    await tracecore.ashutdown()


app = Starlette(routes=[Route("/jobs", do_jobs)], lifespan=lifespan)
