"""tracecore's own endpoint: batches in, answers out, over any backend. What it speaks is :mod:`tracecore.wire`.

* A batch is answered after ``Backend.write`` has returned: 200 means what that means, and a batch that is sent again
  changes nothing. Batches of all clients are written one after the other, those that wait together.
* A client that goes while its batch waits will send it again: it is not written for nobody, before those of others.
* Of the batches that take much memory two are in hand at a time, one to be decoded while the other is written.
* Nothing is read or written that ``reach`` does not let the request reach; what it returns takes the place of the
  project that was asked for.
* Every error is JSON.

Whoever mounts these routes opens the backend before the first request, on the loop that serves them, and closes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, TypeAlias, cast

import anyio
import anyio.to_thread
from msgspec import Struct
from msgspec.structs import asdict, replace
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tracecore import __version__
from tracecore.backend import Backend, Batch, Receipt
from tracecore.errors import BackendRejected
from tracecore.server.answers import LARGE, LARGE_AT_ONCE, answer_of
from tracecore.server.bodies import Allowance, Limits, body_of
from tracecore.server.problems import Endpoint, Refusal, answering
from tracecore.services.ingest import BatchWriter, Gone
from tracecore.services.stores import tree_of
from tracecore.wire import (
    BASE,
    LARGEST_ANSWER,
    MOST_RECORDS,
    READS,
    About,
    Lookup,
    Read,
    Search,
    Slice,
    Written,
    decode,
    decode_batch,
    encode,
)

__all__ = ["Limits", "Prepare", "Reach", "routes"]

Reach: TypeAlias = Callable[[Request, str], str]
"""Return the project that a request reaches when it asks for this one; raises ``AccessDenied`` for none."""

_LARGEST_QUESTION: Final = 1 << 20
"""Bytes of the body of a read."""


Prepare: TypeAlias = Callable[[Batch], Awaitable[Batch]]
"""Return the batch that is written in the place of one that arrived."""


def _as_asked(_: Request, project: str) -> str:
    return project


async def _as_it_is(batch: Batch) -> Batch:
    return batch


def routes(
    backend: Backend,
    *,
    limits: Limits | None = None,
    reach: Reach = _as_asked,
    writer: BatchWriter | None = None,
    decoding: anyio.Semaphore | None = None,
    prepare: Prepare = _as_it_is,
    allowance: Allowance | None = None,
) -> list[Route]:
    """Return the routes of an endpoint over an open backend.

    Args:
        backend: where records are kept. It must be open when the first request comes.
        limits: what a request may cost.
        reach: decides which project a request reaches. The default lets every request reach every project.
        writer: writes the batches, where others write to the same backend too.
        decoding: is held by each batch that takes much memory, where others decode such too.
        prepare: is given each batch before it is written, and returns what is written.
        allowance: is shared by all bodies, where others read such too.
    """
    limits = limits or Limits()
    native = _Native(
        backend,
        limits,
        reach,
        allowance=allowance or Allowance(limits.in_hand_bytes),
        writer=writer or BatchWriter(backend),
        decoding=decoding or anyio.Semaphore(LARGE_AT_ONCE),
        prepare=prepare,
    )
    found = {
        f"{BASE}/batch": ("POST", native.batch),
        **{read.path: ("POST", native.read(read)) for read in READS.values()},
        f"{BASE}/maintain": ("POST", native.maintain),
        f"{BASE}/capabilities": ("GET", native.capabilities),
    }
    known = [Route(path, answering(endpoint), methods=[method]) for path, (method, endpoint) in found.items()]
    methods = {path: method for path, (method, _) in found.items()}
    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return [*known, Route(BASE + "/{rest:path}", answering(_elsewhere(methods)), methods=every)]


def _elsewhere(methods: dict[str, str]) -> Endpoint:
    """Return the endpoint of every path that is none, and of every method that a path has not."""

    async def elsewhere(request: Request) -> Response:
        path = BASE + "/" + cast("str", request.path_params["rest"])
        if path in methods:
            raise Refusal(405, "WrongMethod", f"{request.method} {path}", f"use {methods[path]}")
        raise Refusal(404, "NoSuchRoute", f"there is no {path[:200]} here", "is the server older than the client?")

    return elsewhere


class _Native:
    """Answer requests over one backend."""

    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        reach: Reach,
        *,
        allowance: Allowance,
        writer: BatchWriter,
        decoding: anyio.Semaphore,
        prepare: Prepare,
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._reach = reach
        self._allowance = allowance
        self._writer = writer
        self._prepare = prepare
        self._decoding = decoding

    async def batch(self, request: Request) -> Response:
        """Write a batch."""
        with self._allowance.share() as take:
            body = await body_of(request, self._limits, take)
            async with self._decoding if len(body) > LARGE else nullcontext():
                batch = await self._prepare(self._reachable(request, await _decoded(body)))
                receipt = await self._written(request, batch)
        if receipt is None:
            return _json(Written(len(batch)))
        rejected = max(0, min(receipt.rejected, len(batch)))
        return _json(Written(len(batch) - rejected, rejected, receipt.reason))

    async def _written(self, request: Request, batch: Batch) -> Receipt | None:
        async def wanted() -> bool:
            return not await request.is_disconnected()

        try:
            return await self._writer.write(batch, wanted)
        except Gone as error:
            raise ClientDisconnect from error

    async def maintain(self, request: Request) -> Response:
        """Do a slice of the work that was put off."""
        self._reach(request, "")
        return _json(Slice(await self._writer.alone(self._backend.maintain)))

    async def capabilities(self, request: Request) -> Response:
        """Say what the backend can do, and what else there is to know of this server."""
        can = self._backend.capabilities
        scheme, colon, _ = self._backend.location.partition(":")
        kind = scheme if colon else "file"  # where on the server's disk is nobody's business
        about = About(can.ledger, __version__, kind, self._reach(request, ""), can.measures)
        return Response(encode({**asdict(can), **asdict(about)}), media_type="application/json")

    def read(self, read: Read) -> Endpoint:
        """Return the endpoint of one method of a store."""

        async def answer(request: Request) -> Response:
            asked: Lookup | Search[Any] = decode(await self._question(request), read.asks)
            store = getattr(self._backend, read.store, None)
            if store is None:
                raise BackendRejected(f"{self._backend.location} keeps no {read.store}", "ask a backend that does")
            method = getattr(store, read.method)
            with self._allowance.answers.share() as hold:
                if read.method == "tree":  # which no limit bounds
                    method = partial(tree_of, store, most_bytes=LARGEST_ANSWER, hold=hold)
                body = await _found(method, self._reach(request, asked.project), asked, read, hold)
            return await answer_of(request, body, self._allowance.answers)

        return answer

    async def _question(self, request: Request) -> bytes:
        limits = replace(self._limits, wire_bytes=_LARGEST_QUESTION, inflated_bytes=_LARGEST_QUESTION)
        with self._allowance.share() as take:
            return await body_of(request, limits, take)

    def _reachable(self, request: Request, batch: Batch) -> Batch:
        """Return a batch in the projects that the request reaches."""
        reached = {project: self._reach(request, project) for project in {record.project for record in batch}}
        if all(asked == found for asked, found in reached.items()):
            return batch
        return [replace(record, project=reached[record.project]) for record in batch]


async def _decoded(body: bytes) -> Batch:
    batch = await anyio.to_thread.run_sync(decode_batch, body) if len(body) > LARGE else decode_batch(body)
    if len(batch) > MOST_RECORDS:
        raise Refusal(413, "TooLarge", f"a batch of {len(batch)} records", f"send at most {MOST_RECORDS} at once")
    return batch


async def _found(
    method: Callable[..., Any], project: str, asked: Struct, read: Read, hold: Callable[[int], None]
) -> bytes:
    """Return as JSON what a method of a store answers; a page that is too large becomes a shorter one."""
    arguments = [getattr(asked, name) for name in read.arguments]
    if read.method in {"get", "tree"} and None in arguments:
        raise Refusal(400, "Malformed", f"{read.path} needs {', '.join(read.arguments)}")
    while True:
        found = await method(project, *arguments)
        body = encode(found)
        hold(len(body) if len(body) > LARGE else 0)
        if len(body) <= LARGEST_ANSWER:
            return body
        listed: list[Any] = getattr(found, "items", [])  # of a page
        if len(listed) <= 1:
            raise BackendRejected(f"the answer is {len(body)} bytes long", "ask for less")
        arguments[0] = replace(arguments[0], limit=len(listed) // 2)


def _json(value: Struct) -> Response:
    return Response(encode(value), media_type="application/json")
