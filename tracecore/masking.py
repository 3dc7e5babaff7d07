"""Mask a record: pass every string that the program gave through one function, as the last thing before it leaves.

Everything is masked, keys too, except what :data:`NOT_MASKED` names: names of a fixed set, the project, and the random
id of a process in the ledger. An id that looks like one (hexadecimal digits and dashes) ties records together and
stays; one that the program made of other text is masked, and where that changes it, becomes a fingerprint, so that it
still tells records apart.

It fails closed, one string at a time: where the function raises or returns anything but a str, the string becomes
``<masking failed>`` and is counted. So does a payload that is no JSON, as a whole. Payloads are masked in their JSON,
string by string, so that numbers keep every digit; names that become the same are numbered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from tracecore.markers import quote, unused_name, without_surrogates
from tracecore.records import ABSENT
from tracecore.tally import Tally

__all__ = ["FAILED", "IDS", "NOT_MASKED", "Mask", "mask_record", "masking_failures"]

Mask: TypeAlias = Callable[[str], str]

FAILED: Final = "<masking failed>"
"""What stands for a string that could not be masked."""

NOT_MASKED: Final = frozenset({
    ("Span", "type"), ("Span", "status"), ("Span", "level"), ("Score", "data_type"), ("Score", "source"),
    ("*", "project"), ("LedgerEntry", "process"), ("LedgerEntry", "lost"),
})  # fmt: skip
"""(class, field) of what is passed as it is; ``*`` is any class, and a class stands for those derived from it."""

IDS: Final = frozenset({
    "trace_id", "span_id", "parent_id", "root_id", "score_id", "observation_id", "execution_trace_id", "config_id",
    "queue_id", "model_id", "prompt_id", "experiment_id", "dataset_id", "item_id", "item_root_span_id", "id",
    "service_instance_id",
})  # fmt: skip
"""Fields, of any class, whose values only tell things apart."""

masking_failures: Final = Tally()
"""How many strings became ``<masking failed>``, in this process, since it started."""

_TOKEN: Final = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}]')
"""What masking looks at in JSON: a string, with the colon that makes it a name, or where an object begins or ends."""
_ID: Final = re.compile("[0-9a-fA-F-]*")
_S = TypeVar("_S", bound=Struct)
_plain_fields: dict[type, tuple[str, ...]] = {}


def mask_record(record: _S, mask: Mask) -> _S:
    """Return the record with every string masked, in a new record; itself if nothing changed."""
    changes: dict[str, object] = {}
    for name in _maskable(type(record)):
        value = getattr(record, name)
        masked = _identity(value, mask) if name in IDS and type(value) is str else _masked(value, mask)
        if masked is not value:
            changes[name] = masked
    return msgspec.structs.replace(record, **changes) if changes else record


def _maskable(cls: type[Struct]) -> tuple[str, ...]:
    """Return the fields of a record class that are masked."""
    try:
        return _plain_fields[cls]
    except KeyError:
        kept = {(base.__name__, name) for base in cls.__mro__ for name in cls.__struct_fields__} & NOT_MASKED
        kept_names = {name for _, name in kept} | {name for owner, name in NOT_MASKED if owner == "*"}
        names = tuple(name for name in cls.__struct_fields__ if name not in kept_names)
        return _plain_fields.setdefault(cls, names)


def _masked(value: object, mask: Mask) -> object:
    """Return a field's value masked; the very same object if there is nothing in it to mask."""
    if not value or value is ABSENT or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return _text(value, mask)
    if isinstance(value, Raw):
        return _payload(value, mask)
    if isinstance(value, Struct):
        return mask_record(value, mask)
    if isinstance(value, tuple):
        return tuple(_masked(item, mask) for item in cast("tuple[object, ...]", value))
    return _units(cast("Mapping[str, Any]", value), mask)


def _text(text: str, mask: Mask) -> str:
    try:
        masked = mask(text)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:  # noqa: BLE001 - whatever the mask raises: extension modules panic with exceptions of their own
        masked = None
    if type(masked) is str:
        return masked if masked.isascii() else without_surrogates(masked)
    return _failed()


def _failed() -> str:
    masking_failures.add()
    return FAILED


def _identity(text: str, mask: Mask) -> str:
    if _ID.fullmatch(text) or _text(text, mask) == text:
        return text
    return f"masked-{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def _units(buckets: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """Mask the names of usage or cost buckets; what becomes one name is added up."""
    masked: dict[str, Any] = {}
    for name, units in buckets.items():
        shown = _text(name, mask)
        masked[shown] = masked.get(shown, 0) + units
    return masked


def _payload(payload: Raw, mask: Mask) -> Raw:
    around: list[set[bytes]] = []  # the names in use of each object around

    def masked(found: re.Match[bytes]) -> bytes:
        text, colon = found.groups()
        if text is None:
            if found[0] == b"{":
                around.append(set())
            else:
                around.pop()
            return found[0]
        written = quote(_text(msgspec.json.decode(text, type=str), mask))
        return written if colon is None else unused_name(written, around[-1]) + colon

    try:
        msgspec.json.decode(payload, type=Raw)  # where a string begins and ends can be told in JSON only
        return Raw(_TOKEN.sub(masked, bytes(payload)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Raw(quote(_failed()))
