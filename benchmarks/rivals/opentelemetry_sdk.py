"""The OpenTelemetry SDK: a batch processor in front of an exporter that drops everything.

What a span of it holds in these benchmarks, and what it does not:

* Bare (:attr:`OpenTelemetry.observed`): name, ids, parent, start and end. The SDK looks at no argument and at no
  result.
* Captured by hand (:attr:`OpenTelemetry.captured`): in addition two attributes, ``input`` and ``output``, each the text
  that ``json.dumps`` makes. That is the nearest to what tracecore records, and still less: it bounds neither size nor
  depth nor time, an object that is not JSON raises into the program, nothing is masked, and there is no user, session,
  usage or cost.

Both decorate as the adapters do that send to a collector.

The request mix (:func:`service_by`) is captured by hand too: model, parameters, usage and cost of a
generation are attributes of its span. User and session are not carried; the user's name is among the root's arguments.

:class:`OpenTelemetry` stores and sends nothing: its exporter counts spans and forgets them. The processor's own thread
takes batches beside the caller, as in a program; its CPU is not in the caller's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span

from benchmarks.request_mix import Handle, Texts, service_of
from benchmarks.rivals.adapters.opentelemetry import QUEUE
from benchmarks.rivals.adapters.opentelemetry import OpenTelemetry as CapturedByHand
from benchmarks.rivals.adapters.opentelemetry_bare import OpenTelemetryBare

__all__ = ["OpenTelemetry", "service_by"]


class _NullExporter(SpanExporter):
    """Count what arrives and forget it; count those that hold both payloads. Takes nothing before its gate is open."""

    def __init__(self) -> None:
        self.spans = 0
        self.captured = 0
        self.gate = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.gate.wait()
        self.spans += len(spans)
        self.captured += sum(1 for span in spans if span.attributes and {"input", "output"} <= span.attributes.keys())
        return SpanExportResult.SUCCESS


class _Generation:
    """Take what becomes known of a model call."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def update(self, **fields: Any) -> None:
        """Set attributes, each as JSON."""
        for key, value in fields.items():
            self._span.set_attribute(key, json.dumps(value))


class OpenTelemetry:
    """Record with a provider of its own; the global one is left alone. ``held`` keeps spans waiting until released."""

    def __init__(self, *, held: bool = False) -> None:
        self._exporter = _NullExporter()
        if not held:
            self.release()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter, max_queue_size=QUEUE))
        self.tracer = self._provider.get_tracer("benchmarks")
        self.observed = OpenTelemetryBare(self._provider).observed
        """Decorate a coroutine function: a span of its name around each call, and nothing captured."""
        self.captured = CapturedByHand(self._provider).observed
        """The same, arguments by name and result captured."""

    def service(self, texts: Texts) -> Handle:
        """Return the request mix as one would trace it with the SDK."""
        return service_by(self._provider, texts)

    def release(self) -> None:
        """Let the exporter take what waits."""
        self._exporter.gate.set()

    def settle(self) -> tuple[int, int]:
        """Export what waits; return how many spans were exported so far, and how many of them with both attributes."""
        self._provider.force_flush()
        return self._exporter.spans, self._exporter.captured

    def close(self) -> None:
        """End the processor's thread."""
        self.release()
        self._provider.shutdown()


def service_by(provider: TracerProvider, texts: Texts) -> Handle:
    """Return the request mix as one would trace it with a provider of the SDK."""
    tracer, captured = provider.get_tracer("benchmarks"), CapturedByHand(provider).observed

    @contextmanager
    def generation(name: str, *, model: str, model_parameters: Any, input: Any) -> Iterator[_Generation]:  # noqa: A002 - as ours
        """Open the span of a model call."""
        with tracer.start_as_current_span(name) as span:
            span.set_attribute("model", model)
            span.set_attribute("model_parameters", json.dumps(model_parameters))
            span.set_attribute("input", json.dumps(input))
            yield _Generation(span)

    return service_of(texts, captured, captured, generation, lambda _: nullcontext())
