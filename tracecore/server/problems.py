"""Errors as answers: whatever goes wrong in a route is one JSON object (:class:`tracecore.wire.Problem`)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tracecore.errors import TracecoreError
from tracecore.reporting import report
from tracecore.wire import Malformed, Problem, encode, problem_of

__all__ = ["Endpoint", "Refusal", "answering", "headers_of", "response_to"]

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """Answer a request with a problem, instead of doing what it asks."""

    def __init__(
        self, status: int, title: str, detail: str, remedy: str = "", *, retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(title, status, detail, remedy, retry_after)


def answering(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that answers with a problem, whatever the one that is given raises."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refusal as refusal:
            return response_to(refusal)
        except Malformed as error:
            return _response(Problem("Malformed", 400, f"this request cannot be understood: {error}"))
        except TracecoreError as error:
            return _response(problem_of(error))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception as error:  # noqa: BLE001 - the next request is served all the same
            report("tracecore's server could not answer %s", request.url.path, severe=True, error=error)
            return _response(Problem("InternalError", 500, "the server made a mistake; its log says which"))

    return answered


def response_to(refusal: Refusal) -> Response:
    """Return the answer that a refusal is."""
    return _response(refusal.problem)


def headers_of(problem: Problem) -> dict[str, str]:
    """Return the headers that a problem has beside its body, in whatever words that is."""
    headers: dict[str, str] = {}
    if problem.retry_after is not None and math.isfinite(problem.retry_after):
        headers["retry-after"] = str(max(0, math.ceil(problem.retry_after)))
    if problem.status == 413:  # noqa: PLR2004 - what is left of the body is not read
        headers["connection"] = "close"
    return headers


def _response(problem: Problem) -> Response:
    return Response(encode(problem), problem.status, headers_of(problem), "application/problem+json")
