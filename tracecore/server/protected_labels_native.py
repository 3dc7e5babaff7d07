"""Protected labels of prompts on tracecore's own endpoint: the list of a project is read, and replaced as a whole.

``GET`` and ``PUT`` of ``/prompts/protected-labels`` take and give ``{"labels": [...]}``. Who may move protected labels
says which there are; a change that moves one is refused to everybody else.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracecore.prompt_wire import PROMPTS, ProtectedLabels
from tracecore.prompts import NOBODY
from tracecore.server.bodies import Allowance, Limits, body_of
from tracecore.server.prompts_native import Admit, by_method
from tracecore.services.protected_labels import ProtectedLabels as Service
from tracecore.wire import decode, encode

__all__ = ["protected_label_routes"]

_LARGEST: Final = 64 << 10
"""Bytes of a list."""
_DEFAULT: Final = "default"
"""The project of who reaches all of them."""


def protected_label_routes(service: Service, *, admit: Admit, limits: Limits, allowance: Allowance) -> list[Route]:
    """Return the route of protected labels; ``admit`` decides who may ask, and of which project."""
    limits = replace(limits, wire_bytes=_LARGEST, inflated_bytes=_LARGEST)

    async def read(request: Request) -> Response:
        visitor = await admit(request, "prompts:read")
        return _answer(await service.get(visitor.reaches(_DEFAULT)))

    async def write(request: Request) -> Response:
        visitor = await admit(request, "promptProtectedLabels:CUD")
        with allowance.share() as take:
            asked = decode(await body_of(request, limits, take), ProtectedLabels)
        author = visitor.writes_as(NOBODY)
        return _answer(await service.put(visitor.reaches(_DEFAULT), asked.labels, author=author))

    return [by_method(f"{PROMPTS}/protected-labels", {"GET": read, "PUT": write})]


def _answer(labels: tuple[str, ...]) -> Response:
    return Response(encode(ProtectedLabels(labels)), media_type="application/json")
