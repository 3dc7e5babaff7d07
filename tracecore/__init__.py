"""tracecore: the tracing kernel that lives inside an async Python service.

Decorate with :func:`observe`; every trace, session, span and generation is encoded once, buffered without a lock and
written in batches to the backend that the configuration names: an SQLite file unless you say otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracecore.carrying import continue_trace, inject, propagate_attributes
from tracecore.config import Config
from tracecore.default import aflush, ashutdown, configure, flush, health, shutdown
from tracecore.errors import (
    AccessDenied,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Closed,
    ConfigError,
    Conflict,
    DiskFull,
    MissingDriver,
    NotFound,
    TracecoreError,
)
from tracecore.health import FlushResult, Health, Recovered
from tracecore.observe import observe
from tracecore.open_span import OpenSpan
from tracecore.recorder import Recorder
from tracecore.scoring import create_score, score_current_span, score_current_trace
from tracecore.tracing import (
    current_span,
    current_span_id,
    current_trace_id,
    event,
    generation,
    span,
    update_current_generation,
    update_current_span,
    update_current_trace,
)

if TYPE_CHECKING:
    from tracecore.executor import ContextExecutor
    from tracecore.integrations.threads import propagate_to_threads
    from tracecore.prompting import aget_prompt, awarm_prompts, get_prompt, invalidate_prompts, warm_prompts
    from tracecore.served_prompts import ServedPrompt

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "BackendError",
    "BackendRejected",
    "BackendUnavailable",
    "Closed",
    "Config",
    "ConfigError",
    "Conflict",
    "ContextExecutor",
    "DiskFull",
    "FlushResult",
    "Health",
    "MissingDriver",
    "NotFound",
    "OpenSpan",
    "Recorder",
    "Recovered",
    "ServedPrompt",
    "TracecoreError",
    "__version__",
    "aflush",
    "aget_prompt",
    "ashutdown",
    "awarm_prompts",
    "configure",
    "continue_trace",
    "create_score",
    "current_span",
    "current_span_id",
    "current_trace_id",
    "event",
    "flush",
    "generation",
    "get_prompt",
    "health",
    "inject",
    "invalidate_prompts",
    "observe",
    "propagate_attributes",
    "propagate_to_threads",
    "score_current_span",
    "score_current_trace",
    "shutdown",
    "span",
    "update_current_generation",
    "update_current_span",
    "update_current_trace",
    "warm_prompts",
]

_OF_PROMPTS = ("ServedPrompt", "aget_prompt", "awarm_prompts", "get_prompt", "invalidate_prompts", "warm_prompts")


def __getattr__(name: str) -> object:
    """Load what few programs use when it is first asked for: thread pools alone are a tenth of the import."""
    if name == "ContextExecutor":
        from tracecore.executor import ContextExecutor  # noqa: PLC0415 - as said

        return ContextExecutor
    if name == "propagate_to_threads":
        from tracecore.integrations.threads import propagate_to_threads  # noqa: PLC0415 - as said

        return propagate_to_threads
    if name in _OF_PROMPTS:
        from tracecore import prompting  # noqa: PLC0415 - as said

        globals().update({each: getattr(prompting, each) for each in _OF_PROMPTS})  # asked for again and again
        return getattr(prompting, name)
    raise AttributeError(f"module 'tracecore' has no attribute {name!r}")
