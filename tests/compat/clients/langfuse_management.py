"""The typed client of the Langfuse SDK: models, comments, annotation queues, metrics, filters and errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from langfuse import Langfuse, propagate_attributes
from langfuse.api import PricingTierInput
from langfuse.api.core import ApiError
from telling import GROUPS, case, observations, tell

client = Langfuse()


@case
def models() -> Any:
    """Make a model with prices, see that calls of it are priced, change it and remove it."""
    api = client.api.models
    made = api.create(
        model_name="house-model", match_pattern="(?i)^house-[0-9]+$", unit="TOKENS", start_date=None,
        pricing_tiers=[PricingTierInput(
            name="Standard", is_default=True, priority=0, conditions=[], prices={"input": 1e-6, "output": 2e-6}
        )],
    )  # fmt: skip
    with client.start_as_current_observation(
        name="priced", as_type="generation", model="house-7", usage_details={"input": 1000, "output": 500}
    ) as root:
        pass
    priced = observations(client, root.trace_id)
    flat = api.create(model_name="flat", match_pattern="^flat$", unit="TOKENS", input_price=0.5, output_price=1.5)
    pages = [api.list(page=1, limit=100)]
    pages += [api.list(page=page, limit=100) for page in range(2, pages[0].meta.total_pages + 1)]
    listed = [model for page in pages for model in page.data]
    api.delete(flat.id)
    told = {
        "made": made,
        "got": api.get(made.id),
        "flat": flat,
        "priced": priced,
        "listed": listed,
        "meta": pages[0].meta,
    }
    for name, ask in {"gone": lambda: api.get(flat.id), "builtin": lambda: api.delete(_builtin(listed))}.items():
        try:
            ask()
        except Exception as error:  # noqa: BLE001 - which one it is, is what is told
            told[name] = {"status": getattr(error, "status_code", None), "body": getattr(error, "body", None)}
    return told


def _builtin(listed: Any) -> str:
    return next(model.id for model in listed if model.is_langfuse_managed)


@case
def comments() -> Any:
    """Comment on a trace and an observation."""
    project = client.api.projects.get().data[0].id
    with client.start_as_current_observation(name="commented") as root:
        pass
    client.flush()
    api = client.api.comments
    one = api.create(
        project_id=project, object_type="TRACE", object_id=root.trace_id, content="**schön** 世", author_user_id="u1"
    )
    two = api.create(project_id=project, object_type="OBSERVATION", object_id=root.id, content="here")
    told = {
        "trace_id": root.trace_id, "one": api.get_by_id(one.id), "two": two,
        "of_trace": api.get(object_type="TRACE", object_id=root.trace_id), "all": api.get(page=1, limit=50),
    }  # fmt: skip
    try:
        api.create(project_id=project, object_type="TRACE", object_id="0" * 31 + "1", content="on nothing")
    except Exception as error:  # noqa: BLE001 - which one it is, is what is told
        told["nothing"] = {"status": getattr(error, "status_code", None), "body": getattr(error, "body", None)}
    return told


@case
def queues() -> Any:
    """Make a queue for annotators, put a trace into it, and finish it."""
    config = client.api.score_configs.create(name="judged", data_type="BOOLEAN")
    with client.start_as_current_observation(name="queued") as root:
        pass
    client.flush()
    api = client.api.annotation_queues
    queue = api.create_queue(name="to look at", description="soon", score_config_ids=[config.id])
    item = api.create_queue_item(queue.id, object_id=root.trace_id, object_type="TRACE")
    other = api.create_queue_item(queue.id, object_id=root.id, object_type="OBSERVATION")
    done = api.update_queue_item(queue.id, item.id, status="COMPLETED")
    pending = api.list_queue_items(queue.id, status="PENDING")
    removed = api.delete_queue_item(queue.id, other.id)
    return {
        "queue": queue, "got": api.get_queue(queue.id), "listed": api.list_queues(page=1, limit=10), "item": item,
        "done": done, "pending": pending, "removed": removed, "left": api.list_queue_items(queue.id),
        "again": api.get_queue_item(queue.id, item.id), "trace_id": root.trace_id, "config": config.id,
    }  # fmt: skip


COUNT = {"measure": "count", "aggregation": "count"}


@case
def metrics() -> Any:
    """Count and sum what was just sent, by model and in time."""
    for number in range(4):
        with client.start_as_current_observation(
            name="metered", as_type="generation", model=f"metered-{number % 2}",
            usage_details={"input": 10, "output": number}, cost_details={"input": 0.5, "output": 0.25},
        ) as one:  # fmt: skip
            one.score(name="metered score", value=number)
    client.flush()
    now = datetime.now(UTC)
    span = {
        "fromTimestamp": (now - timedelta(hours=1)).isoformat(), "toTimestamp": (now + timedelta(hours=1)).isoformat()
    }  # fmt: skip
    named = [{"column": "name", "operator": "=", "value": "metered", "type": "string"}]

    def ask(**query: Any) -> Any:
        return client.api.metrics.metrics(query=json.dumps(query | span)).data

    try:
        refused = ask(view="observations", dimensions=[{"field": "userId"}], metrics=[COUNT])
    except ApiError as error:
        refused = [type(error).__name__, error.status_code, "too many values" in str(error.body)]
    return {
        "by_model": ask(
            view="observations", filters=named, dimensions=[{"field": "providedModelName"}],
            metrics=[{"measure": "count", "aggregation": "count"}, {"measure": "totalCost", "aggregation": "sum"},
                     {"measure": "outputTokens", "aggregation": "max"}, {"measure": "latency", "aggregation": "p95"}],
        ),
        "in_time": ask(
            view="observations", filters=named, timeDimension={"granularity": "hour"},
            metrics=[COUNT],
        ),
        "spread": ask(
            view="observations", filters=named, config={"bins": 3},
            metrics=[{"measure": "outputTokens", "aggregation": "histogram"}],
        ),
        "refused": refused,
        "scores": ask(
            view="scores-numeric", dimensions=[{"field": "name"}], metrics=[{"measure": "value", "aggregation": "avg"}],
            filters=[{"column": "name", "operator": "=", "value": "metered score", "type": "string"}],
        ),
    }  # fmt: skip


OURS = {"type": "string", "column": "sessionId", "operator": "=", "value": "filtered"}
FILTERS: dict[str, list[dict[str, Any]]] = {
    "name": [{"type": "string", "column": "name", "operator": "starts with", "value": "found"}],
    "tags": [{"type": "arrayOptions", "column": "tags", "operator": "all of", "value": ["x", "y"]}],
    "metadata": [{"type": "stringObject", "column": "metadata", "key": "tenant", "operator": "=", "value": "acme"}],
    "tokens": [{"type": "number", "column": "totalTokens", "operator": ">", "value": 50}],
    "level": [{"type": "stringOptions", "column": "level", "operator": "any of", "value": ["ERROR", "WARNING"]}],
    "input": [{"type": "string", "column": "input", "operator": "matches", "value": "needle"}],
    "root": [{"type": "boolean", "column": "isRootObservation", "operator": "=", "value": True}],
    "no model": [{"type": "null", "column": "model", "operator": "is null", "value": ""}],
}


@case
def filters() -> Any:
    """Find observations by each kind of filter."""
    with (
        propagate_attributes(session_id="filtered", tags=["x", "y"], metadata={"tenant": "acme"}),
        client.start_as_current_observation(name="found root", input="a needle in hay") as root,
    ):
        root.start_observation(
            name="found call", as_type="generation", model="m", usage_details={"input": 40, "output": 20}
        ).end()
        root.start_observation(name="other", level="ERROR", status_message="broken").end()
    client.flush()
    return {
        name: sorted(
            one.name
            for one in client.api.observations.get_many(
                fields=GROUPS, limit=100, filter=json.dumps([*filter_, OURS])
            ).data
        )
        for name, filter_ in FILTERS.items()
    }  # fmt: skip


@case
def keys() -> Any:
    """Look at the project and at the keys that open it."""
    [project] = client.api.projects.get().data
    return {"project": project, "keys": client.api.projects.get_api_keys(project.id)}


@case
def unknown() -> Any:
    """Ask for ids that nobody has: each answer is 404 with a message."""
    asked = {
        "model": lambda: client.api.models.get("nope"), "comment": lambda: client.api.comments.get_by_id("nope"),
        "queue": lambda: client.api.annotation_queues.get_queue("nope"),
        "config": lambda: client.api.score_configs.get_by_id("nope"), "prompt": lambda: client.api.prompts.get("nope"),
        "dataset": lambda: client.api.datasets.get("nope"), "item": lambda: client.api.dataset_items.get("nope"),
        "media": lambda: client.api.media.get("nope"),
    }  # fmt: skip
    told = {}
    for name, ask in asked.items():
        try:
            ask()
        except Exception as error:  # noqa: BLE001 - which one it is, is what is told
            told[name] = [type(error).__name__, getattr(error, "status_code", None), getattr(error, "body", None)]
        else:
            told[name] = ["no error", 200, None]
    return told


if __name__ == "__main__":
    tell()
    client.shutdown()
