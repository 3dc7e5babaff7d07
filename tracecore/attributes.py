"""Reading what callers give: trace attributes, usage, cost, prompt links, levels and times, in any reasonable shape.

Capturing never raises: a value that cannot be used is brought into the nearest usable shape, or left out; one whose own
code raises when it is looked at is left out and counted. Formats are those of the Langfuse data model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final, TypeGuard, TypeVar, cast

import msgspec
from msgspec.structs import replace

from tracecore.codec import DEFAULT_LIMITS, Limits, metadata, snapshot, unencodables, without_surrogates
from tracecore.fields import TraceFields
from tracecore.introspection import class_of, module_of
from tracecore.records import LEVELS, OBSERVATION_TYPES, Level, ObservationType, TraceAttributes

__all__ = [
    "MAX_NAME",
    "cost_of",
    "environment_of",
    "extend_attributes",
    "level_of",
    "plain_number",
    "prompt_of",
    "text_of",
    "texts_of",
    "time_ns_of",
    "type_of",
    "usage_of",
]

T = TypeVar("T")

MAX_TEXT: Final = 200
"""Characters of a user id, session id, tag, name, release or version; the rest is cut (Langfuse drops the value)."""
MAX_NAME: Final = 500
"""Characters of the name of an observation."""
MAX_TAGS: Final = 200
MAX_BUCKETS: Final = 200
"""Buckets of one usage or cost; real ones have a dozen."""
MAX_USD: Final = 1e12
"""An amount beyond is no cost, and sums of such would not be finite."""
_LARGEST_INTEGER: Final = 2**63 - 1
"""What every store keeps as an integer."""
_NEITHER: Final[tuple[Any, Any]] = (None, None)

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
    """Return a value as text of at most ``max_length`` characters; None stays None.

    Lone surrogates, which no store and no wire can hold, become visible escapes.
    """
    if value is None:
        return None
    if type(value) is str and len(value) <= max_length and value.isascii():
        return value
    if issubclass(type(value), str):
        # Not value[...]: a subclass may define that. The result is an exact str.
        text = str.__getitem__(cast("str", value), slice(max_length))
        return text if text.isascii() else without_surrogates(text)[:max_length]
    encoded = bytes(snapshot(value))
    return (msgspec.json.decode(encoded, type=str) if encoded[:1] == b'"' else encoded.decode())[:max_length]


def _unless_raising(read: Callable[[object], T], value: object, otherwise: T) -> T:
    """Return ``read(value)``, or ``otherwise`` where the value's own code raises; that is counted."""
    try:
        return read(value)
    except Exception:  # noqa: BLE001 - any touch of a foreign object may raise anything, and capturing must not
        unencodables.add()
        return otherwise


def environment_of(value: object) -> str | None:
    """Return a valid environment name; an invalid one becomes ``default``, as Langfuse does."""
    name = text_of(value)
    return name if name is None or _ENVIRONMENT.fullmatch(name) else "default"


def level_of(value: object) -> Level:
    """Return a level from its name or a common alias, in any case; anything else is ``DEFAULT``."""
    name = (text_of(value) or "").upper()
    return name if name in LEVELS else _LEVEL_ALIASES.get(name, "DEFAULT")


def type_of(value: object) -> ObservationType:
    """Return an observation type from its name in any case; anything else is ``span``."""
    name = (text_of(value) or "").lower()
    return name if name in OBSERVATION_TYPES else "span"


def time_ns_of(value: object) -> int | None:
    """Return nanoseconds since the epoch from an aware or local ``datetime`` or an integer of ns; else None."""
    return _unless_raising(_time_ns, value, None)


def _time_ns(value: object) -> int | None:
    if isinstance(value, datetime):
        since = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        value = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    return value if type(value) is int and 0 <= value <= _LARGEST_INTEGER else None


def extend_attributes(old: TraceAttributes, fields: TraceFields, limits: Limits = DEFAULT_LIMITS) -> TraceAttributes:
    """Return ``old`` with the given fields replaced, tags joined and metadata merged; None leaves a field as it is."""
    changes: dict[str, Any] = {}
    for field, value in fields.items():
        if value is None:
            continue
        if field in _TEXTS:
            made: object = text_of(value) or None  # an empty id would gather everybody who has none
        elif field == "environment":
            made = environment_of(value)
        elif field == "tags":
            made = tuple(dict.fromkeys((*old.tags, *texts_of(value))))[:MAX_TAGS]
        elif field == "metadata":
            made = metadata(old.metadata, value, limits)
        else:
            made = value if field == "public" and type(value) is bool else None
        if made is not None:
            changes[field] = made
    return replace(old, **changes) if changes else old


def texts_of(value: object) -> tuple[str, ...]:
    """Return the texts of a list, tuple or set, of one text that text, empty ones left out; anything else has none."""
    return _unless_raising(_texts, value, ())


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple | set | frozenset):
        return ()
    given = islice(cast("Collection[object]", value), MAX_TAGS)
    return tuple(filter(None, map(text_of, given)))


def usage_of(value: object) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    """Return (disjoint buckets, what was given if it was not these) from units in Langfuse's or a provider's names.

    Nested ``…_details`` of OpenAI and LangChain become ``input_cached_tokens`` and the like, and are subtracted from
    the bucket that contains them. Values that are not whole numbers ≥ 0 are left out.
    """
    return _unless_raising(_usage, value, _NEITHER)


def _usage(value: object) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    if _are_buckets(value):
        return value.copy() or None, None
    if not _is_mapping(value):
        return None, None
    nested = False
    provided: dict[str, int] = {}
    buckets: dict[str, int] = {}
    for key, amount in _entries(cast("Mapping[object, object]", value)):
        whole = _units(amount)
        if whole is not None:
            provided[key] = whole
            buckets[_USAGE_ALIASES.get(key, key)] = whole
        elif key in _SUB_BUCKETS and _is_mapping(amount):
            nested = True
            parent = _SUB_BUCKETS[key]
            for sub, units in _entries(cast("Mapping[object, object]", amount)):
                if whole := _units(units):
                    provided[f"{key}.{sub}"] = whole
                    buckets[f"{parent}_{sub}"] = whole
    if nested:
        _make_disjoint(buckets, provided)
    return (buckets, None if provided == buckets else provided) if buckets else (None, None)


def _are_buckets(value: object) -> TypeGuard[dict[str, int]]:
    """Return whether units are already what the general way would make of them; most are."""
    given: Any = value
    if class_of(given) is not dict or len(given) > MAX_BUCKETS:
        return False
    for key, units in given.items():
        if type(key) is not str or type(units) is not int or not 0 <= units <= _LARGEST_INTEGER:
            return False
        if key in _USAGE_ALIASES or len(key) > MAX_TEXT or not key.isascii():
            return False
    return True


def _is_mapping(value: object) -> bool:
    """Return whether the value is a mapping; asking the abstract class takes ten times as long as knowing a dict."""
    return type(value) is dict or isinstance(value, Mapping)


def _entries(given: Mapping[object, object]) -> list[tuple[str, object]]:
    """Return the entries whose names are text, of a mapping that may be longer than anything sensible."""
    return [
        (name, amount)
        for key, amount in islice(given.items(), MAX_BUCKETS)
        if isinstance(key, str) and (name := text_of(key)) is not None
    ]


def _make_disjoint(buckets: dict[str, int], provided: Mapping[str, int]) -> None:
    for name in provided:
        outer, dot, sub = name.partition(".")
        parent = _SUB_BUCKETS.get(outer, "")
        if dot and parent in buckets:
            buckets[parent] = max(0, buckets[parent] - buckets[f"{parent}_{sub}"])


def plain_number(value: object) -> object:
    """Return a Decimal or a scalar of numpy as Python's own number, None if it is none; anything else as it is."""
    cls = class_of(value)
    if cls is int or cls is float:
        return value
    if issubclass(cls, Decimal):
        return _unless_raising(lambda _: float(Decimal.__str__(cast("Decimal", value))), value, None)
    if module_of(class_of(value)) == "numpy" and not issubclass(cls, float | complex | str | bytes):
        return cast("object", msgspec.json.decode(snapshot(value)))
    return value


def _units(value: object) -> int | None:
    value = plain_number(value)
    if type(value) is int:
        return value if 0 <= value <= _LARGEST_INTEGER else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_INTEGER:
        return None
    return int(value) if value == int(value) else None


def cost_of(value: object) -> tuple[dict[str, float] | None, float | None]:
    """Return (USD per bucket, total in USD) from a mapping or one number; the total is the sum when not given."""
    return _unless_raising(_cost, value, _NEITHER)


def _cost(value: object) -> tuple[dict[str, float] | None, float | None]:
    if _are_costs(value):
        return _with_total(value.copy())
    given = cast("Mapping[object, object]", value if _is_mapping(value) else {"total": value})
    costs = {
        key: float(amount)
        for key, given_amount in _entries(given)
        if (
            type(amount := plain_number(given_amount)) is float
            or (isinstance(amount, int | float) and not isinstance(amount, bool))
        )
        and -MAX_USD <= amount <= MAX_USD
    }
    return _with_total(costs)


def _are_costs(value: object) -> TypeGuard[dict[str, float]]:
    """Return whether costs are already what the general way would make of them; most are."""
    given: Any = value
    if class_of(given) is not dict or len(given) > MAX_BUCKETS:
        return False
    for key, amount in given.items():
        if type(key) is not str or type(amount) is not float or not -MAX_USD <= amount <= MAX_USD:
            return False
        if len(key) > MAX_TEXT or not key.isascii():
            return False
    return True


def _with_total(costs: dict[str, float]) -> tuple[dict[str, float] | None, float | None]:
    if not costs:
        return None, None
    total = costs.get("total")
    return costs, math.fsum(costs.values()) if total is None else total


def prompt_of(value: object) -> dict[str, Any]:
    """Return the record fields of a prompt link: from (name, version), a mapping, or an object with both attributes."""
    return _unless_raising(_prompt, value, {})


def _prompt(value: object) -> dict[str, Any]:
    if _is_mapping(value):
        given = cast("Mapping[str, object]", value)
        name, version, prompt_id = given.get("name"), given.get("version"), given.get("id")
    elif isinstance(value, tuple | list):
        name, version, prompt_id = (*islice(cast("tuple[object, ...]", value), 3), None, None, None)[:3]
    else:
        name, version, prompt_id = (cast("object", getattr(value, key, None)) for key in ("name", "version", "id"))
    fields: dict[str, Any] = {"prompt_name": text_of(name), "prompt_id": text_of(prompt_id)}
    fields["prompt_version"] = version if type(version) is int and 0 <= version <= _LARGEST_INTEGER else None
    return {key: given for key, given in fields.items() if given is not None}
