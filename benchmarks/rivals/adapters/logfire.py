"""Logfire: its decorator, its configuration, and the collector as the alternative backend that its manual describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Rival

if TYPE_CHECKING:
    import logfire

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="Logfire",
    requirements=("logfire==5.4.0", "opentelemetry-sdk==1.45.2"),
    remark=(
        "Sends OTLP to an alternative backend, as its manual says: no second span when a call begins, no compression."
        " Its scrubbing is on, as by default; printing each span to the console is switched off."
    ),
    environment={
        "OTEL_BSP_MAX_QUEUE_SIZE": "131072",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{collector}/v1/traces",
    },
)


class Logfire:
    """Record with the instance that ``logfire.configure`` returns."""

    def __init__(self, instance: logfire.Logfire) -> None:
        self._logfire = instance

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, arguments and result captured."""
        return self._logfire.instrument(record_return=True)(function)

    observed_root = observed

    def flush(self) -> None:
        """Export what waits."""
        if not self._logfire.force_flush(timeout_millis=60_000):
            raise RuntimeError("Logfire did not flush within a minute")

    def close(self) -> None:
        """End the exporter's thread."""
        self._logfire.shutdown()


def start(collector: str) -> Logfire:  # noqa: ARG001 - in the environment
    """Configure it to send nothing to its own service."""
    import logfire

    return Logfire(logfire.configure(send_to_logfire=False, service_name="benchmarks", console=False))
