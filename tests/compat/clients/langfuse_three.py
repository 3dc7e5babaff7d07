"""The Langfuse SDK of the third generation: OpenTelemetry for spans, an object for the trace, and the older reads."""

from __future__ import annotations

import json
from typing import Any

from langfuse import Evaluation, Langfuse, observe
from telling import case, tell

client = Langfuse(environment="staging", release="r-3")


def read(model: Any) -> Any:
    """Return a model of this generation's client as what JSON has, under the names of the wire."""
    return json.loads(model.json(by_alias=True))


@observe(as_type="tool")
def shout(text: str) -> str:
    """Say it loudly."""
    client.update_current_trace(tags=["from inside"], metadata={"inner": "yes"})
    return text.upper()


@case
def traced() -> Any:
    """Trace, say things of the trace as a whole, score, and read everything in the older ways."""
    with client.start_as_current_span(name="root") as root:
        root.update_trace(
            name="v3 trace", user_id="user-3", session_id="session-3", tags=["three"], input={"whole": 1},
            metadata={"k": "v", "n": {"a": 1}}, output="done", public=True, version="v9",
        )  # fmt: skip
        shout("x")
        with client.start_as_current_generation(
            name="a call", model="gpt-4o-mini", input=[{"role": "user", "content": "hi"}], metadata={"plain": "text"},
            model_parameters={"temperature": 0.5},
        ) as call:  # fmt: skip
            call.update(output="grüßt 世", usage_details={"input": 10, "output": 5})
        root.score_trace(name="good", value=0.5)
        call.score(name="fine", value="yes", data_type="CATEGORICAL")
    client.flush()
    return {
        "trace_id": root.trace_id, "root": root.id, "call": call.id, "trace": read(client.api.trace.get(root.trace_id)),
        "traces": read(client.api.trace.list(user_id="user-3")), "session": read(client.api.sessions.get("session-3")),
        "observations": read(client.api.observations.get_many(trace_id=root.trace_id)),
        "observation": read(client.api.observations.get(call.id)),
        "scores": read(client.api.score_v_2.get(trace_id=root.trace_id)),
    }  # fmt: skip


@case
def dataset_run() -> Any:
    """Run over a dataset item by item, each in a trace that the SDK links."""
    client.create_dataset(name="three")
    for name in ("three-1", "three-2"):
        client.create_dataset_item(dataset_name="three", id=name, input={"q": name}, expected_output=name)
    for item in client.get_dataset("three").items:
        with item.run(run_name="run 3", run_description="by hand", run_metadata={"k": "v"}) as root:
            root.update(input=item.input, output="x")
            root.score_trace(name="right", value=1)
    client.flush()
    run = client.get_dataset_run(dataset_name="three", run_name="run 3")
    return {"run": read(run), "runs": read(client.get_dataset_runs(dataset_name="three"))}


@case
def experiment() -> Any:
    """Run an experiment of this generation over a dataset."""
    client.create_dataset(name="exam 3")
    for word in ("eins", "zwei"):
        client.create_dataset_item(dataset_name="exam 3", id=f"3-{word}", input=word, expected_output=word.upper())
    result = client.get_dataset("exam 3").run_experiment(
        name="shouting", run_name="shouting 3", task=lambda *, item, **_: item.input.upper(),
        evaluators=[lambda *, output, expected_output, **_: Evaluation(name="exact", value=output == expected_output)],
        run_evaluators=[lambda *, item_results, **_: Evaluation(name="count", value=len(item_results))],
    )  # fmt: skip
    client.flush()
    run = client.get_dataset_run(dataset_name="exam 3", run_name="shouting 3")
    return {
        "id": result.dataset_run_id, "outputs": sorted(one.output for one in result.item_results), "run": read(run),
        "scores": read(client.api.score_v_2.get(trace_id=result.item_results[0].trace_id)),
        "run_scores": read(client.api.score_v_2.get(dataset_run_id=result.dataset_run_id)),
    }  # fmt: skip


@case
def prompts() -> Any:
    """Make a prompt, use it, and link a generation to it."""
    client.create_prompt(name="three", prompt="Hello {{name}}", labels=["production"])
    prompt = client.get_prompt("three", cache_ttl_seconds=0)
    with client.start_as_current_generation(name="linked", prompt=prompt, model="m") as call:
        pass
    client.flush()
    client.create_prompt(name="three", prompt="Hi {{name}}", tags=["t"], config={"a": 1}, commit_message="why")
    messages = [{"role": "user", "content": "{{x}}"}, {"type": "placeholder", "name": "history"}]
    client.create_prompt(name="three chat", type="chat", prompt=messages, labels=["production"])
    chat = client.get_prompt("three chat", type="chat", cache_ttl_seconds=0)
    moved = client.update_prompt(name="three", version=2, new_labels=["production", "blue"])
    fallback = client.get_prompt("nobody's", fallback="Hello {{name}}", max_retries=0)
    return {
        "trace_id": call.trace_id, "compiled": prompt.compile(name="Ada"),
        "chat": chat.compile(x="y", history=[{"role": "user", "content": "before"}]),
        "moved": [moved.version, sorted(moved.labels)],
        "one": client.get_prompt("three", version=1, cache_ttl_seconds=0).labels,
        "blue": client.get_prompt("three", label="blue", cache_ttl_seconds=0).config,
        "fallback": [fallback.is_fallback, fallback.compile(name="Ada")],
    }  # fmt: skip


if __name__ == "__main__":
    tell()
    client.shutdown()
