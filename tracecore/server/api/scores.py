"""Giving and erasing scores (``POST /scores``, ``DELETE /scores/{id}``); lists of them are in ``score_lists.py``.

A batch is an array, and each score of it is accepted or refused by itself; one object, as SDKs before the fifth send
it, is answered with its id. Both are answered when the scores are durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct
from starlette.responses import Response

from tracecore.erasure import LARGEST_ERASURE, Erasable
from tracecore.errors import BackendRejected, ConfigError, NotFound, TracecoreError
from tracecore.records import Score
from tracecore.server.api.writing import write
from tracecore.server.operations import Call, Operations, json_answer
from tracecore.services.score_configs import ScoreConfigs
from tracecore.services.scores import NewScore, Scores
from tracecore.services.stores import scores_of

__all__ = ["MOST_AT_ONCE", "erase_scores", "keep_scores", "operations"]

operations = Operations()

MOST_AT_ONCE: Final = 10_000
"""Scores, or events, of one request: each is answered for in more bytes than it may have had itself."""
_new_score: Final = msgspec.json.Decoder(NewScore)


class Accepted(Struct, frozen=True):
    """Say that every score of a batch is kept."""

    message: str = "Accepted"


class BatchError(Struct, frozen=True):
    """Say why a score of a batch is not kept."""

    message: str


class BatchResults(Struct, frozen=True):
    """Say how many scores of a batch are kept, and why the others are not."""

    accepted: int
    rejected: int
    errors: list[BatchError]


class CreatedScore(Struct, frozen=True):
    """Name the score that was kept."""

    id: str


class Deleted(Struct, frozen=True):
    """Say that a score has gone."""

    message: str = "Score deleted successfully"


@operations.post("/scores", permission="scores:create", also=(202, 207))
async def create_scores(
    call: Call, body: Annotated[list[Raw], Meta(max_length=MOST_AT_ONCE)] | NewScore
) -> Annotated[Response, CreatedScore | Accepted | BatchResults]:
    """Keep scores; a score whose id is known takes the place of the one that has it."""
    if isinstance(body, NewScore):
        [only] = await keep_scores(call, [_public(body)])
        if isinstance(only, TracecoreError):
            raise only
        return json_answer(CreatedScore(only.score_id))
    found = await keep_scores(call, [_read(data) for data in body])
    errors = [
        BatchError(f"score {number}: {one}") for number, one in enumerate(found) if isinstance(one, TracecoreError)
    ]
    if not errors:
        return json_answer(Accepted(), 202)
    return json_answer(BatchResults(len(found) - len(errors), len(errors), errors), 207)


@operations.delete("/scores/{score_id:path}", permission="scores:CUD", status=202)
async def delete_score(call: Call, score_id: str) -> Deleted:
    """Erase a score; it is gone when this is answered."""
    if score_id not in await erase_scores(call, [score_id]):
        raise NotFound("score", score_id)
    return Deleted()


async def keep_scores(call: Call, given: Sequence[NewScore | TracecoreError]) -> list[Score | TracecoreError]:
    """Write scores; return the record of each, or why it is not kept, in the same order.

    Raises:
        BackendUnavailable, BackendRejected: none is kept.
    """
    readable = [one for one in given if isinstance(one, NewScore)]
    scores = Scores(ScoreConfigs(call.catalog), scores_of(call.backend))
    checked = await scores.checked(call.project, readable, now_ns=call.now_ns)
    left = iter(checked.found)
    found = [next(left) if isinstance(one, NewScore) else one for one in given]
    if checked.replaced:
        await erase_scores(call, checked.replaced)
    await write(call, _of_one_type([one for one in found if isinstance(one, Score)]))
    return found


async def erase_scores(call: Call, score_ids: Sequence[str]) -> tuple[str, ...]:
    """Erase scores; return the ids of those that were there.

    Raises:
        BackendRejected: the backend erases nothing.
    """
    if not isinstance(call.backend, Erasable):
        raise BackendRejected(f"{call.backend.location} erases nothing", "use SQLite or PostgreSQL")
    erased: tuple[str, ...] = ()
    for start in range(0, len(score_ids), LARGEST_ERASURE):
        some = score_ids[start : start + LARGEST_ERASURE]
        erased += (await call.backend.erase(call.project, score_ids=some)).scores
    return erased


def _of_one_type(scores: Sequence[Score]) -> list[Score]:
    """Return scores without those of which a later one has the id and another type: it takes their place."""
    last = {score.score_id: score.data_type for score in scores}
    return [score for score in scores if score.data_type == last[score.score_id]]


def _read(data: Raw) -> NewScore | TracecoreError:
    try:
        return _public(_new_score.decode(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return ConfigError("score", bytes(data)[:60].decode(errors="replace"), "the request", f"a score: {error}")
    except TracecoreError as error:
        return error


def _public(score: NewScore) -> NewScore:
    """Return a score that a client may give: what evaluators find comes another way."""
    if score.source == "EVAL":
        raise ConfigError("source", score.source, "the request", "API or ANNOTATION")
    return score
