"""A Langfuse server as a backend: observations as OTLP in Langfuse's own names, scores to its public API.

Whatever is sent again after a lost answer is the same to it: it knows observations and scores by their ids. Sessions
are what it makes of ``session.id`` itself; a record of one is rejected, with that reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import anyio.to_thread
import msgspec
from msgspec import Struct

from tracecore.backend import Access, Batch, Receipt
from tracecore.errors import BackendError
from tracecore.records import Score, Span
from tracecore.wire import encode
from tracecore_http.address import Address
from tracecore_http.answers import understood
from tracecore_http.conventions import LANGFUSE
from tracecore_http.exporting import Exporter
from tracecore_http.langfuse_prompts import LangfusePrompts
from tracecore_http.meaning import printable, receipt_for, united
from tracecore_http.otlp import SpanSender
from tracecore_http.resources import grouped, own_version
from tracecore_http.spans import Attributes, iso_time, text
from tracecore_http.transport import Answer, Connect, HttpxTransport

__all__ = ["LangfuseBackend"]

_SPANS: Final = "/api/public/otel/v1/traces"
_SCORES: Final = "/api/public/scores"
_PROJECTS: Final = "/api/public/projects"
_HEALTH: Final = "/api/public/health"
_INGESTION_VERSION: Final = "4"
_LARGEST: Final = 900_000
"""Bytes of scores that are sent at once; the server takes about a million."""
_MOST: Final = 500
"""Scores that are sent at once."""
_WHO: Final = "a Langfuse server"
_JSON: Final = ("content-type", "application/json")


class _Refusal(Struct):
    message: str = ""


class _Partial(Struct):
    rejected: int = 0
    errors: list[_Refusal] = []


class _Project(Struct):
    id: str = ""
    name: str = ""


class _Projects(Struct):
    data: list[_Project]


class _Health(Struct):
    version: str = ""


class LangfuseBackend(Exporter):
    """Send observations and scores to a Langfuse server."""

    takes = "observations and scores"

    def __init__(self, address: Address, *, access: Access, connect: Connect = HttpxTransport) -> None:
        super().__init__(address, access=access, connect=connect)
        self._spans = SpanSender(self._remote, address, _SPANS)
        self.prompts: Final = LangfusePrompts(self._remote, access)
        self.asks_as: Final = address.credentials.mark
        """Tells from others who asks, and with that which project is read."""

    async def facts(self) -> dict[str, str]:
        """Return which server this is, which project the keys belong to, and what matters on the way."""
        known = await super().facts()
        try:
            health = understood(await self._remote.ask(_HEALTH, method="GET"), _Health, self.location, who=_WHO)
        except BackendError:  # it need not say
            return known
        return {"Langfuse": printable(health.version) or "of an unknown version", **known}

    async def _greet(self) -> dict[str, str]:
        """Ask which project the keys belong to."""
        answer = await self._remote.ask(_PROJECTS, method="GET")
        found = understood(answer, _Projects, self.location, who=_WHO).data
        named = ", ".join(printable(f"{one.name} ({one.id})") for one in found)
        return {"protocol": self._spans.protocol, "project": named or "unknown"}

    async def _send(self, batch: Batch) -> Receipt | None:
        """Send every observation of the batch that has ended, then its scores."""
        observations = [record for record in batch if isinstance(record, Span)]
        scores = [record for record in batch if isinstance(record, Score)]
        pair = self._remote.key.pair()
        public_key = pair[0] if pair is not None else ""
        scope: Attributes = [("public_key", public_key)]
        export = await anyio.to_thread.run_sync(grouped, observations, LANGFUSE, scope)
        headers = _who(public_key)
        receipts = [await self._spans.send(export, [*headers, ("x-langfuse-ingestion-version", _INGESTION_VERSION)])]
        receipts += [await self._send_scores(body, headers) for body in _bodies(scores)]
        left_out = len(batch) - len(observations) - len(scores)
        if left_out:
            receipts.append(Receipt(left_out, "Langfuse makes sessions of observations"))
        return united(receipts)

    async def _send_scores(self, body: bytes, headers: list[tuple[str, str]]) -> Receipt | None:
        rejected, reason = _rejected_in(await self._remote.ask(_SCORES, body, headers=[_JSON, *headers]))
        return receipt_for(rejected, reason, self._remote.key.hide)


def _who(public_key: str) -> list[tuple[str, str]]:
    return [
        ("x-langfuse-sdk-name", "tracecore"),
        ("x-langfuse-sdk-version", own_version()),
        ("x-langfuse-public-key", public_key),
    ]


def _bodies(scores: list[Score]) -> Iterator[bytes]:
    """Yield arrays of scores, each of a size that the server takes."""
    held, length = list[bytes](), 0
    for score in scores:
        one = encode(_as_langfuse(score))
        if held and (length + len(one) > _LARGEST or len(held) == _MOST):
            yield b"[%b]" % b",".join(held)
            held, length = [], 0
        held.append(one)
        length += len(one) + 1
    if held:
        yield b"[%b]" % b",".join(held)


def _as_langfuse(score: Score) -> dict[str, Any]:
    """Return a score as the API has it; what is not set is left out."""
    value = score.value if score.data_type in {"NUMERIC", "BOOLEAN"} else score.string_value
    named: dict[str, str | None] = {
        "id": score.score_id,
        "name": score.name,
        "traceId": score.trace_id,
        "observationId": score.observation_id,
        "sessionId": score.session_id,
        "datasetRunId": score.experiment_id,
        "comment": score.comment,
        "configId": score.config_id,
        "environment": score.environment,
        "timestamp": iso_time(score.timestamp_ns),
    }
    found: dict[str, Any] = {key: text(said) for key, said in named.items() if said is not None}
    found["dataType"] = score.data_type
    if value is not None:
        found["value"] = text(value) if isinstance(value, str) else float(value)
    if score.metadata:
        found["metadata"] = score.metadata
    return found


def _rejected_in(answer: Answer) -> tuple[int, str]:
    """Return how many scores an answer rejects, and why; one that cannot be read rejects none."""
    try:
        partial = msgspec.json.decode(answer.body, type=_Partial)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return 0, ""
    return partial.rejected, "; ".join(error.message for error in partial.errors[:3] if error.message)
