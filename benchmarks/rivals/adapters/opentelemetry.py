"""The OpenTelemetry SDK with its exporter: arguments and result captured by hand as two attributes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Rival

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["QUEUE", "REQUIREMENTS", "RIVAL", "OpenTelemetry", "provider_of", "start"]

QUEUE: Final = 1 << 17
"""Spans that may wait: all of a round, because what does not fit is dropped."""
REQUIREMENTS: Final = ("opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2")
_FLUSH_WITHIN_MS: Final = 60_000

RIVAL: Final = Rival(
    title="OpenTelemetry SDK, captured by hand",
    requirements=REQUIREMENTS,
    remark=(
        "It captures nothing itself: arguments and result are two attributes of `json.dumps`, which bounds and masks"
        " nothing. OTLP over HTTP, not compressed, as by default; only the queue is longer."
    ),
)


def provider_of(collector: str) -> TracerProvider:
    """Return a provider that sends batches to the collector."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{collector}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE))
    return provider


class OpenTelemetry:
    """Record with a provider of its own."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._start = provider.get_tracer("benchmarks").start_as_current_span

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, arguments by name and result as JSON."""
        start, name, code = self._start, function.__name__, function.__code__
        names = code.co_varnames[: code.co_argcount]

        @functools.wraps(function)
        async def captured(*args: Any) -> Any:
            with start(name) as span:
                span.set_attribute("input", json.dumps(dict(zip(names, args, strict=True))))
                result = await function(*args)
                span.set_attribute("output", json.dumps(result))
                return result

        return captured

    def observed_root(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call; outside of any other it is a root."""
        return self.observed(function)

    def flush(self) -> None:
        """Export what waits."""
        if not self._provider.force_flush(_FLUSH_WITHIN_MS):
            raise RuntimeError("the exporter did not take everything in time")

    def close(self) -> None:
        """End the processor's thread."""
        self._provider.shutdown()


def start(collector: str) -> OpenTelemetry:
    """Import the library and make a provider."""
    return OpenTelemetry(provider_of(collector))
