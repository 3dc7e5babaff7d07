"""Laminar: its decorator, set up as for a server of one's own, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from benchmarks.rivals.adapter import Rival

if TYPE_CHECKING:
    import lmnr

__all__ = ["RIVAL", "start"]

RIVAL: Final = Rival(
    title="Laminar",
    requirements=("lmnr==0.8.1", "opentelemetry-sdk==1.45.1"),
    remark=(
        "Sends OTLP over HTTP, gzipped and 64 spans at a time as by default; its default is gRPC, which the collector"
        " does not speak. `LMNR_DISABLE_TRACING` and `LMNR_LOG_LEVEL` are set to what they are by default: where they"
        " are not set at all, each span looks for them in an `.env` file."
    ),
    environment={"OTEL_BSP_MAX_QUEUE_SIZE": "131072", "LMNR_DISABLE_TRACING": "false", "LMNR_LOG_LEVEL": "INFO"},
)


class Laminar:
    """Record with the one instance that a process has."""

    def __init__(self, client: type[lmnr.Laminar], observe: Callable[..., Any]) -> None:
        self._client = client
        self._observe = observe

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, arguments and result captured."""
        return self._observe()(function)

    observed_root = observed

    def flush(self) -> None:
        """Export what waits."""
        if not self._client.flush():
            raise RuntimeError("Laminar did not flush")

    def close(self) -> None:
        """End the exporter's thread."""
        self._client.shutdown()


def start(collector: str) -> Laminar:
    """Initialize it for the collector, with a key that nobody checks."""
    from lmnr import Laminar as Client
    from lmnr import observe

    server = urlsplit(collector)
    Client.initialize(
        project_api_key="benchmarks",
        base_url=f"{server.scheme}://{server.hostname}",
        http_port=server.port,
        force_http=True,
    )
    return Laminar(Client, observe)
