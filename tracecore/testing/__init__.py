"""What is shipped for tests: of your instrumentation, of your backend, of what you do when a backend fails.

* ``capture`` records what happens inside a block, for tests of your own instrumentation.
* ``backend_suite``, ``sink_suite`` and ``sql_suite`` are the conformance suite: what :mod:`tracecore.backend` says, as
  tests, and ``prompt_suite`` what :mod:`tracecore.prompts` says. ``machine`` drives a backend at random beside the
  reference backend. ``backends/README.md`` shows how to join.
* ``tracer_suite`` runs programs of every asynchronous kind through a tracer, ours or another, and compares what it
  recorded with what must come out; ``python -m tracecore.testing.tracers`` does it without pytest.
* ``faults`` wraps a backend so that it fails when, and as, a test wants.
* ``samples`` and ``strategies`` make records, by hand and at random.

The suites need pytest and pytest-asyncio, ``machine`` and ``strategies`` need hypothesis; tracecore depends on none of
them, so they are not imported here.
"""

from __future__ import annotations

from tracecore.testing.capturing import Captured, capture

__all__ = ["Captured", "capture"]
