"""Reading what callers give: trace attributes, usage, cost, prompt links, levels and times, in any reasonable shape.

Capturing never raises: a value that cannot be used is brought into the nearest usable shape, or left out. Formats are
those of the Langfuse data model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Any, Final, cast

from msgspec.structs import replace

from tracecore.codec import DEFAULT_LIMITS, Limits, metadata, snapshot
from tracecore.fields import TraceFields
from tracecore.records import LEVELS, OBSERVATION_TYPES, Level, ObservationType, TraceAttributes

__all__ = [
    "cost_of",
    "environment_of",
    "extend_attributes",
    "level_of",
    "prompt_of",
    "text_of",
    "time_ns_of",
    "type_of",
    "usage_of",
]

MAX_TEXT: Final = 200
"""Characters of a user id, session id, tag, name, release or version; the rest is cut (Langfuse drops the value)."""

_TEXTS: Final = frozenset({"name", "user_id", "session_id", "release", "version"})
_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9\-_]{1,40}")
_LEVEL_ALIASES: Final[dict[str, Level]] = {
    "TRACE": "DEBUG",
    "VERBOSE": "DEBUG",
    "INFO": "DEFAULT",
    "LOG": "DEFAULT",
    "NOTICE": "DEFAULT",
    "OK": "DEFAULT",
    "SUCCESS": "DEFAULT",
    "WARN": "WARNING",
    "FATAL": "ERROR",
    "CRITICAL": "ERROR",
}
_USAGE_ALIASES: Final = {
    "prompt_tokens": "input",
    "completion_tokens": "output",
    "total_tokens": "total",
    "input_tokens": "input",
    "output_tokens": "output",
    "promptTokens": "input",
    "completionTokens": "output",
    "totalTokens": "total",
}
_SUB_BUCKETS: Final = {
    "prompt_tokens_details": "input",
    "input_tokens_details": "input",
    "input_token_details": "input",
    "completion_tokens_details": "output",
    "output_tokens_details": "output",
    "output_token_details": "output",
}


def text_of(value: object, *, max_length: int = MAX_TEXT) -> str | None:
    """Return a value as text of at most ``max_length`` characters; None stays None."""
    if value is None:
        return None
    if type(value) is str:
        return value[:max_length]
    encoded = bytes(snapshot(value)).decode()
    return encoded.strip('"')[:max_length]


def environment_of(value: object) -> str | None:
    """Return a valid environment name; an invalid one becomes ``default``, as Langfuse does."""
    name = text_of(value)
    return name if name is None or _ENVIRONMENT.fullmatch(name) else "default"


def level_of(value: object) -> Level:
    """Return a level from its name or a common alias, in any case; anything else is ``DEFAULT``."""
    name = (text_of(value) or "").upper()
    return cast("Level", name) if name in LEVELS else _LEVEL_ALIASES.get(name, "DEFAULT")


def type_of(value: object) -> ObservationType:
    """Return an observation type from its name in any case; anything else is ``span``."""
    name = (text_of(value) or "").lower()
    return cast("ObservationType", name) if name in OBSERVATION_TYPES else "span"


def time_ns_of(value: object) -> int | None:
    """Return nanoseconds since the epoch from an aware or local ``datetime`` or an integer of ns; else None."""
    if isinstance(value, datetime):
        epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
        since = value.astimezone(timezone.utc) - epoch
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    return value if type(value) is int and value >= 0 else None


def extend_attributes(
    old: TraceAttributes, fields: TraceFields, limits: Limits = DEFAULT_LIMITS
) -> TraceAttributes:
    """Return ``old`` with the given fields replaced, tags joined and metadata merged; None leaves a field as it is."""
    changes: dict[str, Any] = {}
    for field, value in fields.items():
        if field in _TEXTS:
            changes[field] = text_of(value)
        elif field == "environment":
            changes[field] = environment_of(value)
        elif field == "tags" and value is not None:
            changes[field] = _joined_tags(old.tags, value)
        elif field == "metadata" and value is not None:
            changes[field] = metadata(old.metadata, value, limits)
        elif field == "public" and isinstance(value, bool):
            changes[field] = value
    changes = {key: value for key, value in changes.items() if value is not None}
    return replace(old, **changes) if changes else old


def _joined_tags(old: tuple[str, ...], new: object) -> tuple[str, ...]:
    if isinstance(new, str):
        new = (new,)
    if not isinstance(new, list | tuple | set | frozenset):
        return old
    given = cast("Collection[object]", new)
    return tuple(dict.fromkeys((*old, *filter(None, map(text_of, given)))))[:MAX_TEXT]


def usage_of(value: object) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    """Return (disjoint buckets, buckets as provided) from a mapping of units, in Langfuse's or a provider's names.

    Nested ``…_details`` of OpenAI and LangChain become ``input_cached_tokens`` and the like, and are subtracted from
    the bucket that contains them. Values that are not whole numbers ≥ 0 are left out.
    """
    if not isinstance(value, Mapping):
        return None, None
    given = cast("Mapping[object, object]", value)
    provided: dict[str, int] = {}
    buckets: dict[str, int] = {}
    for key, amount in given.items():
        if isinstance(key, str) and isinstance(amount, Mapping) and key in _SUB_BUCKETS:
            parent = _SUB_BUCKETS[key]
            for sub, units in cast("Mapping[object, object]", amount).items():
                if isinstance(sub, str) and (whole := _units(units)):
                    provided[f"{key}.{sub}"] = whole
                    buckets[f"{parent}_{sub}"] = whole
        elif isinstance(key, str) and (whole := _units(amount)) is not None:
            provided[key] = whole
            buckets[_USAGE_ALIASES.get(key, key)] = whole
    _make_disjoint(buckets, provided)
    return (buckets, provided) if buckets else (None, None)


def _make_disjoint(buckets: dict[str, int], provided: Mapping[str, int]) -> None:
    for name in provided:
        outer, dot, sub = name.partition(".")
        parent = _SUB_BUCKETS.get(outer, "")
        if dot and parent in buckets:
            buckets[parent] = max(0, buckets[parent] - buckets[f"{parent}_{sub}"])


def _units(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value >= 0 and value == int(value) and value < 2**63 else None


def cost_of(value: object) -> tuple[dict[str, float] | None, float | None]:
    """Return (USD per bucket, total in USD) from a mapping or one number; the total is the sum when not given."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {"total": value}
    if not isinstance(value, Mapping):
        return None, None
    given = cast("Mapping[object, object]", value)
    costs = {
        key: float(amount)
        for key, amount in given.items()
        if isinstance(key, str) and isinstance(amount, int | float) and not isinstance(amount, bool)
        and math.isfinite(amount)
    }  # fmt: skip
    if not costs:
        return None, None
    total = costs.get("total")
    return costs, math.fsum(costs.values()) if total is None else total


def prompt_of(value: object) -> dict[str, Any]:
    """Return the record fields of a prompt link: from (name, version), a mapping, or an object with both attributes."""
    if isinstance(value, Mapping):
        given = cast("Mapping[str, object]", value)
        name, version, prompt_id = given.get("name"), given.get("version"), given.get("id")
    elif isinstance(value, tuple | list) and len(cast("tuple[object, ...]", value)) == 2:  # noqa: PLR2004 - name, version
        (name, version), prompt_id = cast("tuple[object, object]", value), None
    else:
        name, version = getattr(value, "name", None), getattr(value, "version", None)
        prompt_id = getattr(value, "id", None)
    fields: dict[str, Any] = {"prompt_name": text_of(name), "prompt_id": text_of(prompt_id)}
    fields["prompt_version"] = version if type(version) is int else None
    return {key: given for key, given in fields.items() if given is not None}
