"""Langfuse: ``@observe`` for functions of every kind, ``start_as_current_observation`` for blocks.

The client is made with an exporter of OpenTelemetry's for tests instead of its own, so nothing is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any, Final, TypeVar, cast

from langfuse import Langfuse, observe
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from tracecore.testing.tracers import Feature, Finished

__all__ = ["LangfuseObserve"]

Function = TypeVar("Function", bound=Callable[..., Any])

_LEVEL: Final = "langfuse.observation.level"
_OUTPUT: Final = "langfuse.observation.output"


class LangfuseObserve:
    """Record with a client of its own, the only one of the process."""

    title: Final = "Langfuse"
    version: Final = version("langfuse")
    offers: Final[frozenset[Feature]] = frozenset({"generators", "async generators", "results"})

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._client = Langfuse(
            public_key="pk-lf-conformance", secret_key="sk-lf-conformance", base_url="http://127.0.0.1:9",  # noqa: S106 - of nobody
            span_exporter=self._exporter,
        )  # fmt: skip

    def observed(self, function: Function, /) -> Function:
        """Return the function with ``@observe()``."""
        return cast("Function", observe()(function))

    def span(self, name: str, /) -> AbstractContextManager[object]:
        """Return a block with an observation around it."""
        return self._client.start_as_current_observation(name=name, as_type="span")

    def current(self) -> str | None:
        """Return the id of the current observation."""
        return self._client.get_current_observation_id()

    def executor(self, workers: int, /) -> Executor:
        """Refuse: it has none; its manual names a package of OpenTelemetry's that patches threads."""
        raise NotImplementedError

    def finished(self) -> Sequence[Finished]:
        """Return what was exported."""
        self._client.flush()
        return [_finished(span) for span in self._exporter.get_finished_spans()]

    def reset(self) -> None:
        """Forget what was exported."""
        self._client.flush()
        self._exporter.clear()


def _finished(span: ReadableSpan) -> Finished:
    attributes = span.attributes or {}
    failed = span.status.status_code is StatusCode.ERROR or attributes.get(_LEVEL) == "ERROR"
    parent = None if span.parent is None else format_span_id(span.parent.span_id)
    return Finished(
        span.name, format_span_id(span.context.span_id), parent, format_trace_id(span.context.trace_id),
        "error" if failed else "ok", _decoded(attributes.get(_OUTPUT)),
    )  # fmt: skip


def _decoded(output: Any) -> Any:
    """Return what an attribute holds: text as it is, everything else as JSON."""
    try:
        return json.loads(output) if isinstance(output, str) else None
    except ValueError:
        return output
