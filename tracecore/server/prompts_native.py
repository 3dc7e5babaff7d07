"""Prompts on tracecore's own endpoint: what :mod:`tracecore.prompt_wire` says, over any store of prompts.

* Who asks decides which project is reached, and is the author of what changes; where nobody decides that, both are as
  the request says.
* What is published is half as long as an answer may be, at most; of the bodies of all requests together no more is in
  hand than the server allows.
* Who waits for a change is answered at once when the server ends, and costs nothing more once the client is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

import anyio
import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracecore.errors import BackendRejected, ConfigError, TracecoreError
from tracecore.prompt_wire import (
    EXCHANGES,
    LONGEST_WAIT_S,
    AskFeed,
    AskHistory,
    AskNames,
    AskPrompt,
    ChangeLabel,
    Publish,
    Question,
    Remove,
    path_of,
)
from tracecore.prompts import Author, PromptFeed, PromptStore
from tracecore.server.answers import LARGE, answer_of
from tracecore.server.bodies import Allowance, Limits, body_of
from tracecore.server.ending import ending_of
from tracecore.server.problems import Endpoint, Refusal, answering
from tracecore.server.prompt_feeds import PromptFeeds, Waiter
from tracecore.services.access import Permission
from tracecore.wire import LARGEST_ANSWER, Malformed, decode, encode

__all__ = ["Admit", "Visitor", "by_method", "prompt_routes"]


class Visitor(Struct, frozen=True):
    """Say who asks; what is None is as the request says."""

    project: str | None = None
    author: Author | None = None

    def reaches(self, project: str) -> str:
        """Return the project that a request for this one reaches."""
        return project if self.project is None else self.project

    def writes_as(self, asked: Author) -> Author:
        """Return the author of a change: nobody gets more than they may, and may say that they want less."""
        if self.author is None:
            return asked
        return Author(self.author.name, self.author.moves_protected and asked.moves_protected)


Admit: TypeAlias = Callable[[Request, Permission], Awaitable[Visitor]]
"""Returns who asks, if this is permitted to them; raises otherwise."""

_NEEDED: Final[dict[str, Permission]] = {
    "get": "prompts:read", "find": "prompts:read", "history": "prompts:read", "changes": "prompts:read",
    "publish": "prompts:CUD", "change": "prompts:CUD", "delete": "prompts:CUD",
}  # fmt: skip
_LARGEST_QUESTION: Final = 1 << 20
"""Bytes of a question, but for what is published."""
_LARGEST_PROMPT: Final = LARGEST_ANSWER // 2
"""Bytes of what is published: with what the store adds, and others inserted, it has to fit into an answer."""
_SHOWN: Final = 200
"""Bytes of a body that an error shows."""
_EVERY: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def _anybody(_request: Request, _permission: Permission) -> Visitor:
    return Visitor()


def prompt_routes(
    store: PromptStore,
    *,
    admit: Admit = _anybody,
    limits: Limits | None = None,
    allowance: Allowance | None = None,
    feeds: PromptFeeds | None = None,
) -> list[Route]:
    """Return the routes of prompts.

    Args:
        store: where they are kept. It must be ready when the first request comes.
        admit: decides who may ask. The default lets everybody do everything in every project.
        limits: what a request may cost.
        allowance: is shared by all bodies, where others read such too.
        feeds: who waits for changes, where others change the same store too.
    """
    limits = limits or Limits()
    native = _Prompts(store, admit, limits, allowance or Allowance(limits.in_hand_bytes), feeds or PromptFeeds(store))
    return [by_method(path_of(method), {"POST": native.endpoint(method)}) for method in EXCHANGES]


def by_method(path: str, endpoints: dict[str, Endpoint]) -> Route:
    """Return the route of a path, which refuses the methods that it has not, with a problem as for all that fails."""

    async def endpoint(request: Request) -> Response:
        found = endpoints.get(request.method)
        if found is None:
            raise Refusal(405, "WrongMethod", f"{request.method} {path}", f"use {', '.join(endpoints)}")
        return await found(request)

    return Route(path, answering(endpoint), methods=_EVERY)


class _Prompts:
    """Answer requests over one store."""

    def __init__(
        self, store: PromptStore, admit: Admit, limits: Limits, allowance: Allowance, feeds: PromptFeeds
    ) -> None:
        self._store = store
        self._admit = admit
        self._limits = limits
        self._allowance = allowance
        self._feeds = feeds

    def endpoint(self, method: str) -> Endpoint:
        """Return the endpoint of one method of the store."""
        kind, needed = EXCHANGES[method][0], _NEEDED[method]
        largest = min(self._limits.inflated_bytes, _LARGEST_PROMPT if kind is Publish else _LARGEST_QUESTION)
        limits = replace(self._limits, wire_bytes=largest, inflated_bytes=largest)

        async def answer(request: Request) -> Response:
            visitor = await self._admit(request, needed)
            with self._allowance.share() as take:
                asked = await _decoded(await body_of(request, limits, take), kind)
                body = b"" if isinstance(asked, AskFeed) else await self._answered(visitor, asked)
            if isinstance(asked, AskFeed):  # a body is not held while somebody waits
                body = encode(await self._awaited(request, visitor, asked))
            return await answer_of(request, body, self._allowance.answers)

        return answer

    async def _answered(self, visitor: Visitor, asked: Question) -> bytes:
        """Return the answer as JSON; a history that is too long becomes a shorter one."""
        with self._allowance.answers.share() as hold:
            while True:
                found = await self._done(visitor, asked)
                body = encode(found)
                hold(len(body) if len(body) > LARGE else 0)
                if len(body) <= LARGEST_ANSWER:
                    return body
                if not isinstance(asked, AskHistory) or len(found.versions) <= 1:
                    raise BackendRejected(f"the answer is {len(body)} bytes long", "ask for a smaller limit")
                asked = replace(asked, limit=len(found.versions) // 2)

    async def _done(self, visitor: Visitor, asked: Question) -> Any:
        """Do what is asked, and return what the store does."""
        store, project = self._store, visitor.reaches(asked.project)
        match asked:
            case AskPrompt():
                return await store.get(
                    project, asked.name, version=asked.version, label=asked.label, resolve=asked.resolve
                )
            case AskNames():
                return await store.find(project, asked.query)
            case AskHistory():
                return await store.history(project, asked.name, limit=asked.limit)
            case _:
                found = await self._changed(project, visitor, asked)
                self._feeds.changed(project)
                return found

    async def _changed(self, project: str, visitor: Visitor, asked: Question) -> Any:
        store = self._store
        if isinstance(asked, Publish):
            return await store.publish(project, replace(asked.new, author=visitor.writes_as(asked.new.author)))
        if isinstance(asked, ChangeLabel):
            return await store.change(project, asked.name, asked.change, author=visitor.writes_as(asked.author))
        removed = cast("Remove", asked)
        author = visitor.writes_as(removed.author)
        return await store.delete(project, removed.name, version=removed.version, label=removed.label, author=author)

    async def _awaited(self, request: Request, visitor: Visitor, asked: AskFeed) -> PromptFeed:
        """Wait for a change, as long as somebody waits for the answer."""
        if asked.wait < 0:
            expected = f"0 or more seconds, of which {LONGEST_WAIT_S:g} are waited at most"
            raise ConfigError("wait", asked.wait, "the request", expected)
        project, wait, waiter = visitor.reaches(asked.project), min(asked.wait, LONGEST_WAIT_S), Waiter()
        if not wait:
            return await self._feeds.changes(project, asked.since, wait=wait, waiter=waiter)
        ending_of(request.scope).watch(waiter.end)
        found: list[PromptFeed | TracecoreError | Refusal] = []
        async with anyio.create_task_group() as group:
            group.start_soon(_end_with_client, request, waiter)
            try:
                found.append(await self._feeds.changes(project, asked.since, wait=wait, waiter=waiter))
            except (TracecoreError, Refusal) as error:  # out of the group it would be a group of one
                found.append(error)
            group.cancel_scope.cancel()
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]


async def _end_with_client(request: Request, waiter: Waiter) -> None:
    """Wait until the client is gone: there is nothing else to be received behind a body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    waiter.end()


async def _decoded(body: bytes, kind: type[Question]) -> Question:
    try:
        return await anyio.to_thread.run_sync(decode, body, kind) if len(body) > LARGE else decode(body, kind)
    except Malformed as error:  # what cannot be said is said as what cannot be
        shown = body[:_SHOWN].decode("utf-8", "replace")
        raise ConfigError("the body", shown, "the request", f"a {kind.__name__} in JSON ({error})") from error
