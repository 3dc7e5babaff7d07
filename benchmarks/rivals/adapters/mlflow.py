"""MLflow Tracing: the package that its manual recommends for production, with its decorator and its own exporter."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from benchmarks.rivals.adapter import Answer, Rival

__all__ = ["RIVAL", "start"]

_EXPERIMENT: Final = {"experiment": {"experiment_id": "1", "name": "benchmark", "lifecycle_stage": "active"}}
_TRACE: Final = {
    "trace": {
        "trace_info": {
            "trace_id": "tr-00000000000000000000000000000001",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}},
            "request_time": "2026-01-01T00:00:00Z",
            "execution_duration": "0.001s",
            "state": "OK",
            "tags": {"mlflow.trace.spansLocation": "TRACKING_STORE"},
        }
    }
}
"""What the server says of any trace: that it keeps the spans, and does not want them as a file too."""

RIVAL: Final = Rival(
    title="MLflow Tracing",
    requirements=("mlflow-tracing==3.17.2",),
    remark=(
        "`@mlflow.trace` as by default: five spans to a request, from ten threads, not compressed, and a request more"
        " for each trace. Each call looks in vain for modules of the full package, a quarter of its cost. Its usage"
        " statistics are switched off. Its inner queue of 2,048 spans cannot be made longer."
    ),
    environment={
        "MLFLOW_TRACKING_URI": "{collector}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE": "131072",
        "MLFLOW_TRACE_BUFFER_MAX_SIZE": "131072",
    },
    counted_by=rb"(?s)mlflow\.spanInputs.{1,64}?\[(\d{8})\]",  # a trace repeats its root's arguments beside the spans
    answers={
        "GET /version": Answer(body=b"3.17.2", content_type="text/plain"),
        "GET /api/2.0/mlflow/experiments/get-by-name": Answer(body=json.dumps(_EXPERIMENT).encode()),
        "POST /api/3.0/mlflow/traces": Answer(body=json.dumps(_TRACE).encode()),
        "POST /v1/traces": Answer(body=b"", content_type="application/x-protobuf"),
    },
)


class MLflow:
    """Record into an experiment."""

    def __init__(self, mlflow: ModuleType) -> None:
        self._mlflow = mlflow

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call, arguments and result captured."""
        observed: Callable[..., Any] = self._mlflow.trace(function)
        return observed

    observed_root = observed

    def flush(self) -> None:
        """Send what waits in either queue."""
        self._mlflow.flush_trace_async_logging()

    def close(self) -> None:
        """Flush, and end the threads that send."""
        self._mlflow.flush_trace_async_logging(terminate=True)


def start(collector: str) -> MLflow:  # noqa: ARG001 - in the environment
    """Choose the experiment on the server that the environment names."""
    import mlflow

    mlflow.set_experiment("benchmark")
    return MLflow(mlflow)
