"""Traceloop (OpenLLMetry): a workflow and its tasks by its decorators, sent to a collector as its manual says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from benchmarks.rivals.adapter import Rival

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="Traceloop",
    # Without the pins of what it builds on, pip tries release after release for many minutes.
    requirements=(
        "traceloop-sdk==0.62.4",
        "opentelemetry-sdk==1.45.1",
        "opentelemetry-exporter-otlp-proto-http==1.45.1",
        "opentelemetry-exporter-otlp-proto-grpc==1.45.1",
        "opentelemetry-instrumentation==0.66b1",
        "httpx==0.28.1",  # imported without being asked for
    ),
    remark=(
        "`@workflow` and `@task` with its own batch processor, OTLP over HTTP, not compressed, as by default; its"
        " metrics are switched off."
    ),
    environment={
        "OTEL_BSP_MAX_QUEUE_SIZE": "131072",
        "TRACELOOP_METRICS_ENABLED": "false",
        "TRACELOOP_TELEMETRY": "false",
    },
)


class Traceloop:
    """Record with the one tracer that a process has."""

    def __init__(self) -> None:
        from opentelemetry.trace import get_tracer_provider
        from traceloop.sdk.decorators import task, workflow

        self._provider: Any = get_tracer_provider()
        self._task, self._workflow = task, workflow

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function as a task: a span around each call, arguments and result captured."""
        return self._task()(function)

    def observed_root(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function as a workflow, captured in the same way."""
        return self._workflow()(function)

    def flush(self) -> None:
        """Export what waits."""
        if not self._provider.force_flush(timeout_millis=60_000):
            raise RuntimeError("Traceloop did not flush within a minute")

    def close(self) -> None:
        """End the exporter's thread."""
        self._provider.shutdown()


def start(collector: str) -> Traceloop:
    """Initialize it for the collector, which asks for no key."""
    from traceloop.sdk import Traceloop as Client

    Client.init(app_name="benchmarks", api_endpoint=collector)
    return Traceloop()
