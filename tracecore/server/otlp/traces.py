"""What a span says of its trace, in attributes and by the resource that it comes from.

All spans of a trace say the same, as a rule: clients copy it onto each. So it is made once of equal values, and the
spans of a trace have one object, which a store packs once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

from tracecore.records import TraceAttributes
from tracecore.server.otlp.mapping import FIELDS
from tracecore.server.otlp.metadata import trace_metadata_of
from tracecore.server.otlp.origins import Origin
from tracecore.server.otlp.payloads import text_of
from tracecore.server.otlp.reading import environment_of, flag_of, short_text_of, tags_of
from tracecore.server.otlp.sorting import Readers, Shape, Sorted

__all__ = ["about_trace"]

_ENVIRONMENTS: Final = FIELDS["environment"]
_OF_TRACES: Final = Readers(
    {
        "trace_name": ("name", text_of),
        "user": ("user_id", short_text_of),
        "session": ("session_id", short_text_of),
        "tags": ("tags", tags_of),
        "release": ("release", text_of),
        "public": ("public", flag_of),
    }
)
_PLAIN: Final[frozenset[type]] = frozenset({str})
_ROWS: Final[frozenset[type]] = frozenset({str, tuple})
_READ: Final = (*_OF_TRACES.by_field, "environment")


def about_trace(version: str | None, attributes: Sorted, origin: Origin) -> TraceAttributes | None:
    """Return what is said of the trace by a span of a ``version``, and by its resource; None where that is nothing."""
    before = attributes.shape
    names = None if before is None else _names(before)
    if names is None:
        return _read(version, attributes, origin)
    values = [tuple(one) if type(one) is list else one for one in map(attributes.values.get, names)]
    said = (before, version, *values)
    try:
        known = origin.told.get(said)
    except TypeError:  # a value that cannot be looked up, nor be read
        return _read(version, attributes, origin)
    if known is not None:
        about, left = known
        attributes.go_on(left)
        return about
    about, after = _read(version, attributes, origin), attributes.shape
    if after is not None and _are_texts(values):
        origin.told[said] = about, after
    return about


@lru_cache(256)
def _names(shape: Shape) -> tuple[str, ...] | None:
    """Return the names of all that is read of a trace; None where something is that is not worth comparing."""
    if "trace_metadata" in shape.found or "trace_metadata.*" in shape.groups:
        return None
    return tuple(shape.found[field][2] for field in _READ if field in shape.found)


def _are_texts(values: Sequence[object]) -> bool:
    """Return whether values are texts, or rows of them: nothing else is equal to those (as True is to 1)."""
    if _PLAIN.issuperset(map(type, values)):
        return True
    rows = [cast("tuple[object, ...]", one) for one in values if type(one) is tuple]
    return _ROWS.issuperset(map(type, values)) and all(_PLAIN.issuperset(map(type, row)) for row in rows)


def _read(version: str | None, attributes: Sorted, origin: Origin) -> TraceAttributes | None:
    said: dict[str, Any] = {}
    attributes.spread(_OF_TRACES, said)
    if version is None:
        version = origin.service_version
    if version is not None:
        said["version"] = version
    if origin.release is not None:
        said.setdefault("release", origin.release)
    if origin.environments or attributes.has("environment"):
        said["environment"] = _environment(attributes, origin)
    if attributes.has("trace_metadata") or "trace_metadata.*" in attributes.groups:
        said["metadata"] = trace_metadata_of(attributes, origin)
    return TraceAttributes(**said) if said else None


def _environment(attributes: Sorted, origin: Origin) -> str | None:
    """Return the environment by its names in order: each looked for in the span, then in the resource."""
    key = attributes.key_of("environment")
    best = min(origin.environments, default=len(_ENVIRONMENTS))
    if key is None or best < _ENVIRONMENTS.index(key):
        return origin.environments[best]
    return attributes.take("environment", environment_of)
