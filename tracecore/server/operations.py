"""Declared operations: a method, a path, the permission it needs, and what goes in and out.

An operation is a function whose annotations say everything: ``call`` is who asks, ``query`` a Struct of the query
string, ``body`` the type of the JSON body, every other argument a part of the path, and the return type the answer.
From the same declaration come the route, the check of the permission, the decoding, the OpenAPI document and the tests;
there is no other way to add a route, and an operation without a permission cannot be written down.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import anyio.to_thread
import msgspec
from msgspec import Struct
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tracecore.backend import Backend
from tracecore.catalog import CatalogStore
from tracecore.errors import TracecoreError
from tracecore.exact_json import encode
from tracecore.kinds import catalog_of
from tracecore.reporting import report
from tracecore.server.answers import LARGE, LongAnswer
from tracecore.server.bodies import body_of
from tracecore.server.langfuse_errors import InvalidRequest, answer_to
from tracecore.server.problems import Refusal
from tracecore.server.state import ServerState
from tracecore.server.surrogates import with_visible_surrogates
from tracecore.services.access import Permission, Principal
from tracecore.wire import LARGEST_ANSWER

__all__ = ["NO_CONTENT", "OK", "PUBLIC", "Call", "Operation", "Operations", "json_answer", "routes_of"]

OK: Final = 200
NO_CONTENT: Final = 204
PUBLIC: Final = "public"
"""Stands for the permission of what everybody may ask, such as whether the server is well."""
Needed: TypeAlias = Permission | Literal["public"]
Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler: TypeAlias = Callable[..., Awaitable[Any]]
H = TypeVar("H", bound=Handler)


class Call:
    """Hold one request: who asks, where it is kept, and what time it is."""

    def __init__(
        self, request: Request, state: ServerState, principal: Principal | None, hold: Callable[[int], None]
    ) -> None:
        self.request: Final = request
        self.state: Final = state
        self._hold = hold
        self._held = 0
        self._principal = principal

    @property
    def principal(self) -> Principal:
        """Return who asks; only operations that everybody may ask have nobody."""
        if self._principal is None:
            raise LookupError("an operation for everybody asked who it is")
        return self._principal

    @property
    def project(self) -> str:
        """Return the one project that the credential reaches."""
        return self.principal.project

    @property
    def backend(self) -> Backend:
        """Return where records are kept."""
        return self.state.backend

    @property
    def catalog(self) -> CatalogStore:
        """Return where managed objects are kept."""
        return catalog_of(self.state.backend)

    def hold(self, count: int, remedy: str = "ask for a smaller limit") -> None:
        """Count bytes of payloads that were read for the answer, until it is made; what is first always may be.

        Raises:
            InvalidRequest: they are more than an answer may have; the remedy says how to ask for less.
            Refusal: there is no room for them, because of other answers.
        """
        if self._held and self._held + count > LARGEST_ANSWER:
            raise InvalidRequest(f"this answer would be longer than {LARGEST_ANSWER} bytes: {remedy}")
        self._held += count
        self._hold(count)

    async def is_wanted(self) -> bool:
        """Return whether the client still waits for the answer."""
        return not await self.request.is_disconnected()

    @cached_property
    def now_ns(self) -> int:
        """Return the time of the request: wall clock, ns, the same however often it is asked for."""
        return self.state.wall()


class Operation:
    """Describe one operation, and answer requests for it."""

    def __init__(
        self,
        method: Method,
        path: str,
        handler: Handler,
        *,
        permission: Needed,
        statuses: tuple[int, ...] = (200,),
        deprecated: bool = False,
    ) -> None:
        hints = get_type_hints(handler, include_extras=True)
        names = [name for name in inspect.signature(handler).parameters if name != "call"]
        self.method: Final = method
        self.path: Final = path
        self.handler: Final = handler
        self.permission: Final[Needed] = permission
        self.statuses: Final = statuses
        """Those of answers that are none of an error; the first is that of what is not answered by hand."""
        self.deprecated: Final = deprecated
        self.query: Final[type[Struct] | None] = hints.get("query")
        self.body: Final[Any] = hints.get("body")
        self.answer: Final[Any] = _described(hints["return"])
        self.arguments: Final = tuple(name for name in names if name not in {"query", "body"})
        self._decoder = None if self.body is None else msgspec.json.Decoder(self.body)

    @property
    def name(self) -> str:
        """Return what the operation is called."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """Return what it does, in one sentence."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]

    async def __call__(self, call: Call) -> Response:
        """Decode what is asked, do it, and encode the answer."""
        given: dict[str, Any] = {name: call.request.path_params[name] for name in self.arguments}
        if self.query is not None:
            given["query"] = query_of(call.request.query_params.multi_items(), self.query)
        if self._decoder is not None:
            given["body"] = await _decoded(call, self._decoder)
        answer = await self.handler(call, **given)
        if isinstance(answer, Response) or answer is None:
            return answer or json_answer(None, self.statuses[0])
        return LongAnswer(encode(answer), call.state.allowance.answers, answer_to, status=self.statuses[0])


def _described(answer: Any) -> Any:
    """Return the type of an answer: of one that the operation makes by hand, what its annotation says beside it."""
    return get_args(answer)[1] if get_origin(answer) is Annotated else answer


class Operations:
    """Collect the operations of a module; ``prefix`` begins all their paths."""

    def __init__(self, prefix: str = "/api/public") -> None:
        self._prefix = prefix
        self.declared: Final[list[Operation]] = []

    def get(self, path: str, *, permission: Needed, deprecated: bool = False) -> Callable[[H], H]:
        """Declare a read."""
        return self._declare("GET", path, permission=permission, statuses=(200,), deprecated=deprecated)

    def post(self, path: str, *, permission: Needed, status: int = 200, also: tuple[int, ...] = ()) -> Callable[[H], H]:
        """Declare that something is made; ``also`` are the statuses of answers made by hand."""
        return self._declare("POST", path, permission=permission, statuses=(status, *also))

    def put(self, path: str, *, permission: Needed) -> Callable[[H], H]:
        """Declare that something is replaced."""
        return self._declare("PUT", path, permission=permission, statuses=(200,))

    def patch(self, path: str, *, permission: Needed, status: int = 200) -> Callable[[H], H]:
        """Declare that something is changed."""
        return self._declare("PATCH", path, permission=permission, statuses=(status,))

    def delete(self, path: str, *, permission: Needed, status: int = 200) -> Callable[[H], H]:
        """Declare that something is removed."""
        return self._declare("DELETE", path, permission=permission, statuses=(status,))

    def _declare(
        self, method: Method, path: str, *, permission: Needed, statuses: tuple[int, ...], deprecated: bool = False
    ) -> Callable[[H], H]:
        def declare(handler: H) -> H:
            self.declared.append(
                Operation(
                    method,
                    self._prefix + path,
                    handler,
                    permission=permission,
                    statuses=statuses,
                    deprecated=deprecated,
                )
            )
            return handler

        return declare


def routes_of(operations: Iterable[Operation], state: ServerState) -> list[Route]:
    """Return the routes of operations: one per path, in the order in which they were declared."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        methods = by_path.setdefault(operation.path, {})
        if operation.method in methods:
            raise ValueError(f"{operation.method} {operation.path} is declared twice")
        methods[operation.method] = operation
    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return [
        Route(path, _endpoint(methods, state), methods=every, middleware=_from_browsers(methods))
        for path, methods in by_path.items()
    ]


def _from_browsers(methods: dict[str, Operation]) -> list[Middleware]:
    """Return what lets pages of any origin give scores, with the public part of a key: nothing else is for them."""
    allowed = [method for method, operation in methods.items() if operation.permission == "scores:create"]
    if not allowed:
        return []
    return [Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=allowed, allow_headers=["*"])]


async def _decoded(call: Call, decoder: msgspec.json.Decoder[Any]) -> Any:
    with call.state.allowance.share() as take:
        data = await body_of(call.request, call.state.limits, take)
        try:
            if len(data) > LARGE:
                return await anyio.to_thread.run_sync(_decoded_text, data, decoder)
            return _decoded_text(data, decoder)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise InvalidRequest(str(error)) from error


def _decoded_text(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode a body; one that is refused may hold half a surrogate pair, which only has to be visible."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:
        visible = with_visible_surrogates(data)
        if visible == data:
            raise
        return decoder.decode(visible)


def _endpoint(methods: dict[str, Operation], state: ServerState) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        operation = methods.get("GET" if request.method == "HEAD" else request.method)
        if operation is None:
            return _wrong_method(request, ", ".join(methods))
        request.scope["operation"] = operation
        try:
            principal = None
            if operation.permission != PUBLIC:
                principal = await state.gate.admit(request, operation.permission)
            with state.allowance.answers.share() as hold:
                return await operation(Call(request, state, principal, hold))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except (Refusal, TracecoreError, InvalidRequest) as error:
            return answer_to(error)
        except Exception as error:  # noqa: BLE001 - the next request is served all the same
            report("tracecore's server could not answer %s", request.url.path, severe=True, error=error)
            return answer_to(error)

    return endpoint


def _wrong_method(request: Request, allowed: str) -> Response:
    answer = answer_to(Refusal(405, "WrongMethod", f"{request.method} {request.url.path}", f"use {allowed}"))
    answer.headers["allow"] = allowed  # RFC 9110, 15.5.6
    return answer


def query_of(items: Iterable[tuple[str, str]], kind: type[Struct]) -> Any:
    """Return the Struct that a query string is: a name that is repeated is a list where the field is one.

    Raises:
        InvalidRequest: a value cannot be what its name asks for.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    for name, value in items:
        field = fields.get(name)
        if field is None:
            continue
        if _is_list(field.type):
            given.setdefault(name, []).append(value)
        elif value or field.type is str:
            given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from error


def _is_list(kind: Any) -> bool:
    described = msgspec.inspect.type_info(kind)
    options = described.types if isinstance(described, msgspec.inspect.UnionType) else (described,)
    return any(isinstance(one, msgspec.inspect.VarTupleType | msgspec.inspect.ListType) for one in options)


def json_answer(value: Any, status: int = 200) -> Response:
    """Return an answer that is this value as JSON; None is an empty one."""
    if value is None:
        return Response(status_code=NO_CONTENT if status == OK else status)
    return Response(encode(value), status, media_type="application/json")
