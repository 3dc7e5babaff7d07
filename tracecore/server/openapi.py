"""The OpenAPI 3.1 document of the declared operations: what they take and give is what their types say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from starlette.responses import Response

from tracecore import __version__
from tracecore.server.operations import NO_CONTENT, OK, PUBLIC, Operation

__all__ = ["document"]

_PART: Final = re.compile(r"{(\w+)(:path)?}")
_TEMPLATE: Final = "#/components/schemas/{name}"
_ERRORS: Final = {
    "400": "The request cannot be understood.",
    "401": "The credential is none, or does not hold any more.",
    "403": "The credential does not permit this.",
    "404": "There is no such thing in the project of the credential.",
    "408": "The body did not arrive in time.",
    "409": "Somebody else changed it first, or has the name.",
    "413": "The body is too large.",
    "415": "The encoding of the body is not known.",
    "422": "It will never be accepted.",
    "503": "It may be accepted later.",
}


class Failure(Struct, frozen=True):
    """Say what went wrong."""

    message: str
    error: Any = None


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the document."""
    every = list(operations)
    kinds = [kind for one in every for part in (one.query, one.body, one.answer) for kind in _kinds(part)]
    schemas, components = msgspec.json.schema_components([*kinds, Failure], ref_template=_TEMPLATE)
    by_kind = dict(zip(map(id, [*kinds, Failure]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        path = _PART.sub(r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, by_kind, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tracecore", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "basic"}},
        },
    }


def _is_described(kind: Any) -> bool:
    return kind is not None and kind is not type(None) and not (inspect.isclass(kind) and issubclass(kind, Response))


def _kinds(part: Any) -> list[Any]:
    """Return the types that a part of an operation may have: an answer may be one of several."""
    if isinstance(part, UnionType) or get_origin(part) is Union:
        return [kind for kind in get_args(part) if _is_described(kind)]
    return [part] if _is_described(part) else []


def _schema(part: Any, by_kind: dict[int, Any]) -> dict[str, Any]:
    found = [by_kind[id(kind)] for kind in _kinds(part)]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _operation(one: Operation, by_kind: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": [*map(_path_parameter, one.arguments), *_query_parameters(one, by_kind, components)],
        "responses": _responses(one, by_kind),
        "security": [] if one.permission == PUBLIC else [{"key": []}],
    }
    if one.deprecated:
        described["deprecated"] = True
    if _is_described(one.body):
        content = {"application/json": {"schema": _schema(one.body, by_kind)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(one: Operation, by_kind: dict[int, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    name = by_kind[id(one.query)]["$ref"].rpartition("/")[2]
    required = components[name].get("required", [])
    properties: dict[str, Any] = components[name]["properties"]
    return [
        {"name": field, "in": "query", "required": field in required, "schema": schema}
        for field, schema in properties.items()
    ]


def _responses(one: Operation, by_kind: dict[int, Any]) -> dict[str, Any]:
    failure = {"application/json": {"schema": by_kind[id(Failure)]}}
    found: dict[str, Any] = {status: {"description": text, "content": failure} for status, text in _ERRORS.items()}
    if one.permission == PUBLIC:
        del found["401"]
    good: dict[str, Any] = {"description": one.summary}
    if _is_described(one.answer):
        good["content"] = {"application/json": {"schema": _schema(one.answer, by_kind)}}
    nothing = one.answer is type(None)
    return found | {str(NO_CONTENT if nothing and status == OK else status): good for status in one.statuses}
