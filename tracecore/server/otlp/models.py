"""What is said of a model call: which model, how it was asked, what it used and cost, by which prompt."""

from __future__ import annotations

from typing import Any, Final, cast

from msgspec import Raw

from tracecore.records import ABSENT
from tracecore.server.otlp.names import GenAI
from tracecore.server.otlp.payloads import object_in, payload_of, text_of
from tracecore.server.otlp.reading import whole_of
from tracecore.server.otlp.sorting import Sorted
from tracecore.server.otlp.usage import cost_of, usage_of

__all__ = ["model_fields"]

_PARAMETERS: Final = f"{GenAI.REQUEST}.*"


def model_fields(attributes: Sorted) -> dict[str, Any]:
    """Return the fields that only a generation has."""
    usage, cost = usage_of(attributes), cost_of(attributes)
    name, version = _prompt(attributes)
    return {
        "model": attributes.take("model", text_of),
        "model_parameters": attributes.take("parameters", _parameters) or ABSENT,
        "usage_details": usage.details,
        "provided_usage_details": usage.provided,
        "cost_details": cost.details,
        "total_cost": cost.total,
        "prompt_name": name,
        "prompt_version": version,
    }


def _parameters(value: Any) -> Raw | None:
    """Return parameters as an object; an empty one, or what is none, is not there."""
    said = object_in(value)
    if not said:
        return None
    return payload_of(value)


def _prompt(attributes: Sorted) -> tuple[str | None, int | None]:
    name = attributes.take("prompt_name", text_of)
    version = attributes.take("prompt_version", whole_of)
    if name is None and attributes.has("prompt_link"):
        said = attributes.take("prompt_link", object_in) or {}
        return text_of(said.get("name")), whole_of(cast("Any", said.get("version")))
    return name, version
