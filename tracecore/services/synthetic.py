"""The span that stands for a trace of Langfuse's older ingestion, where a trace was an object of its own.

Its id is ``t-`` and the id of the trace, as in Langfuse 4, which shows traces of before so: it carries what was said of
the trace, and its input and output; observations without a parent hang below it. ``/v2/observations`` shows it as the
root that it is. The older operations, which show traces by themselves, leave it out of lists of observations, and what
hangs below it has no parent there.
"""

from __future__ import annotations

from typing import Final

from tracecore.records import Observation

__all__ = ["is_synthetic", "parent_shown", "synthetic_id"]

_PREFIX: Final = "t-"


def synthetic_id(trace_id: str) -> str:
    """Return the id of the span that stands for a trace."""
    return _PREFIX + trace_id


def is_synthetic(observation: Observation) -> bool:
    """Return whether an observation is a span that stands for its trace."""
    return observation.span_id == synthetic_id(observation.trace_id)


def parent_shown(observation: Observation) -> str | None:
    """Return the id of the parent as the older operations show it: none where that stands for the trace."""
    return None if observation.parent_id == synthetic_id(observation.trace_id) else observation.parent_id
