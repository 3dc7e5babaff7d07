"""Writing records that came in a request: prepared, in turn, and answered when they are durable."""

from __future__ import annotations

from starlette.requests import ClientDisconnect

from tracecore.backend import Batch
from tracecore.server.operations import Call
from tracecore.services.ingest import Gone

__all__ = ["write"]


async def write(call: Call, batch: Batch) -> None:
    """Write records; returns when they are durable.

    Raises:
        BackendUnavailable, BackendRejected: as :meth:`tracecore.backend.Sink.write` does.
        ClientDisconnect: nobody waited for the answer any more when it was their turn.
    """
    if not batch:
        return
    try:
        await call.state.writer.write(await call.state.prepare(batch), call.is_wanted)
    except Gone as error:
        raise ClientDisconnect from error
