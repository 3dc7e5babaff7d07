"""The OpenTelemetry SDK with its exporter, as it is: names, ids and times, and nothing captured."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.adapters.opentelemetry import REQUIREMENTS, OpenTelemetry, provider_of

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="OpenTelemetry SDK, nothing captured",
    requirements=REQUIREMENTS,
    captures=False,
    remark="Name, ids and times of each call. OTLP over HTTP, not compressed, as by default; only the queue is longer.",
    # The field `name` of a span in OTLP: tag 5, length, text. A name that is an attribute's has another tag.
    counted_by=rb"\x2a\x06answer|\x2a\x07request",
)


class OpenTelemetryBare(OpenTelemetry):
    """Record with a provider of its own, without looking at arguments and results."""

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call."""
        start, name = self._start, function.__name__

        @functools.wraps(function)
        async def spanned(*args: Any) -> Any:
            with start(name):
                return await function(*args)

        return spanned


def start(collector: str) -> OpenTelemetryBare:
    """Import the library and make a provider."""
    return OpenTelemetryBare(provider_of(collector))
