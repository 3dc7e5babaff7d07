"""The Langfuse SDK of the second generation, which knew nothing of OpenTelemetry: batches of events, and its reads."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from langfuse import Langfuse
from langfuse.decorators import langfuse_context, observe
from telling import case, tell

client = Langfuse()


def read(model: Any) -> Any:
    """Return a model of this generation's client as what JSON has, under the names of the wire."""
    return json.loads(model.json(by_alias=True))


@case
def traced() -> Any:
    """Make a trace step by step, and read it in every way that the SDK had."""
    trace = client.trace(
        name="v2 trace", user_id="user-2", session_id="session-2", input={"q": "世"}, tags=["old"], release="r1",
        metadata={"k": "v"}, version="v1",
    )  # fmt: skip
    span = trace.span(name="a span", input={"x": 1}, level="WARNING", status_message="slow")
    call = span.generation(
        name="a call", model="gpt-4o-mini", model_parameters={"temperature": 0.1}, input=[{"role": "user"}]
    )
    call.end(output="grüßt 世", usage={"input": 10, "output": 5, "total": 15, "unit": "TOKENS"})
    span.end(output={"y": 2})
    trace.event(name="an event")
    trace.score(name="good", value=0.5)
    trace.update(output="done")
    client.flush()
    return {
        "trace_id": trace.id, "trace": read(client.fetch_trace(trace.id).data),
        "traces": [read(one) for one in client.fetch_traces(user_id="user-2").data],
        "generations": [read(one) for one in client.fetch_observations(trace_id=trace.id, type="GENERATION").data],
        "observation": read(client.fetch_observation(call.id).data),
        "sessions": [read(one) for one in client.fetch_sessions().data],
    }  # fmt: skip


@observe()
def inner(text: str) -> str:
    """Do something."""
    return text.upper()


@observe()
def failing() -> None:
    """Fail."""
    raise ValueError("no such thing")


@observe()
def outer() -> str:
    """Call both, and say which trace it is."""
    inner("x")
    with contextlib.suppress(ValueError):
        failing()
    return langfuse_context.get_current_trace_id()


@case
def decorated() -> Any:
    """Observe functions."""
    trace_id = outer()
    langfuse_context.flush()
    return {"trace_id": trace_id}


@case
def prompts() -> Any:
    """Make a prompt and use it."""
    client.create_prompt(name="older", prompt="Hello {{name}}", labels=["production"])
    prompt = client.get_prompt("older", cache_ttl_seconds=0)
    trace = client.trace(name="linked")
    trace.generation(name="linked call", prompt=prompt, model="m").end(output="x")
    client.flush()
    client.create_prompt(name="older", prompt="Hi {{name}}", config={"a": 1})
    messages = [{"role": "user", "content": "{{x}}"}]
    client.create_prompt(name="older chat", type="chat", prompt=messages, labels=["production"])
    chat = client.get_prompt("older chat", type="chat", cache_ttl_seconds=0)
    moved = client.update_prompt(name="older", version=2, new_labels=["production"])
    fallback = client.get_prompt("nobody's", fallback="Hello {{name}}", max_retries=1)  # 0 is for ever, there
    return {
        "compiled": prompt.compile(name="Ada"), "version": prompt.version, "labels": sorted(prompt.labels),
        "trace_id": trace.id, "chat": chat.compile(x="y"), "moved": [moved.version, sorted(moved.labels)],
        "one": client.get_prompt("older", version=1, cache_ttl_seconds=0).labels,
        "latest": client.get_prompt("older", label="latest", cache_ttl_seconds=0).config,
        "fallback": [fallback.is_fallback, fallback.compile(name="Ada")],
    }  # fmt: skip


@case
def dataset_run() -> Any:
    """Run over a dataset the old way: a trace for each item, linked to a run by its name."""
    client.create_dataset(name="older")
    for name in ("old-1", "old-2"):
        client.create_dataset_item(dataset_name="older", id=name, input={"q": name}, expected_output=name)
    dataset = client.get_dataset("older")
    for item in dataset.items:
        trace = client.trace(name="a run", input=item.input, output="x")
        item.link(trace, "run 1", run_description="by hand", run_metadata={"k": "v"})
    client.flush()
    run = client.get_dataset_run(dataset_name="older", dataset_run_name="run 1")
    runs = client.get_dataset_runs(dataset_name="older")
    return {
        "items": sorted(item.id for item in dataset.items), "run": read(run), "runs": [read(one) for one in runs.data]
    }  # fmt: skip


if __name__ == "__main__":
    tell()
