"""Opik: its decorator, and the client that the decorator makes from the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Answer, Rival

if TYPE_CHECKING:
    import opik

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="Opik",
    requirements=("opik==2.2.122",),
    without=("litellm",),
    remark=(
        "`@opik.track`, compressed with gzip; by default every message is also kept in a temporary SQLite file until it"
        " was sent, so that it survives an outage. A call is recorded once, when it ends, as its manual recommends for"
        " short ones: recording its start too, as by default, doubles what the caller pays. Usage analytics and the"
        " reporting of its own errors are switched off."
    ),
    environment={
        "OPIK_URL_OVERRIDE": "{collector}/api/",
        "OPIK_WORKSPACE": "default",
        "OPIK_PROJECT_NAME": "benchmark",
        "OPIK_LOG_START_TRACE_SPAN": "false",
        "OPIK_ANALYTICS_ENABLE": "false",
        "OPIK_SENTRY_ENABLE": "false",
    },
    answers={
        "GET /api/is-alive/ping": Answer(),
        "POST /api/v1/private/(traces|spans)/batch": Answer(status=204, body=b""),
    },
)


class Opik:
    """Record with the client that the decorator uses; 100,000 messages may wait in it, as by default."""

    def __init__(self, client: opik.Opik, track: Callable[..., Any]) -> None:
        self._client, self._track = client, track

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, arguments and result captured."""
        observed: Callable[..., Any] = self._track(function)
        return observed

    observed_root = observed

    def flush(self) -> None:
        """Send what waits."""
        if not self._client.flush():
            raise RuntimeError(f"Opik did not deliver everything: {self._client.last_flush_result}")

    def close(self) -> None:
        """Flush, and end the threads that send."""
        self._client.end()


def start(collector: str) -> Opik:  # noqa: ARG001 - in the environment
    """Let it configure itself from the environment."""
    import opik

    return Opik(opik.get_global_client(), opik.track)
