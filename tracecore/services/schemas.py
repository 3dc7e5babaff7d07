"""JSON Schemas that people give, and what of a value they refuse.

Schemas are compiled by ``jsonschema-rs``: it knows every draft from 4 to 2020-12, its patterns take linear time, and it
has no dependencies; ``fastjsonschema`` would make a program of what a client sent and run it, and ``jsonschema``'s
patterns are Python's, which a client can make run for ever. Nothing is fetched: a reference leads into the schema
itself. A schema whose references multiply without end is refused before it is tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Final, cast
from urllib.parse import unquote

import jsonschema_rs
import msgspec
from msgspec import Raw, Struct

from tracecore.errors import ConfigError
from tracecore.services.schema_work import MOST_STEPS, steps_of

__all__ = ["LONGEST_SCHEMA", "NULL", "check_schema", "problems_of"]

NULL: Final = Raw(b"null")
"""The schema that there is not, and any other value that there is not."""
LONGEST_SCHEMA: Final = 1 << 18
"""Bytes of a schema, at most."""
_MOST_PARTS: Final = 100_000
"""Schemas within a schema, each counted as often as references lead to it."""
_MOST_PROBLEMS: Final = 10
_MOST_EXPLAINED: Final = 20_000
"""Steps of a comparison that is explained: to say why takes ten times as long as to say whether."""
_REQUEST: Final = "the request"


class _Compiled(Struct, frozen=True):
    """Hold a schema that can be used."""

    validator: jsonschema_rs.Validator
    decoded: dict[str, Any]
    length: int
    """Bytes."""
    has_references: bool

    def steps(self, value: Any, length: int) -> int:
        """Return how much work it is, at most, to compare a value of so many bytes.

        Raises:
            TooMuchWork: more than can be done.
        """
        most = self.length * length // 4  # a schema and a value are two bytes each, with what is between them
        if most <= MOST_STEPS and not self.has_references:
            return most
        return steps_of(self.decoded, value, partial(_target, root=self.decoded))


def check_schema(key: str, schema: Raw) -> None:
    """Refuse what is no schema.

    Raises:
        ConfigError: it is none, is too long, or refers to something outside itself.
    """
    if schema == NULL:
        return
    if len(bytes(schema)) > LONGEST_SCHEMA:
        raise ConfigError(key, f"{len(bytes(schema))} bytes", _REQUEST, f"at most {LONGEST_SCHEMA} bytes")
    try:
        _compiled(bytes(schema))
    except (ValueError, RecursionError) as error:  # jsonschema_rs.ValidationError is a ValueError too
        raise ConfigError(key, bytes(schema)[:100].decode(errors="replace"), _REQUEST, _expected(error)) from error


def problems_of(key: str, schema: Raw, value: Raw) -> list[str]:
    """Return what a schema refuses of a value, the first few; nothing where there is no schema."""
    if schema == NULL:
        return []
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return [f"{key} cannot be compared with its schema: {error}"]
    try:
        compiled = _compiled(bytes(schema))
        steps = compiled.steps(decoded, len(bytes(value)))
        if compiled.validator.is_valid(decoded):
            return []
        if steps > _MOST_EXPLAINED:
            return [f"{key} does not meet its schema; both are too large to say where"]
        return [_described(key, problem) for problem in islice(compiled.validator.iter_errors(decoded), _MOST_PROBLEMS)]
    except (ValueError, RecursionError) as broken:
        return [f"{key} cannot be compared with its schema: {str(broken)[:300]}"]


def _described(key: str, problem: jsonschema_rs.ValidationError) -> str:
    path = "".join(f"[{part!r}]" for part in problem.instance_path)
    return f"{key}{path[:200]}: {problem.message[:300]}"


def _expected(error: Exception) -> str:
    reason = error.message if isinstance(error, jsonschema_rs.ValidationError) else str(error)
    return f"a JSON Schema ({reason[:300]})"


@lru_cache(maxsize=64)
def _compiled(schema: bytes) -> _Compiled:
    decoded = msgspec.json.decode(schema, type=dict[str, Any])
    known: dict[str, int] = {}
    if _parts(decoded, decoded, known) > _MOST_PARTS:
        raise ValueError(f"its references multiply: it is more than {_MOST_PARTS} schemas")
    options = jsonschema_rs.RegexOptions()
    validator = jsonschema_rs.validator_for(decoded, offline=True, pattern_options=options, mask="the value")
    return _Compiled(validator, decoded, len(schema), has_references=bool(known))


def _parts(node: Any, root: Any, known: dict[str, int]) -> int:
    """Return how many schemas a schema is at most; ``known`` holds what references come to, 1 while it is counted."""
    if isinstance(node, list):
        items = list(cast("Iterable[Any]", node))
        return sum(_parts(item, root, known) for item in items)
    if not isinstance(node, dict):
        return 0
    members = cast("dict[str, Any]", node)
    if node is not root and isinstance(members.get("$id"), str):
        raise ValueError("only the whole of it may have an $id")
    total = 1 + sum(_parts(item, root, known) for item in members.values())
    for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
        if isinstance(members.get(keyword), str):
            total += _referred(members[keyword], root, known)
    return total


def _referred(reference: str, root: Any, known: dict[str, int]) -> int:
    if reference not in known:
        known[reference] = 1
        known[reference] = _parts(_target(reference, root), root, known)
    return known[reference]


def _target(reference: str, root: Any) -> Any:
    """Return what a JSON pointer (RFC 6901, as a fragment: section 6) within the schema leads to."""
    if reference != "#" and not reference.startswith("#/"):
        raise ValueError(f"{reference[:100]!r} is no reference into the schema itself, such as '#/$defs/name'")
    found = root
    for part in unquote(reference[2:]).split("/") if reference != "#" else ():
        name = part.replace("~1", "/").replace("~0", "~")
        found = _member(found, name)
        if found is None:
            raise ValueError(f"{reference[:100]!r} leads nowhere")
    return found


def _member(node: Any, name: str) -> Any:
    if isinstance(node, list):
        items = list(cast("Iterable[Any]", node))
        return (
            items[int(name)]
            if name.isdecimal() and len(name) <= len(str(len(items))) and int(name) < len(items)
            else None
        )
    return cast("dict[str, Any]", node).get(name) if isinstance(node, dict) else None
