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

from tracecore.backend import Access, Batch, Capabilities, Receipt
from tracecore.errors import BackendRejected
from tracecore.records import LedgerEntry, Score, Span
from tracecore.wire import encode
from tracecore_http.address import Address
from tracecore_http.batches import check, in_parts
from tracecore_http.conventions import LANGFUSE
from tracecore_http.meaning import receipt_for, united
from tracecore_http.otlp import SpanSender
from tracecore_http.remote import Remote
from tracecore_http.resources import grouped, own_version
from tracecore_http.spans import Attributes, iso_time, text
from tracecore_http.transport import Answer, Connect, HttpxTransport

__all__ = ["LangfuseBackend"]

_SPANS: Final = "/api/public/otel/v1/traces"
_SCORES: Final = "/api/public/scores"
_PROJECTS: Final = "/api/public/projects"
_INGESTION_VERSION: Final = "4"
_LARGEST: Final = 900_000
"""Bytes of scores that are sent at once; the server takes about a million."""
_MOST: Final = 500
"""Scores that are sent at once."""
_JSON: Final = ("content-type", "application/json")


class _Refusal(Struct):
    message: str = ""


class _Partial(Struct):
    rejected: int = 0
    errors: list[_Refusal] = []


class LangfuseBackend:
    """Send records to a Langfuse server; see :class:`tracecore.backend.Backend` for what each member means."""

    traces: Final = None
    observations: Final = None
    sessions: Final = None
    scores: Final = None
    ledger: Final = None
    sql: Final = None
    capabilities: Final = Capabilities(level="received")

    def __init__(self, address: Address, *, access: Access, connect: Connect = HttpxTransport) -> None:
        self._address = address
        self._access: Access = access
        self._connect = connect
        self._remote = Remote(address, connect)
        self._spans = SpanSender(self._remote, address, _SPANS)
        self.location: Final = address.location

    def another(self) -> LangfuseBackend:
        """Return an unopened backend of the same server, wherever the program has gone."""
        return LangfuseBackend(self._address, access=self._access, connect=self._connect)

    async def open(self) -> None:
        """Ask the server which project the keys belong to: it is there, and lets us in."""
        if self._remote.is_open:
            return
        await self._remote.open()
        try:
            await self._remote.ask(_PROJECTS, method="GET")
        except BaseException:
            await self._remote.close()
            raise

    async def write(self, batch: Batch) -> Receipt | None:
        """Send every observation of the batch that has ended, then its scores."""
        check(batch, self.location, access=self._access, is_open=self._remote.is_open)
        if any(isinstance(record, LedgerEntry) for record in batch):
            raise BackendRejected(f"{self.location} keeps no ledger", "write observations and scores only")
        return await in_parts(batch, self._send) if batch else None

    async def maintain(self) -> bool:
        """Do nothing: the server looks after itself."""
        return False

    async def close(self) -> None:
        """Let go of every connection."""
        await self._remote.close()

    async def _send(self, batch: Batch) -> Receipt | None:
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
