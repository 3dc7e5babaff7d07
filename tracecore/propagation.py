"""W3C Trace Context and Baggage: reading and writing ``traceparent`` and ``baggage`` headers.

Sans-I/O: text in, values out. What does not follow the specifications is treated as absent, as they demand, and never
raises. Sources: https://www.w3.org/TR/trace-context/ (level 2) and https://www.w3.org/TR/baggage/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

__all__ = [
    "MAX_BAGGAGE_BYTES",
    "MAX_BAGGAGE_MEMBERS",
    "format_baggage",
    "format_traceparent",
    "header",
    "parse_baggage",
    "parse_traceparent",
]

MAX_BAGGAGE_BYTES: Final = 8192
"""Baggage 3.3.2: a platform must propagate at least this much; tracecore propagates no more."""
MAX_BAGGAGE_MEMBERS: Final = 64
"""Baggage 3.3.2, the same for the number of members."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header by its lower-case name, whatever case the mapping uses; None also where there is no such text."""
    try:
        value: object = headers.get(name)
        if value is None:
            value = next((v for k, v in headers.items() if k.lower() == name), None)
    except Exception:  # noqa: BLE001 - what is no mapping of text has no such header: a request must not fail by it
        return None
    return value if isinstance(value, str) else None


def parse_traceparent(text: str) -> tuple[str, str] | None:
    """Return (trace id, parent span id), or None when the header must be ignored.

    A future version is read by the rules of version 00, ignoring what follows the flags (Trace Context 4.3); version ff
    and all-zero ids are invalid (3.2.2).
    """
    match = _TRACEPARENT.fullmatch(text.strip())
    if match is None:
        return None
    version, trace_id, parent_id, _flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return trace_id, parent_id


def format_traceparent(trace_id: str, span_id: str, *, sampled: bool) -> str:
    """Return a version 00 header value; the random flag (02) is set because our trace ids end in random bits."""
    return f"00-{trace_id}-{span_id}-{'03' if sampled else '02'}"


def parse_baggage(text: str) -> dict[str, str]:
    """Return the members of a baggage header, percent-decoded, properties dropped; malformed members are skipped.

    Of a header beyond the limits the whole members within them are taken: a member cut in two would be another value.
    """
    members: dict[str, str] = {}
    within = text if len(text) <= MAX_BAGGAGE_BYTES else text[: MAX_BAGGAGE_BYTES + 1].rpartition(",")[0]
    for part in within.split(",")[:MAX_BAGGAGE_MEMBERS]:
        key, equals, value = part.partition(";")[0].partition("=")
        key = key.strip()
        if equals and _TOKEN.fullmatch(key):
            members[key] = unquote(value.strip(), errors="replace")
    return members


def format_baggage(members: Mapping[str, str]) -> str:
    """Return a baggage header value; members with an illegal key or beyond the limits are left out."""
    parts: list[str] = []
    size = 0
    for key, value in members.items():
        if not _TOKEN.fullmatch(key):
            continue
        part = f"{key}={quote(value, safe=_VALUE_SAFE, errors='replace')}"
        if len(parts) == MAX_BAGGAGE_MEMBERS or size + len(part) + 1 > MAX_BAGGAGE_BYTES:
            break
        parts.append(part)
        size += len(part) + 1
    return ",".join(parts)
