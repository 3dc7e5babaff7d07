"""Async conformance of tracers: programs in plain Python, and what a tracer must make of each.

``python -m tracecore.testing.tracers ADAPTER ...`` runs every case through one or more tracers and shows a table;
:class:`~tracecore.testing.tracer_suite.TracerSuite` is the same for pytest. An adapter is a class that
:class:`Tracer` describes. A case asserts what a user of any tracer would expect: each call one span that ends once,
below the span that its code was in; the current span of whoever consumes a generator unchanged; results, exceptions
and what ``inspect`` says as without the tracer. What a tracer does not set out to do it leaves out of its
:data:`Feature`; the cases that need it count for nothing then.
"""

from __future__ import annotations

from tracecore.testing.tracers.adapter import Feature, Finished, Tracer
from tracecore.testing.tracers.running import Outcome

__all__ = ["Feature", "Finished", "Outcome", "Tracer"]
