"""Errors as Langfuse's API words them: ``{message, error}``; what its clients and people's scripts look at.

Our own endpoint answers with problem documents instead (:mod:`tracecore.server.problems`); which error is which status
is the same table.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from tracecore.errors import ConfigError, TracecoreError
from tracecore.reporting import text_of_error
from tracecore.server.problems import Refusal, headers_of
from tracecore.wire import Problem, problem_of

__all__ = ["InvalidRequest", "answer_to"]

_NAMES: Final = {
    400: "InvalidRequestError", 401: "UnauthorizedError", 403: "ForbiddenError", 404: "LangfuseNotFoundError",
    405: "MethodNotAllowedError", 409: "LangfuseConflictError", 413: "PayloadTooLargeError",
    422: "UnprocessableError", 429: "RateLimitError", 503: "ServiceUnavailableError",
}  # fmt: skip


class InvalidRequest(ValueError):
    """Report a request whose query, body or path is not what the operation takes."""


def answer_to(error: Exception) -> Response:
    """Return the answer to a request that ended in this error."""
    if isinstance(error, InvalidRequest | ConfigError):  # a service names what is wrong with what it was given
        return _json(400, {"message": "Invalid request data", "error": [{"message": text_of_error(error)}]})
    if isinstance(error, Refusal):
        return _of_problem(error.problem)
    if isinstance(error, TracecoreError):
        return _of_problem(problem_of(error))
    return _json(500, {"message": "Internal Server Error", "error": "InternalServerError"})


def _of_problem(problem: Problem) -> Response:
    message = f"{problem.detail}; {problem.remedy}" if problem.remedy else problem.detail
    headers = headers_of(problem)
    if problem.status == 401:  # noqa: PLR2004 - what a browser or curl asks for a password at
        headers["www-authenticate"] = 'Basic realm="tracecore"'
    return _json(problem.status, {"message": message, "error": _NAMES.get(problem.status, problem.title)}, headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")
