"""Spans by whoever recorded them: what OTLP calls resource and scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from msgspec import Struct

from tracecore.records import Observation, Provenance
from tracecore_http.conventions import Dialect
from tracecore_http.spans import Attributes, is_exportable, text

__all__ = ["SLICE", "Export", "grouped", "own_version"]

SLICE: Final = 50
"""Spans that are encoded before other threads are let in: half a millisecond of work."""
_UNKNOWN: Final = Provenance()


class Export(Struct):
    """Hold what is to be sent, and under whose name; observations become spans when they are encoded, few at once."""

    dialect: Dialect
    scope_attributes: Attributes
    resources: list[tuple[Attributes, list[Observation]]]
    impossible: int = 0
    """Observations that OTLP cannot hold."""

    @property
    def scope_version(self) -> str:
        """Return the version of the scope."""
        return self.dialect.scope_version or own_version()

    def slices(self) -> Iterator[tuple[Attributes, list[Observation]]]:
        """Yield everything in slices of at most ``SLICE`` observations, each under the name of its resource."""
        for attributes, observations in self.resources:
            for start in range(0, len(observations), SLICE):
                yield attributes, observations[start : start + SLICE]


def grouped(observations: Iterable[Observation], dialect: Dialect, scope_attributes: Attributes) -> Export:
    """Return the observations that have ended by resource, each in its order."""
    found: dict[tuple[Provenance, str], list[Observation]] = {}
    impossible = 0
    for record in observations:
        if record.status == "running":
            continue
        if is_exportable(record):
            found.setdefault((record.provenance or _UNKNOWN, record.project), []).append(record)
        else:
            impossible += 1
    resources = [(_resource(*key), records) for key, records in found.items()]
    return Export(dialect, scope_attributes, resources, impossible)


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
