"""ddtrace with arguments and result captured by hand, each as a tag of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from benchmarks.rivals.adapter import Rival
from benchmarks.rivals.adapters.ddtrace import ANSWERS, ENVIRONMENT, REQUIREMENTS, Datadog

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="ddtrace, captured by hand",
    requirements=REQUIREMENTS,
    remark=(
        "Two tags of `json.dumps`, set by hand. Its older wire format, because the newer sends equal texts once a batch"
        " and all results are equal here. Telemetry about itself and remote configuration are switched off."
    ),
    environment={**ENVIRONMENT, "DD_TRACE_API_VERSION": "v0.4"},
    answers=ANSWERS,
)


class CapturedByHand(Datadog):
    """Set two tags on each span."""

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, arguments and result in its tags."""
        code, trace = function.__code__, self._tracer.trace
        names, name = code.co_varnames[: code.co_argcount], function.__qualname__

        async def captured(*args: Any) -> Any:
            with trace(name) as span:
                span.set_tag("input", json.dumps(dict(zip(names, args, strict=True))))
                result = await function(*args)
                span.set_tag("output", json.dumps(result))
                return result

        return captured


def start(collector: str) -> CapturedByHand:  # noqa: ARG001 - in the environment
    """Import it: it sets itself up from the environment."""
    from ddtrace.trace import tracer

    return CapturedByHand(tracer)
