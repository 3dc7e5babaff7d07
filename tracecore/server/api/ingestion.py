"""Langfuse's older ingestion (``POST /ingestion``): a batch of events, each answered for by itself.

Keys that may only give scores may send events of scores, and no others: that is how pages in a browser do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from starlette.responses import Response

from tracecore.errors import AccessDenied, NotFound, TracecoreError
from tracecore.records import Provenance
from tracecore.server.api.scores import MOST_AT_ONCE, keep_scores
from tracecore.server.api.writing import write
from tracecore.server.operations import Call, Operations, json_answer
from tracecore.services.legacy_changes import SOURCE, Change
from tracecore.services.legacy_events import Event, Said, event_of, said_by
from tracecore.services.legacy_ingestion import LegacyIngestion
from tracecore.services.scores import NewScore

__all__ = ["operations"]

operations = Operations()


class IngestionBody(Struct, frozen=True):
    """Hold a batch of events."""

    batch: Annotated[list[Raw], Meta(max_length=MOST_AT_ONCE)]
    metadata: Raw | UnsetType = UNSET


class Success(Struct, frozen=True):
    """Say that an event is kept."""

    id: str
    status: int = 201


class Failure(Struct, frozen=True):
    """Say why an event is not kept."""

    id: str
    status: int
    message: str
    error: str


class IngestionAnswer(Struct, frozen=True):
    """Answer for every event, those that are kept and those that are not, in their order."""

    successes: list[Success]
    errors: list[Failure]


class _OnlyId(Struct, frozen=True):
    id: str = "unknown"


class _Sdk(Struct, frozen=True):
    sdk_name: str | None = None
    sdk_version: str | None = None


_only_id: Final = msgspec.json.Decoder(_OnlyId)
_sdk: Final = msgspec.json.Decoder(_Sdk)


@operations.post("/ingestion", permission="scores:create", status=207)
async def ingest_events(call: Call, body: IngestionBody) -> Annotated[Response, IngestionAnswer]:
    """Take a batch of events; answered when what is kept is durable."""
    found = [_read(call, data) for data in body.batch]
    changes = [(number, said) for number, (_, said) in enumerate(found) if isinstance(said, Change)]
    scores = [(number, said) for number, (_, said) in enumerate(found) if isinstance(said, NewScore)]
    failed = {number: said for number, (_, said) in enumerate(found) if isinstance(said, Exception)}
    if changes:
        ingestion = LegacyIngestion(
            call.backend, call.project, locks=call.state.trace_locks, write=partial(write, call),
            provenance=_provenance(call, body.metadata),
        )  # fmt: skip
        failed |= _failed(changes, await ingestion.keep([change for _, change in changes]))
    if scores:
        failed |= _failed(scores, await keep_scores(call, [score for _, score in scores]))
    successes = [Success(event_id) for number, (event_id, _) in enumerate(found) if number not in failed]
    errors = [_failure(found[number][0], failed[number]) for number in sorted(failed)]
    return json_answer(IngestionAnswer(successes, errors), 207)


def _read(call: Call, data: Raw) -> tuple[str, Said | Exception]:
    """Return the id of an event, and what it says, or why it says nothing."""
    try:
        event = event_of(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return _id_of(data), error
    try:
        _check_may(call, event)
        return event.id, said_by(event, now_ns=call.now_ns)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TracecoreError) as error:
        return event.id, error


def _id_of(data: Raw) -> str:
    try:
        return _only_id.decode(data).id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "unknown"


def _check_may(call: Call, event: Event) -> None:
    if event.type not in {"score-create", "sdk-log"} and not call.principal.may("ingest:create"):
        raise AccessDenied("this key gives scores only; send other events with one that does not")


def _provenance(call: Call, metadata: Raw | UnsetType) -> Provenance:
    headers = call.request.headers
    said = _Sdk()
    if metadata is not UNSET:
        try:
            said = _sdk.decode(metadata)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            said = _Sdk()  # what an SDK says of itself there is for its makers
    return Provenance(
        source=SOURCE,
        api_key=call.principal.key,
        sdk_name=headers.get("x-langfuse-sdk-name") or said.sdk_name,
        sdk_version=headers.get("x-langfuse-sdk-version") or said.sdk_version,
    )


def _failed(sent: Sequence[tuple[int, Any]], answers: Sequence[object]) -> dict[int, Exception]:
    """Return the errors among answers, by the number of their event."""
    return {number: answer for (number, _), answer in zip(sent, answers, strict=True) if isinstance(answer, Exception)}


def _failure(event_id: str, error: Exception) -> Failure:
    if isinstance(error, AccessDenied):
        return Failure(event_id, 401, "Authentication error", str(error))
    if isinstance(error, NotFound):
        return Failure(event_id, 404, "Resource not found", str(error))
    return Failure(event_id, 400, "Invalid request data", str(error))
