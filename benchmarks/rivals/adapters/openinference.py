"""OpenInference: Phoenix's own way to register its OpenTelemetry provider, and the decorators of its tracer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Rival

if TYPE_CHECKING:
    from openinference.instrumentation import TracerProvider

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="OpenInference (Phoenix)",
    requirements=(
        "arize-phoenix-otel==0.17.2",
        "openinference-instrumentation==0.1.72",
        "opentelemetry-sdk==1.45.2",
        "opentelemetry-exporter-otlp==1.45.2",
    ),
    remark=(
        "`@tracer.chain` in front of `register(batch=True)` with OTLP over HTTP, not compressed, as by default;"
        " its banner at the start is switched off."
    ),
    environment={"OTEL_BSP_MAX_QUEUE_SIZE": "131072", "PHOENIX_DISCOVER_CONFIG": "false"},
)


class OpenInference:
    """Record with the provider that ``register`` returns."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("benchmarks")

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, arguments and result captured."""
        return self._tracer.chain(function)

    observed_root = observed

    def flush(self) -> None:
        """Export what waits."""
        if not self._provider.force_flush(timeout_millis=60_000):
            raise RuntimeError("OpenInference did not flush within a minute")

    def close(self) -> None:
        """End the exporter's thread."""
        self._provider.shutdown()


def start(collector: str) -> OpenInference:
    """Register a provider that exports to the collector in batches."""
    from phoenix.otel import register

    return OpenInference(
        register(endpoint=f"{collector}/v1/traces", protocol="http/protobuf", batch=True, verbose=False)
    )
