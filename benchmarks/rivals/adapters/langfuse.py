"""Langfuse: its decorator, its client from the environment, and its own processor in front of OTLP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Answer, Rival

if TYPE_CHECKING:
    import langfuse

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="Langfuse",
    requirements=("langfuse==5.0.4",),
    remark=(
        "`@observe()` as by default: arguments and result as JSON, sent as OTLP compressed with gzip. Arguments are"
        " recorded without their names, because the decorator does so."
    ),
    environment={
        "LANGFUSE_BASE_URL": "{collector}",
        "LANGFUSE_PUBLIC_KEY": "pk-lf-benchmark",
        "LANGFUSE_SECRET_KEY": "sk-lf-benchmark",
        "OTEL_BSP_MAX_QUEUE_SIZE": "131072",
    },
    answers={"POST /api/public/otel/v1/traces": Answer(body=b"", content_type="application/x-protobuf")},
)


class Langfuse:
    """Record with the client that the environment describes."""

    def __init__(self, client: langfuse.Langfuse, observe: Callable[..., Any]) -> None:
        self._client, self._observe = client, observe

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with an observation around each call, arguments and result captured."""
        observed: Callable[..., Any] = self._observe()(function)
        return observed

    observed_root = observed

    def flush(self) -> None:
        """Export what waits."""
        self._client.flush()

    def close(self) -> None:
        """End the exporter's thread, and those for media and scores."""
        self._client.shutdown()


def start(collector: str) -> Langfuse:  # noqa: ARG001 - in the environment
    """Let it configure itself from the environment."""
    from langfuse import get_client, observe

    return Langfuse(get_client(), observe)
