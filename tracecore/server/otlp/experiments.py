"""The experiment that a span belongs to (``langfuse.experiment.*``)."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from tracecore.records import ABSENT, Experiment
from tracecore.server.otlp.mapping import EXPERIMENT
from tracecore.server.otlp.payloads import payload_of, text_of
from tracecore.server.otlp.sorting import Sorted

__all__ = ["experiment_of"]

_GROUP = "experiment.*"


def experiment_of(attributes: Sorted) -> Experiment | None:
    """Return the experiment that a span belongs to; one without an id is none."""
    names = attributes.groups[_GROUP]
    identity = next((text_of(attributes.value(full)) for full, name in names.items() if name == "id"), None)
    if identity is None:
        return None
    said = attributes.members(_GROUP)
    for full, name in names.items():
        if name not in EXPERIMENT:
            attributes.rest[full] = said[name]
    return Experiment(
        id=identity,
        name=text_of(said.get("name")),
        description=text_of(said.get("description")),
        metadata=_payload(said.get("metadata")),
        dataset_id=text_of(said.get("dataset.id")),
        item_id=text_of(said.get("item.id")),
        item_version=text_of(said.get("item.version")),
        item_expected_output=_payload(said.get("item.expected_output")),
        item_metadata=_payload(said.get("item.metadata")),
        item_root_span_id=text_of(said.get("item.root_observation_id")),
    )


def _payload(value: Any) -> Raw:
    return ABSENT if value is None or value == "" else payload_of(value)
