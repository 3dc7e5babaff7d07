"""The journal that a configuration asks for: as fast as it can be, or masked, or on the disk before an emit returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import field

from tracecore.codec import Mask, mask_record
from tracecore.config import Config
from tracecore.context import POSITION
from tracecore.frames import Origin
from tracecore.ids import new_trace_id
from tracecore.journal import Journal
from tracecore.journal_lane import JournalLane
from tracecore.open_span import Muted, OpenSpan
from tracecore.records import Provenance
from tracecore.sealing import Emitted, Unsealable
from tracecore.segments import Block, Segment

__all__ = ["StrictJournal", "journal_of"]


def journal_of(config: Config, provenance: Provenance | None, **callbacks: Any) -> Journal:
    """Return the journal that a configuration asks for."""
    settings: dict[str, Any] = {
        "directory": Path(config.journal_dir),
        "most_bytes": config.journal_bytes,
        "origin": Origin(config.project, provenance, masked=config.mask is not None),
        "sync": config.sync,
        "sync_interval": config.sync_interval_ms / 1e3,
        "looked_after": True,
        **callbacks,
    }
    if config.mask is None and config.sync != "always":
        return Journal(config.buffer_items, config.buffer_bytes, **settings)
    return StrictJournal(config.buffer_items, config.buffer_bytes, mask=config.mask, **settings)


class _Masked(Emitted, eq=False, gc=False):
    """A masked span, with what knows the places of its trace."""

    kept: dict[Any, int] = field(default_factory=dict[Any, int])


class StrictJournal(Journal):
    """A journal that masks what it takes, or brings it to the disk before an emit returns: the slower ways."""

    def __init__(self, *arguments: Any, mask: Mask | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.masks = mask is not None
        self._mask = mask

    def push(self, item: Any, size: int = 0) -> bool:
        """Take an item as :meth:`Journal.push` does, masked, and on the disk when this returns."""
        lane: JournalLane | None = getattr(self._local, "lane", None)
        first = None if lane is None else lane.block
        masked = item if self._mask is None else self._masked(item, self._mask)
        accepted = False
        try:
            accepted = super().push(masked, size)
            if self._sync == "always" and accepted and self._home is not None:
                self._bring_segments_to_disk(self._home, self._written_since(first))
        except BaseException:
            if accepted or self.has_counted(masked):
                self._local.counted = item
            raise
        return accepted

    def _written_since(self, first: Block | None) -> set[Segment]:
        """Return the segments of the calling thread's blocks, from the first that it may have written into."""
        lane: JournalLane = self._local.lane
        segments: set[Segment] = set()
        for block in reversed(list(lane.blocks)):
            if block.segment is not None:
                segments.add(block.segment)
            if block is first:
                break
        return segments

    def _masked(self, item: Any, mask: Mask) -> Any:
        # What a mask opens (a traced function) would be emitted in its turn, be masked, and so for ever.
        here, muted = POSITION.get(), Muted(new_trace_id())
        try:
            POSITION.set(muted)
            record = mask_record(item.seal(), mask)
            return _Masked(record, kept=item.trace.kept) if isinstance(item, OpenSpan) else Emitted(record)
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001 - whatever a mask raises: this is inside the program
            return Unsealable(error, item.trace_id)
        finally:
            POSITION.set(here)  # no token: a signal's handler that raises comes before the set, or after this one
