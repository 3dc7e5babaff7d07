"""ddtrace with LLM Observability: those decorators of Datadog's that record arguments and result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.adapters.ddtrace import ANSWERS, ENVIRONMENT, REQUIREMENTS, Datadog

if TYPE_CHECKING:
    from ddtrace.llmobs import LLMObs
    from ddtrace.trace import Tracer

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="ddtrace, LLM Observability",
    requirements=REQUIREMENTS,
    remark=(
        "`@workflow` and `@task` of LLM Observability, sent through the agent. Telemetry about itself and remote"
        " configuration are switched off."
    ),
    environment=ENVIRONMENT,
    answers=ANSWERS,
)


class Observability(Datadog):
    """Record with its decorators, which send what they capture with the tracer's own spans."""

    def __init__(self, tracer: Tracer, service: type[LLMObs]) -> None:
        from ddtrace.llmobs.decorators import task, workflow

        super().__init__(tracer)
        self._service, self._task, self._workflow = service, task, workflow

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function as a task: a span around each call, arguments and result captured."""
        return self._task(function)

    def observed_root(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function as a workflow, captured in the same way."""
        return self._workflow(function)

    def flush(self) -> None:
        """Send what waits."""
        self._service.flush()
        super().flush()

    def close(self) -> None:
        """End the writers' threads."""
        self._service.disable()
        super().close()


def start(collector: str) -> Observability:  # noqa: ARG001 - in the environment
    """Enable it, with an agent and so without a key."""
    from ddtrace.llmobs import LLMObs
    from ddtrace.trace import tracer

    LLMObs.enable(agent_service="benchmarks", agentless_enabled=False)
    return Observability(tracer, LLMObs)
