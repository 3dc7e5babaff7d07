"""Origins: what all spans of one scope have in common, worked out once for all of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from tracecore.records import Provenance, TraceAttributes
from tracecore.server.otlp.mapping import FIELDS
from tracecore.server.otlp.names import Langfuse, OpenTelemetry
from tracecore.server.otlp.payloads import member, text_of
from tracecore.server.otlp.reading import environment_of
from tracecore.server.otlp.received import Attributes, Destination, Scope, Value
from tracecore.server.otlp.sorting import Shape

__all__ = ["Origin"]

_encode: Final = msgspec.json.Encoder().encode
_LANGFUSE: Final = "langfuse-sdk"
_FIRST_WITH_JSON: Final = 5
"""The version from which on Langfuse's SDK for Python writes every value of metadata as JSON."""
_LAST_WITHOUT_TYPES: Final = (3, 3)
"""The last version of it that wrote generations of ``update_current_generation`` as spans."""
_PYTHON: Final = "python"


class Origin:
    """Hold what a resource and a scope say of their spans."""

    def __init__(self, scope: Scope, into: Destination) -> None:
        resource = scope.resource
        self.scope_name: Final = scope.name
        self.provenance: Final = _provenance(scope, into)
        self.release: Final = text_of(resource.get(Langfuse.RELEASE))
        self.service_version: Final = self.provenance.service_version
        self.environments: Final = _environments(resource)
        version = _version(scope.version)
        is_python = scope.name == _LANGFUSE and self.provenance.sdk_language in {None, _PYTHON}
        self.metadata_is_json: Final = is_python and version >= (_FIRST_WITH_JSON,)
        self.hides_generations: Final = is_python and (0,) < version[:2] <= _LAST_WITHOUT_TYPES
        self.resource: Final = _resource(resource)
        """The attributes of the resource as JSON."""
        self.scope: Final = _scope(scope)
        """The scope as JSON."""
        self.told: Final[dict[Any, tuple[TraceAttributes | None, Shape]]] = {}
        """What spans said of their trace, and what was left to be taken of them: see ``traces``."""


def _resource(attributes: Attributes) -> Raw | None:
    """Return the attributes of a resource as JSON, or None where there are none."""
    return Raw(_encode(_members(attributes))) if attributes else None


def _scope(scope: Scope) -> Raw | None:
    """Return a scope as JSON, or None where nothing is said of it."""
    said = {"name": scope.name, "version": scope.version, "attributes": _members(scope.attributes)}
    found = {name: value for name, value in said.items() if value}
    return Raw(_encode(found)) if found else None


def _members(attributes: Attributes) -> Attributes:
    return {key: member(value) for key, value in attributes.items()}


def _provenance(scope: Scope, into: Destination) -> Provenance:
    said: dict[str, Value] = scope.resource
    return Provenance(
        source=into.source,
        api_key=into.api_key,
        sdk_name=into.sdk_name or text_of(said.get(OpenTelemetry.SDK_NAME)),
        sdk_version=into.sdk_version or text_of(said.get(OpenTelemetry.SDK_VERSION)),
        sdk_language=text_of(said.get(OpenTelemetry.SDK_LANGUAGE)),
        service_name=text_of(said.get(OpenTelemetry.SERVICE_NAME)),
        service_version=text_of(said.get(OpenTelemetry.SERVICE_VERSION)),
        scope_name=scope.name or None,
        scope_version=scope.version or None,
        service_instance_id=text_of(said.get(OpenTelemetry.SERVICE_INSTANCE)),
    )


def _environments(resource: Attributes) -> dict[int, str]:
    """Return what the resource says of the environment, by the rank of the name."""
    said = {rank: environment_of(resource.get(name)) for rank, name in enumerate(FIELDS["environment"])}
    return {rank: found for rank, found in said.items() if found is not None}


def _version(text: str) -> tuple[int, ...]:
    """Return the first numbers of a version; none for what is no version."""
    numbers: list[int] = []
    for part in text.split(".")[:3]:
        if not (part.isascii() and part.isdigit()) or len(part) > 9:  # noqa: PLR2004 - no version has more digits
            break
        numbers.append(int(part))
    return tuple(numbers) or (0,)
