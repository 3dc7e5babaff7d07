"""The Langfuse SDK scores: every data type on every subject, configurations, changes and deletions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from langfuse import Langfuse
from langfuse.api import ConfigCategory, CreateScoreRequest, NotFoundError
from telling import case, tell

client = Langfuse(environment="staging")


def read(**query: Any) -> list[Any]:
    """Return scores with all their fields through the typed client."""
    client.flush()
    return client.api.scores.get_many(fields="details,subject,annotation", limit=100, **query).data


@case
def kinds() -> Any:
    """Score one trace with every type of value, and its observation."""
    with client.start_as_current_observation(name="scored") as root:
        client.score_current_trace(name="number", value=0.75, comment="grüßt", metadata={"judge": "me"})
        client.score_current_trace(name="truth", value=1, data_type="BOOLEAN")
        client.score_current_trace(name="untruth", value=0, data_type="BOOLEAN")
        client.score_current_trace(name="class", value="好", data_type="CATEGORICAL")
        client.score_current_trace(name="inferred", value="a word")
        client.score_current_trace(name="text", value="a sentence about it", data_type="TEXT")
        client.score_current_span(name="span", value=3)
        root.score(name="of the object", value=-1.5)
        client.create_score(
            trace_id=root.trace_id, name="output", value="what it should have said", data_type="CORRECTION"
        )
    return {"trace_id": root.trace_id, "span": root.id, "typed": read(trace_id=root.trace_id)}


@case
def subjects() -> Any:
    """Score a session, an experiment, and a trace that nobody has sent."""
    client.create_score(session_id="session-s", name="of a session", value=1.0)
    client.create_score(dataset_run_id="0123456789abcdef", name="of an experiment", value=2.0)
    client.create_score(trace_id="f" * 32, name="of what is not there", value=3.0)
    return {
        "session": read(session_id="session-s"), "experiment": read(experiment_id="0123456789abcdef"),
        "trace": read(trace_id="f" * 32),
    }  # fmt: skip


@case
def changed() -> Any:
    """Send a score again under its id: it is one score with the last value; then delete it."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    for value in (1.0, 2.0):
        client.create_score(
            score_id="score-once", trace_id="e" * 32, name="once", value=value, timestamp=moment, environment="blue"
        )
        client.flush()
    before = read(trace_id="e" * 32)
    client.api.scores.delete("score-once")
    return {"before": before, "after": read(trace_id="e" * 32)}


@case
def strangers() -> Any:
    """Delete a score that does not exist."""
    try:
        client.api.scores.delete("no-such-score")
    except NotFoundError as error:
        return {"status": error.status_code, "body": error.body}
    return {"status": 200}


@case
def configured() -> Any:
    """Score by configurations, and read, change and archive them."""
    api = client.api.score_configs
    number = api.create(name="quality", data_type="NUMERIC", min_value=0, max_value=10, description="how good")
    choice = api.create(
        name="colour", data_type="CATEGORICAL",
        categories=[ConfigCategory(label="red", value=0), ConfigCategory(label="blue", value=1)],
    )  # fmt: skip
    truth = api.create(name="right", data_type="BOOLEAN")
    client.create_score(trace_id="d" * 32, name="quality", value=7, config_id=number.id)
    client.create_score(trace_id="d" * 32, name="colour", value="blue", config_id=choice.id)
    client.flush()  # a score of an archived configuration would be refused
    client.flush()
    changed = api.update(number.id, description="how very good", max_value=20)
    archived = api.update(choice.id, is_archived=True)
    return {
        "number": number, "choice": choice, "truth": truth, "changed": changed, "archived": archived,
        "listed": api.get(page=1, limit=2), "again": api.get_by_id(number.id), "typed": read(trace_id="d" * 32),
        "by_config": read(config_id=number.id),
    }  # fmt: skip


@case
def refused() -> Any:
    """Send scores that cannot be: the others of the batch are stored, and each refusal has a reason."""
    config = client.api.score_configs.create(name="bounded", data_type="NUMERIC", min_value=0, max_value=1)
    answer = client.api.scores.create(
        request=[
            CreateScoreRequest(name="good", value=1.0, trace_id="c" * 32),
            CreateScoreRequest(name="bounded", value=5.0, trace_id="c" * 32, config_id=config.id),
            CreateScoreRequest(name="nowhere", value=1.0),
        ]
    )
    return {"answer": answer, "typed": read(trace_id="c" * 32)}


@case
def searched() -> Any:
    """Find scores by what they are, and page through them."""
    for number in range(7):
        client.create_score(trace_id="b" * 32, name="series", value=number, score_id=f"series-{number}")
    client.create_score(trace_id="b" * 32, name="other", value="x")
    client.flush()
    pages, cursor = [], None
    while not pages or cursor:
        page = client.api.scores.get_many(trace_id="b" * 32, name="series", limit=3, cursor=cursor)
        pages.append([one.value for one in page.data])
        cursor = page.meta.cursor
    between = read(trace_id="b" * 32, data_type="NUMERIC", value_min=2, value_max=4)
    return {
        "pages": pages, "between": [one.value for one in between],
        "named": [one.name for one in read(trace_id="b" * 32, name="other,series")],
        "words": [one.value for one in read(trace_id="b" * 32, data_type="CATEGORICAL")],
    }  # fmt: skip


if __name__ == "__main__":
    tell()
    client.shutdown()
