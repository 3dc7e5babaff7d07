"""Metrics of a prompt on tracecore's own endpoint: ``GET {base}/api/tracecore/v1/prompts/metrics?name=…``.

``since_ns`` and ``until_ns`` bound the time (ns since the Unix epoch), ``project`` names the project where no key does.
The answer is :class:`PromptMetrics`, whatever goes wrong a :class:`tracecore.wire.Problem`.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracecore.backend import Backend
from tracecore.errors import ConfigError
from tracecore.prompt_wire import path_of
from tracecore.server.prompts_native import Admit, by_method
from tracecore.services.prompt_metrics import VersionMetrics, metrics
from tracecore.wire import encode

__all__ = ["PromptMetrics", "metrics_route"]

_SHOWN: Final = 200
"""Characters of a query string that an error shows."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold what the query string asks for."""

    name: str
    project: str = ""
    since_ns: int | None = None
    until_ns: int | None = None


class PromptMetrics(Struct, frozen=True):
    """Hold the metrics of every version, the newest first."""

    name: str
    versions: list[VersionMetrics]


def metrics_route(backend: Backend, admit: Admit) -> Route:
    """Return the route of the metrics of prompts; ``admit`` decides who may ask, and about which project."""

    async def endpoint(request: Request) -> Response:
        visitor = await admit(request, "project:read")
        asked = _asked(request)
        found = await metrics(
            backend, visitor.reaches(asked.project), asked.name, since_ns=asked.since_ns, until_ns=asked.until_ns
        )
        return Response(encode(PromptMetrics(asked.name, found)), media_type="application/json")

    return by_method(path_of("metrics"), {"GET": endpoint})


def _asked(request: Request) -> Asked:
    try:
        return msgspec.convert(dict(request.query_params), Asked, strict=False)
    except msgspec.ValidationError as error:
        given = str(request.query_params)[:_SHOWN]
        raise ConfigError("the query", given, "the request", f"name, since_ns and until_ns ({error})") from error
