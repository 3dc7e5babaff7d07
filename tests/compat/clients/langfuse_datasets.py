"""The Langfuse SDK keeps datasets, runs experiments on them, and evaluates what is stored."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from langfuse import Evaluation, Langfuse, observe
from langfuse.api import NotFoundError
from langfuse.batch_evaluation import EvaluatorInputs
from telling import GROUPS, case, observations, plain, tell

client = Langfuse()
RECENTLY = datetime.now(UTC) - timedelta(minutes=5)


@case
def datasets() -> Any:
    """Make a dataset with items, page through them, and read it as it was before a change."""
    made = client.create_dataset(
        name="folder/questions ü", description="some", metadata={"owner": "me"},
        input_schema={"type": "object", "required": ["q"]},
    )  # fmt: skip
    items = [
        client.create_dataset_item(
            dataset_name="folder/questions ü", input={"q": f"世 {number}"}, expected_output={"a": number},
            metadata={"number": number}, id=f"item-{number}",
        )
        for number in range(7)
    ]  # fmt: skip
    source = client.create_dataset_item(
        dataset_name="folder/questions ü", input={"q": "from a trace"}, source_trace_id="a" * 32,
        source_observation_id="b" * 16,
    )  # fmt: skip
    before = client.get_dataset("folder/questions ü", fetch_items_page_size=3)
    moment = max(item.updated_at for item in before.items) + timedelta(milliseconds=1)
    time.sleep(0.01)  # the clock of versions counts milliseconds
    client.create_dataset_item(dataset_name="folder/questions ü", id="item-0", input={"q": "changed"})
    client.create_dataset_item(dataset_name="folder/questions ü", id="item-1", input={"q": "gone"}, status="ARCHIVED")
    after = client.get_dataset("folder/questions ü")
    then = client.get_dataset("folder/questions ü", version=moment)
    return {
        "made": made, "first": items[0], "source": source,
        "before": {item.id: plain(item) for item in before.items},
        "after": {item.id: item.input for item in after.items},
        "then": {item.id: item.input for item in then.items},
        "listed": client.api.datasets.list(page=1, limit=10), "item": client.api.dataset_items.get("item-2"),
        "of_source": client.api.dataset_items.list(source_trace_id="a" * 32),
    }  # fmt: skip


@case
def removed() -> Any:
    """Delete an item, and ask for what is not there."""
    client.create_dataset(name="short")
    client.create_dataset_item(dataset_name="short", input=1, id="short-1")
    answer = client.api.dataset_items.delete("short-1")
    told = {"answer": answer, "left": [item.id for item in client.get_dataset("short").items]}
    for name, ask in {
        "item": lambda: client.api.dataset_items.get("short-1"), "dataset": lambda: client.get_dataset("nobody's"),
    }.items():  # fmt: skip
        try:
            ask()
        except NotFoundError as error:
            told[name] = {"status": error.status_code, "body": error.body}
    return told


@case
def refused() -> Any:
    """Send an item that its dataset's schema does not allow, and one for a dataset that is not there."""
    client.create_dataset(name="strict", input_schema={"type": "object", "required": ["q"]})
    told = {}
    for name, options in {
        "schema": {"dataset_name": "strict", "input": {"other": 1}}, "dataset": {"dataset_name": "nowhere", "input": 1},
    }.items():  # fmt: skip
        try:
            client.create_dataset_item(**options)
        except Exception as error:  # noqa: BLE001 - which one it is, is what is told
            told[name] = [type(error).__name__, getattr(error, "status_code", None), getattr(error, "body", None)]
    return told


@observe
def think(text: str) -> str:
    """Do some of a task's work in a span of its own."""
    return text.upper()


@case
def experiment() -> Any:
    """Run an experiment over a dataset, and find items, item scores and run scores again."""
    client.create_dataset(name="exam")
    for word in ("eins", "zwei", "drei"):
        client.create_dataset_item(
            dataset_name="exam", id=f"exam-{word}", input={"word": word}, expected_output=word.upper(),
            metadata={"language": "de"},
        )  # fmt: skip

    def task(*, item: Any, **_: Any) -> str:
        if item.input["word"] == "drei":
            raise RuntimeError("cannot count so far")
        return think(item.input["word"])

    def exact(*, output: str, expected_output: str, **_: Any) -> Evaluation:
        return Evaluation(name="exact", value=float(output == expected_output), comment="compared")

    def label(**_: Any) -> Evaluation:
        return Evaluation(name="label", value="good", data_type="CATEGORICAL")

    def mean(*, item_results: list[Any], **_: Any) -> Evaluation:
        values = [one.value for result in item_results for one in result.evaluations if one.name == "exact"]
        return Evaluation(name="mean", value=sum(values) / len(values))

    result = client.get_dataset("exam").run_experiment(
        name="shouting", run_name="shouting 1", description="louder", task=task, evaluators=[exact, label],
        run_evaluators=[mean], metadata={"model": "none"},
    )  # fmt: skip
    client.flush()
    trace_id = result.item_results[0].trace_id
    api = client.api.experiments
    return {
        "id": result.experiment_id, "url": result.experiment_url, "run": result.run_name,
        "results": {one.item.id: [one.output, len(one.evaluations)] for one in result.item_results},
        "trace_id": trace_id, "spans": observations(client, trace_id),
        "listed": api.list(from_start_time=RECENTLY, name="shouting 1", fields="core,metadata,scores", score_limit=10),
        "items": api.list_items(
            from_start_time=RECENTLY, experiment_id=result.experiment_id, score_limit=10,
            fields="core,dataset,io,metadata,itemMetadata,experimentMetadata,scores",
        ),
        "run_scores": client.api.scores.get_many(experiment_id=result.experiment_id, fields="subject").data,
        "item_scores": client.api.scores.get_many(trace_id=trace_id, fields="subject,details").data,
    }  # fmt: skip


@case
def local_experiment() -> Any:
    """Run an experiment over data of the program's own."""
    result = client.run_experiment(
        name="local", run_name="local 1", data=[{"input": "a", "expected_output": "A"}, {"input": "b"}],
        task=lambda *, item, **_: item["input"].upper(),
        run_evaluators=[lambda **_: Evaluation(name="fine", value=True, data_type="BOOLEAN")],
    )  # fmt: skip
    client.flush()
    return {
        "id": result.experiment_id, "outputs": sorted(one.output for one in result.item_results),
        "listed": client.api.experiments.list(from_start_time=RECENTLY, id=result.experiment_id),
        "run_scores": client.api.scores.get_many(experiment_id=result.experiment_id, fields="subject").data,
    }  # fmt: skip


@case
def evaluated() -> Any:
    """Evaluate what is stored, page by page with a filter, and find the scores."""
    for number in range(12):
        with client.start_as_current_observation(
            name="to be judged" if number % 2 else "to be left",
            as_type="generation",
            input=f"in {number}",
            output=f"out {number}",
        ):
            pass
    client.flush()
    chosen = json.dumps([{"type": "string", "column": "name", "operator": "=", "value": "to be judged"}])
    result = client.run_batched_evaluation(
        mapper=lambda *, item, **_: EvaluatorInputs(
            input=item.input, output=item.output, expected_output=None, metadata={}
        ),
        evaluators=[lambda *, output, **_: Evaluation(name="length", value=float(len(output)))],
        filter=chosen, fetch_batch_size=4,
    )  # fmt: skip
    client.flush()
    scores = client.api.scores.get_many(name="length", fields="subject", limit=100).data
    judged = client.api.observations.get_many(filter=chosen, fields=GROUPS, limit=100).data
    return {
        "processed": result.total_items_processed, "failed": result.total_items_failed,
        "created": result.total_scores_created, "scores": scores, "judged": [one.id for one in judged],
    }  # fmt: skip


if __name__ == "__main__":
    tell()
    client.shutdown()
