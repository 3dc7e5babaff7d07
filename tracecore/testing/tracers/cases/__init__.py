"""Every case there is, by what it is about."""

from __future__ import annotations

from typing import Final

from tracecore.testing.tracers.case import Case, Group
from tracecore.testing.tracers.cases.async_generators import ASYNC_GENERATORS
from tracecore.testing.tracers.cases.async_generators_ended import ENDED_EARLY
from tracecore.testing.tracers.cases.calls import CALLS
from tracecore.testing.tracers.cases.cancellation import CANCELLATION
from tracecore.testing.tracers.cases.exceptions import EXCEPTIONS
from tracecore.testing.tracers.cases.generators import GENERATORS
from tracecore.testing.tracers.cases.inspection import INSPECTION
from tracecore.testing.tracers.cases.methods import METHODS
from tracecore.testing.tracers.cases.results import RESULTS
from tracecore.testing.tracers.cases.scale import SCALE
from tracecore.testing.tracers.cases.tasks import TASKS
from tracecore.testing.tracers.cases.threads import THREADS
from tracecore.testing.tracers.cases.timeouts import TIMEOUTS

__all__ = ["CASES", "GROUPS"]

GROUPS: Final[tuple[Group, ...]] = (
    CALLS, EXCEPTIONS, GENERATORS, ASYNC_GENERATORS, ENDED_EARLY, CANCELLATION, TIMEOUTS, TASKS, THREADS, SCALE,
    METHODS, INSPECTION, RESULTS,
)  # fmt: skip
CASES: Final[dict[str, Case]] = {case.name: case for group in GROUPS for case in group.cases}
"""By name. A name belongs to one case: a test sees to it."""
