"""Weave, of Weights & Biases: its decorator, and the client that ``weave.init`` makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rivals.adapter import Answer, Rival

if TYPE_CHECKING:
    from weave.trace.weave_client import WeaveClient

__all__ = ["RIVAL", "start"]

_ACCOUNT: Final = {
    "viewer": {"username": "benchmark", "defaultEntity": {"name": "benchmark"}},
    "project": {"name": "benchmark"},
}
_SERVER: Final = {"min_required_weave_python_version": "0.50.0", "trace_server_version": "1.0.0"}
_DIGEST: Final = {"digest": "0" * 43}

RIVAL: Final = Rival(
    title="Weave",
    requirements=("weave==0.54.0",),
    remark=(
        "`@weave.op` as by default, not compressed, at most 1,000 calls at a time and then a second's pause, which"
        " bounds its rate; the source of each function is sent once. Each call looks in vain for the optional `wandb`,"
        " which is a sixth of its cost; where that is installed it does not. Printing a link for each trace, the"
        " reporting of its own errors and, by hand, its search for a newer version are switched off."
    ),
    environment={
        "WANDB_BASE_URL": "{collector}",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_ERROR_REPORTING": "false",
        "WF_TRACE_SERVER_URL": "{collector}",
        "WEAVE_PRINT_CALL_LINK": "false",
    },
    counted_by=rb'"inputs":\s*\{\s*"question":\s*"\[(\d{8})\]',  # and not what the functions' sources mention
    answers={
        "POST /graphql": Answer(body=json.dumps({"data": _ACCOUNT}).encode()),
        "GET /server_info": Answer(body=json.dumps(_SERVER).encode()),
        "POST /(obj|file)/create": Answer(body=json.dumps(_DIGEST).encode()),
        "POST /v2/benchmark/benchmark/calls/complete": Answer(),
    },
)


class Weave:
    """Record with the client of a project; 100,000 calls may wait in it, as by default."""

    def __init__(self, client: WeaveClient, op: Callable[..., Any]) -> None:
        self._client, self._op = client, op

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function as an op: a call is recorded with arguments and result."""
        observed: Callable[..., Any] = self._op(function)
        return observed

    observed_root = observed

    def flush(self) -> None:
        """Send what waits."""
        self._client.flush()

    def close(self) -> None:
        """Flush, and let go of the client without a progress bar."""
        self._client.finish(use_progress_bar=False)


def start(collector: str) -> Weave:  # noqa: ARG001 - in the environment
    """Begin a project, without asking a package index for a newer version: no setting turns that off."""
    import weave
    from weave.trace import init_message

    init_message.check_available = lambda *_: None
    return Weave(weave.init("benchmark/benchmark"), weave.op)
