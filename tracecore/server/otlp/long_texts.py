"""Texts that are too long: cut where a span comes in, once, so that nothing behind has to look at lengths.

A cut text is a mark (``$truncated``, see :mod:`tracecore.markers`): head, tail, length and fingerprint.
"""

from __future__ import annotations

from hashlib import blake2b

from msgspec import Raw

from tracecore.markers import encode_text
from tracecore.server.otlp.limits import Budget
from tracecore.server.otlp.received import Attributes, Received

__all__ = ["cut_key", "cut_text", "shortened"]

_DIGEST_BYTES = 8


def shortened(span: Received, budget: Budget) -> Received:
    """Return a span whose texts are no longer than they may be."""
    _shorten(span.attributes, budget)
    for event in span.events:
        _shorten(event.attributes, budget)
    for link in span.links:
        _shorten(link.attributes, budget)
    span.name = cut_text(span.name, budget.limits.name, budget)
    span.message = cut_text(span.message, budget.limits.text, budget)
    return span


def cut_text(text: str, most: int, budget: Budget) -> str:
    """Return a text, or its beginning with a sign that there was more."""
    if len(text) <= most:
        return text
    budget.cut += 1
    return f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def cut_key(key: str, most: int) -> str:
    """Return the beginning of a key and a fingerprint of all of it: two that begin alike stay two."""
    fingerprint = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{key[: most - len(fingerprint) - 1]}\N{HORIZONTAL ELLIPSIS}{fingerprint}"


def _shorten(attributes: Attributes, budget: Budget) -> None:
    for key, value in list(attributes.items()):
        if isinstance(value, str) and len(value) > budget.limits.text:
            budget.cut += 1
            attributes[key] = Raw(encode_text(value, budget.limits.text))
        if len(key) > budget.limits.key:
            budget.cut += 1
            attributes[cut_key(key, budget.limits.key)] = attributes.pop(key)
