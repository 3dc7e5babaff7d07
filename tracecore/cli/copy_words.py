"""What a copy did, in words for people and as an object for programs."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from tracecore.cli.copy_check import Compared, Counted
from tracecore.cli.copy_state import CopyState, Job, Part
from tracecore.cli.copying import in_words
from tracecore.cli.figures import count, moment

__all__ = ["Answer", "as_json", "lines_of"]

_SHOWN: Final = 10


class Answer(Struct, frozen=True):
    """Say what a copy did."""

    job: Job
    state: CopyState
    resumed: bool
    left_out: dict[Part, str]
    """The parts that were not copied, and why."""
    counts: dict[str, Counted] | None = None
    """None where one of the two cannot be asked."""
    compared: Compared | None = None
    """None where that was not asked for."""

    @property
    def complete(self) -> bool:
        """Return whether the target has everything that was to be copied."""
        there = all(counted.complete for counted in (self.counts or {}).values())
        return not self.state.rejected and there and (self.compared is None or self.compared.equal)


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer for programs."""
    state = answer.state
    return {
        "from": answer.job.source,
        "to": answer.job.target,
        "project": answer.job.project,
        "complete": answer.complete,
        "resumed": answer.resumed,
        "begun_ns": state.begun_ns,
        "copied": state.copied,
        "running": state.running,
        "rejected": {"records": state.rejected, "named": state.named},
        "left_out": answer.left_out,
        "counts": answer.counts,
        "compared": answer.compared,
    }


def lines_of(answer: Answer) -> list[str]:
    """Return the answer for people, a line each; not made visible yet."""
    job, state = answer.job, answer.state
    numbers = [in_words(part, number) for part, number in state.copied.items()]
    what = ", ".join(numbers) or "nothing"
    lines = [f"copied {what} of project {job.project!r} from {job.source} to {job.target}"]
    lines += [f"left out: {in_words(part)}, because {why}" for part, why in answer.left_out.items()]
    lines += _rejections(state)
    lines += _counts(answer)
    lines += _comparison(answer.compared)
    if state.running:
        lines.append(f"still running when they were copied: {in_words('observations', state.running)}")
    lines.append(
        f"what was recorded since {moment(state.begun_ns)}, or ended since, is not part of it: "
        "copy again, nothing is stored twice"
    )
    return lines


def _rejections(state: CopyState) -> list[str]:
    if not state.rejected:
        return []
    lines = [f"REJECTED by the target, and not copied: {count(state.rejected, 'record')}"]
    lines += [f"  {named}" for named in state.named[:_SHOWN]]
    return [*lines, "  and more: see --json"] if len(state.named) > _SHOWN else lines


def _counts(answer: Answer) -> list[str]:
    if answer.counts is None:
        return ["not verified: one of the two cannot be asked what it has"]
    numbers = ", ".join(_counted(kind, counted.target) for kind, counted in answer.counts.items())
    missing = {kind: counted for kind, counted in answer.counts.items() if not counted.complete}
    if not missing:
        return [f"verified by number: the target has {numbers}"]
    said = ", ".join(f"{_counted(kind, each.target)} of {each.source:,}" for kind, each in missing.items())
    return [f"FEWER in the target: {said}; if the source is in use, copy again, else compare with --verify"]


def _counted(kind: str, number: int) -> str:
    """Return a number of records as they are counted: the entry of a minute that is not over still grows."""
    return in_words(kind, number) + (" of minutes that were over" if kind == "ledger" else "")


def _comparison(compared: Compared | None) -> list[str]:
    if compared is None:
        return []
    if compared.equal:
        return [f"verified one by one: {count(compared.records, 'record')} in the target as in the source"]
    head = f"NOT THE SAME: {compared.missing:,} missing and {compared.different:,} different"
    return [f"{head} of {count(compared.records, 'record')}", *(f"  {named}" for named in compared.named[:_SHOWN])]
