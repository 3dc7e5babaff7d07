"""Spans by whoever recorded them: what OTLP calls resource and scope."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from msgspec import Struct

from tracecore.records import Observation, Provenance
from tracecore_http.conventions import Dialect
from tracecore_http.spans import Attributes, ExportedSpan, exported, text

__all__ = ["Export", "ResourceSpans", "grouped", "own_version"]

_UNKNOWN = Provenance()


class ResourceSpans(Struct):
    """Hold the spans of one service."""

    attributes: Attributes
    spans: list[ExportedSpan]


class Export(Struct):
    """Hold what is to be sent, and under whose name."""

    scope_name: str
    scope_version: str
    scope_attributes: Attributes
    resources: list[ResourceSpans]
    impossible: int = 0
    """Observations that OTLP cannot hold."""


def grouped(observations: Iterable[Observation], dialect: Dialect, scope_attributes: Attributes) -> Export:
    """Return ended observations as spans, by resource, each in its order."""
    found: dict[tuple[Provenance, str], ResourceSpans] = {}
    export = Export(dialect.scope_name, dialect.scope_version or own_version(), scope_attributes, [])
    for record in observations:
        if record.status == "running":
            continue
        span = exported(record, dialect)
        if span is None:
            export.impossible += 1
            continue
        key = record.provenance or _UNKNOWN, record.project
        if key not in found:
            found[key] = ResourceSpans(_resource(*key), [])
        found[key].spans.append(span)
    export.resources.extend(found.values())
    return export


@cache
def own_version() -> str:
    """Return the version of the tracecore that is installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import, for OTLP only

    try:
        return version("tracecore")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def _resource(provenance: Provenance, project: str) -> Attributes:
    named = {
        "service.name": provenance.service_name or "unknown_service:python",
        "service.version": provenance.service_version,
        "service.instance.id": provenance.service_instance_id,
        "telemetry.sdk.name": provenance.sdk_name or "tracecore",
        "telemetry.sdk.language": provenance.sdk_language or "python",
        "telemetry.sdk.version": provenance.sdk_version or own_version(),
        "tracecore.project": None if project == "default" else project,
    }
    return [(name, text(value)) for name, value in named.items() if value is not None]
