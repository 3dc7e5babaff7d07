"""The HTTP surface: ``POST /ask``, ``GET /sources``, ``GET /health``.

``POST /ask`` takes ``{"question": "...", "top_k": 5, "source": "asyncio", "stream": false}`` (only the question is
required) and answers ``{"answer", "sources", "usage", "cost_usd", "trace_id"}``. With ``"stream": true`` the answer is
a stream of server-sent events: ``sources``, many ``delta``, ``done``; or ``failed`` when the model breaks off midway.

Who is asking comes from the headers ``X-User-Id``, ``X-Session-Id`` and ``X-Platform`` (``ios/5.2.1``); ``traceparent``
is honoured; every answer names its trace in ``X-Trace-Id``. What is wrong with a request is said in one sentence with
status 400 (413 when the body is too long); a model that fails before its first word is a 502.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import tracecore
from examples.rag_service.llm import FaultyModel, ModelFailed
from examples.rag_service.pipeline import Delta, Done, Question, Source, Sources, StreamPart
from examples.rag_service.progress import ProgressLine
from examples.rag_service.request_tracing import RequestTracing
from examples.rag_service.service import RagService
from examples.rag_service.settings import Settings
from tracecore import current_trace_id, update_current_span

__all__ = ["VERSION", "Answer", "BadRequest", "create_app"]

VERSION: Final = "1.4.0"
MAX_BODY_BYTES: Final = 64 * 1024


class BadRequest(Exception):
    """Report what is wrong with a request, in one sentence, and the status to answer with."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


class AskBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /ask``."""

    question: Annotated[str, Meta(max_length=2_000)]
    top_k: Annotated[int, Meta(ge=1, le=20)] = 5
    source: str | None = None
    stream: bool = False


class Answer(Struct, frozen=True):
    """The answer of ``POST /ask`` when it is not streamed."""

    answer: str
    sources: list[Source]
    usage: dict[str, int]
    cost_usd: float | None
    trace_id: str


class Failed(Struct, frozen=True, tag="failed"):
    """The last event of a stream whose model broke off."""

    error: str


def create_app(service: RagService | None = None) -> Starlette:
    """Return the application; without a service it loads one when it starts, as the environment says."""
    app = Starlette(
        routes=[
            Route("/ask", ask, methods=["POST"]),
            Route("/sources", sources),
            Route("/health", health),
        ],
        middleware=[Middleware(RequestTracing, paths=frozenset({"/ask"}), version=VERSION)],
        exception_handlers={BadRequest: _refuse, ModelFailed: _model_failed},
        lifespan=_lifespan(service),
    )
    app.state.service = service
    return app


async def ask(request: Request) -> Response:
    """Answer a question from the corpus."""
    service: RagService = request.app.state.service
    body = await _read_body(request)
    update_current_span(input=msgspec.structs.asdict(body))
    if body.source is not None and body.source not in service.store.sources:
        raise BadRequest(f"there is no source '{body.source}'; GET /sources lists the {len(service.sources)} there are")
    faulty = service.settings.fault_header and request.headers.get("X-Demo-Fault") == "llm"
    parts = service.pipeline.answer(
        Question(body.question, body.top_k, body.source), model=FaultyModel() if faulty else None
    )
    if body.stream:
        # The first word is awaited here, so that a model that cannot answer at all is still a 502.
        head = [await anext(parts), await anext(parts)]
        return StreamingResponse(_events(head, parts), media_type="text/event-stream")
    return _json(await _whole(parts))


async def sources(request: Request) -> Response:
    """List what can be searched, with a few names of each."""
    service: RagService = request.app.state.service
    return _json({"sources": service.sources})


async def health(request: Request) -> Response:
    """Say that the service is ready, what it serves, and how its tracing is doing."""
    service: RagService = request.app.state.service
    return _json({
        "status": "ok",
        "version": VERSION,
        "passages": len(service.store),
        "sources": len(service.sources),
        "corpus_version": service.corpus_version,
        "model": service.pipeline.model.name,
        "tracing": tracecore.health(),
    })  # fmt: skip


async def _read_body(request: Request) -> AskBody:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise BadRequest(f"the body is longer than {MAX_BODY_BYTES} bytes", 413)
    try:
        body = msgspec.json.decode(data, type=AskBody)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not a question: {error}") from error
    if not body.question.strip():
        raise BadRequest("the question is empty")
    return body


async def _whole(parts: AsyncGenerator[StreamPart, None]) -> Answer:
    found: list[Source] = []
    text: list[str] = []
    done = Done({}, None)
    async with aclosing(parts):
        async for part in parts:
            match part:
                case Sources():
                    found = part.sources
                case Delta():
                    text.append(part.text)
                case Done():
                    done = part
    return Answer("".join(text), found, done.usage, done.cost_usd, current_trace_id() or "")


async def _events(head: list[StreamPart], parts: AsyncGenerator[StreamPart, None]) -> AsyncIterator[bytes]:
    """Yield server-sent events; when the client hangs up, closing this closes every generator below it."""
    for part in head:
        yield _event(part)
    try:
        async with aclosing(parts):
            async for part in parts:
                yield _event(part)
    except ModelFailed as error:
        update_current_span(level="ERROR", status_message=str(error))
        yield _event(Failed(str(error)))


def _event(part: StreamPart | Failed) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (type(part).__name__.lower().encode(), msgspec.json.encode(part))


async def _refuse(_request: Request, error: Exception) -> Response:
    update_current_span(status_message=str(error))
    return _json({"error": str(error)}, status=getattr(error, "status", 400))


async def _model_failed(_request: Request, error: Exception) -> Response:
    update_current_span(status_message=str(error))
    return _json({"error": str(error), "trace_id": current_trace_id()}, status=502)


def _json(value: object, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _lifespan(given: RagService | None) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        service = given
        if service is None:
            settings = Settings.from_environment(os.environ)
            service = await asyncio.to_thread(RagService.load, settings, ProgressLine(sys.stderr, "reading").show)
        app.state.service = service
        try:
            yield
        finally:
            await service.close()
            await tracecore.ashutdown()

    return lifespan
