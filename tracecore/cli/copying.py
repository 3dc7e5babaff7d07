"""Copying what one backend keeps into another: exactly, once, and going on where it was interrupted.

Records are read page by page, newest first, and written in batches as a pump would write them; after each one that the
target has acknowledged the position behind it is kept. A batch that was acknowledged a moment before the process was
killed is written again, which is the same as once.

Invariants: identities are those of the source; what the target rejects is counted, named and left out, never what is
beside it; memory holds one batch and one page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Raw, Struct
from msgspec.structs import fields, replace

from tracecore.backend import Backend, Receipt
from tracecore.cli.copy_source import Selection, Slice, part_of, slices
from tracecore.cli.copy_state import CopyState, Part, Position
from tracecore.cli.figures import count
from tracecore.cli.patience import Patience
from tracecore.errors import BackendRejected, BackendUnavailable, TracecoreError
from tracecore.records import LedgerEntry, Record, Score, Session, Span

__all__ = ["STDOUT", "Copier", "NothingAccepted", "Tell", "in_words", "name_of"]

STDOUT: Final = "stdout:"
"""The location of a target that shares its stream with the answer of the command."""
_MOST_ITEMS: Final = 1000
_MOST_BYTES: Final = 8 * 2**20
_NAMED: Final = 100
"""Records that were rejected and are named; all of them are counted."""
_HOPELESS: Final = 1000
"""So many rejections and nothing that was accepted: the target is the wrong one."""

_NOUNS: Final[dict[str, tuple[str, str]]] = {
    "traces": ("trace", "traces"),
    "observations": ("span", "spans"),
    "sessions": ("session record", "session records"),
    "scores": ("score", "scores"),
    "ledger": ("ledger entry", "ledger entries"),
}


class Tell(Protocol):
    """Be told how far the copy is."""

    def __call__(self, part: Part, records: int, /) -> None:
        """Note that so many more records of a part have been dealt with."""
        ...


class NothingAccepted(TracecoreError):
    """Report a target that rejects whatever it is given."""

    def __init__(self, location: str, rejected: int, why: str) -> None:
        super().__init__(
            f"{location} rejected all of {count(rejected, 'record')}, the first of them: {why}; "
            "see whether it is the right place (`tracecore doctor --backend URL --write`)"
        )


class _Refused(Struct, frozen=True):
    """Say what a target did not take."""

    part: Part
    records: int
    why: str


class Copier:
    """Copy a selection from one open backend to another."""

    def __init__(
        self,
        source: Backend,
        target: Backend,
        selection: Selection,
        patience: Patience,
        *,
        tell: Tell = lambda _part, _records: None,
    ) -> None:
        self._source = source
        self._target = target
        self._selection = selection
        self._patience = patience
        self._tell = tell
        self._keep: Callable[[CopyState], object] = lambda _: None

    async def copy(self, state: CopyState, keep: Callable[[CopyState], object] = lambda _: None) -> CopyState:
        """Copy from a state on, and return the last one; ``keep`` is given each, once what it says is so.

        Raises:
            BackendUnavailable: one of the two is away for longer than one is patient; what was kept stands.
            NothingAccepted: the target rejects everything.
        """
        self._keep = keep
        try:
            return await self._from(state)
        except BackendRejected:
            if state.position.cursor is None and state.position.inner is None:
                raise
        # The source does not know its own cursor any more, as after an upgrade: the part begins anew.
        part = state.position.part
        others = {name: number for name, number in state.copied.items() if name != part}
        return await self._from(replace(state, position=Position(part), copied=others))

    async def _from(self, state: CopyState) -> CopyState:
        waiting: list[Slice] = []
        items = size = 0
        async for piece in slices(self._source, self._selection, state.position, self._patience):
            waiting.append(piece)
            items += len(piece.records)
            size += sum(map(_size, piece.records))
            if items >= _MOST_ITEMS or size >= _MOST_BYTES or piece.after.part != piece.part:
                state = await self._written(state, waiting)
                waiting = []
                items = size = 0
        return state

    async def _written(self, state: CopyState, waiting: Sequence[Slice]) -> CopyState:
        """Write what waits, and keep where it ends."""
        records = [record for piece in waiting for record in piece.records]
        counts = Counter({waiting[0].part: 0})
        counts.update(map(part_of, records))
        refused: list[_Refused] = []
        for batch in _cut(records):
            refused += await self._accepted(batch)
        rejected = sum(one.records for one in refused)
        for one in refused:
            counts[one.part] -= one.records
        copied = {part: state.copied.get(part, 0) + number for part, number in counts.items()}
        named = (*state.named, *(one.why for one in refused))[:_NAMED]
        running = sum(isinstance(record, Span) and record.status == "running" for record in records)
        state = replace(
            state,
            position=waiting[-1].after,
            copied={**state.copied, **copied},
            running=state.running + running,
            rejected=state.rejected + rejected,
            named=named,
        )
        if state.rejected >= _HOPELESS and not any(state.copied.values()):
            raise NothingAccepted(self._target.location, state.rejected, named[0])
        self._keep(state)
        self._tell(waiting[0].part, len(records))
        return state

    async def _accepted(self, batch: Sequence[Record]) -> list[_Refused]:
        """Write a batch; return what was rejected of it."""
        try:
            receipt = await self._patience(lambda: self._write(batch))
        except BackendRejected as error:
            if len(batch) == 1:
                return [_Refused(part_of(batch[0]), 1, _plain(f"{name_of(batch[0])}: {error}"))]
            middle = len(batch) // 2
            return [*await self._accepted(batch[:middle]), *await self._accepted(batch[middle:])]
        if receipt is None or not receipt.rejected:
            return []
        why = receipt.reason or "no reason was given"
        among = name_of(batch[0]) if len(batch) == 1 else f"{receipt.rejected} of {len(batch)} from {name_of(batch[0])}"
        return [_Refused(part_of(batch[0]), receipt.rejected, _plain(f"{among}: {why}"))]

    async def _write(self, batch: Sequence[Record]) -> Receipt | None:
        try:
            receipt: Receipt | None = await self._target.write(batch)
        except BackendUnavailable as error:
            if self._target.location == STDOUT and isinstance(error.__cause__, BrokenPipeError):
                raise error.__cause__ from None  # no other reader comes: it ends as every command then does
            raise
        return receipt


def in_words(kind: str, number: int | None = None) -> str:
    """Return a number of records of a kind, or without one their name."""
    one, many = _NOUNS[kind]
    return many if number is None else f"{number:,} {one if number == 1 else many}"


def name_of(record: Record) -> str:
    """Return the identity of a record, for people."""
    if isinstance(record, Span):
        return f"span {record.span_id} of trace {record.trace_id}"
    if isinstance(record, Session):
        return f"session {record.session_id}"
    if isinstance(record, Score):
        return f"score {record.score_id}"
    return f"ledger entry of process {record.process}, minute {record.minute_ns}"


def _plain(text: str) -> str:
    """Return a text that can be kept as UTF-8, whatever ids are made of."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(records: Sequence[Record]) -> list[list[Record]]:
    """Return records in batches that are not too large, unless one record is."""
    batches: list[list[Record]] = []
    room = 0
    for record in records:
        size = _size(record)
        if not batches or size > room or len(batches[-1]) >= _MOST_ITEMS:
            batches.append([])
            room = _MOST_BYTES
        batches[-1].append(record)
        room -= size
    return batches


def _size(record: Record) -> int:
    """Return about how many bytes a record has: those of its payloads are what may be many."""
    if isinstance(record, Session | LedgerEntry):
        return 0
    stack = len(record.error.stack) if isinstance(record, Span) and record.error is not None else 0
    return stack + sum(len(bytes(value)) for name in _payloads_of(type(record)) if (value := getattr(record, name)))


def _payloads_of(kind: type[Struct]) -> tuple[str, ...]:
    if kind not in _PAYLOADS:
        _PAYLOADS[kind] = tuple(field.name for field in fields(kind) if field.type is Raw)
    return _PAYLOADS[kind]


_PAYLOADS: Final[dict[type[Struct], tuple[str, ...]]] = {}
