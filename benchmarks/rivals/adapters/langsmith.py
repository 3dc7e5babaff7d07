"""LangSmith: its decorator, and a client that compresses calls into multipart as they begin and end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Answer, Rival

if TYPE_CHECKING:
    import langsmith

__all__ = ["RIVAL", "start"]

_SERVER: Final = {
    "version": "0.12.0",
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
    "instance_flags": {"gzip_body_enabled": True, "zstd_compression_enabled": True},
}
"""What the server says of itself: the client batches accordingly, and compresses only if told that it may."""

RIVAL: Final = Rival(
    title="LangSmith",
    requirements=("langsmith==0.15.1",),
    remark=(
        "`@traceable` as by default: a call is sent when it begins and again when it ends, compressed with zstd. For"
        " a coroutine function both are made in a thread pool, so that most of the cost is not in the caller's CPU."
    ),
    environment={
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": "{collector}",
        "LANGSMITH_API_KEY": "lsv2_pt_benchmark",
        "LANGSMITH_PROJECT": "benchmark",
    },
    answers={"GET /info": Answer(body=json.dumps(_SERVER).encode()), "POST /runs/multipart": Answer(status=202)},
)


class LangSmith:
    """Record with one client; what waits in it is bounded by memory (1 GB), not by number."""

    def __init__(self, client: langsmith.Client, traceable: Callable[..., Any]) -> None:
        self._client, self._traceable = client, traceable

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a run around each call, arguments and result captured."""
        observed: Callable[..., Any] = self._traceable(client=self._client)(function)
        return observed

    observed_root = observed

    def flush(self) -> None:
        """Send what waits."""
        self._client.flush()

    def close(self) -> None:
        """Let the threads that send end."""
        self._client.cleanup()


def start(collector: str) -> LangSmith:  # noqa: ARG001 - in the environment
    """Make a client, which reads the environment."""
    from langsmith import Client, traceable

    return LangSmith(Client(), traceable)
