"""ddtrace: Datadog's tracer and its decorator, which looks at no argument and at no result.

The collector stands in for the agent. Two more adapters record with the same library what this one does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Answer, Rival

if TYPE_CHECKING:
    from ddtrace.trace import Tracer

__all__ = ["ANSWERS", "ENVIRONMENT", "REQUIREMENTS", "RIVAL", "Datadog", "start"]

REQUIREMENTS: Final = ("ddtrace==4.16.0",)
ENVIRONMENT: Final[Mapping[str, str]] = {
    "DD_TRACE_AGENT_URL": "{collector}",
    "DD_TRACE_WRITER_BUFFER_SIZE_BYTES": "104857600",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
}
ANSWERS: Final[Mapping[str, Answer]] = {
    "GET /info": Answer(body=b'{"endpoints":["/v0.4/traces","/v0.5/traces"],"client_drop_p0s":false}'),
    "(POST|PUT) /v0.[45]/traces": Answer(body=b'{"rate_by_service":{"service:,env:":1}}'),
}
RIVAL: Final = Rival(
    title="ddtrace",
    requirements=REQUIREMENTS,
    captures=False,
    remark=(
        "`@tracer.wrap()` records name, ids and times; neither arguments nor result. Its telemetry about itself and its"
        " remote configuration are switched off."
    ),
    environment=ENVIRONMENT,
    # An array of twelve: three references to strings, the trace's id, the span's own, the parent's or none.
    counted_by=rb"(?s)\x9c(?:[\x00-\x7f]|\xcc.|\xcd..){3}\xcf.{8}\xcf(.{8})(?:\xcf.{8}|\x00)",
    answers=ANSWERS,
)


class Datadog:
    """Record with the one tracer that a process has."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call."""
        return self._tracer.wrap()(function)

    def observed_root(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call."""
        return self.observed(function)

    def flush(self) -> None:
        """Send what waits."""
        self._tracer.flush()
        # That does not wait for the answer to what the writer's own thread took just before.
        with self._tracer._span_aggregator.writer._exporter_lock:  # noqa: SLF001 - there is no other way to wait
            pass

    def close(self) -> None:
        """End the writer's thread."""
        self._tracer.shutdown()


def start(collector: str) -> Datadog:  # noqa: ARG001 - in the environment
    """Import it: it sets itself up from the environment."""
    from ddtrace.trace import tracer

    return Datadog(tracer)
