"""Trees of spans: how a case writes down what must come out, and how that is compared with what did.

A tree is written by indentation, a line for each span: its name, and its status unless that is ``ok``::

    consumer
      numbers: cancelled
      consumed * 3

``*`` as a name fits every name, ``any`` as a status every status, and ``* 3`` stands for three such spans. The order of
siblings means nothing.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias, cast

from msgspec import Struct

from tracecore.testing.tracers.adapter import Finished, Status

__all__ = ["Agreement", "Grown", "Tree", "by_name", "drawn", "grown", "left_over", "parsed"]

Expected: TypeAlias = Status | Literal["any"]
Agreement: TypeAlias = "Callable[[Tree, Tree], bool]"
"""Whether an expected and a found span agree in themselves, whatever is inside of them."""

_LINE: Final = re.compile(r"(?P<name>.+?)(: (?P<status>ok|error|cancelled|any))?( \* (?P<count>\d+))?")
_INDENT: Final = 2
_MOST_CHARACTERS: Final = 400


class Tree(Struct, frozen=True):
    """Describe a span and what is inside of it."""

    name: str
    status: Expected = "ok"
    inside: tuple[Tree, ...] = ()
    optional: bool = False
    """Whether it may be missing: what was called, and whose body never began."""

    @property
    def statuses(self) -> Iterator[Expected]:
        """Yield the status of each span."""
        yield self.status
        for tree in self.inside:
            yield from tree.statuses


class Grown(Struct, frozen=True):
    """Hold the trees that finished spans make, and what is wrong with them whatever was expected."""

    trees: tuple[Tree, ...]
    wrong: tuple[str, ...]


def parsed(text: str) -> tuple[Tree, ...]:
    """Return the trees that a text describes.

    Raises:
        ValueError: a line is indented by something else than two spaces more than what it is inside of.
    """
    lines = [line.rstrip() for line in textwrap.dedent(text).splitlines() if line.strip()]
    return _block(lines, 0)


def _block(lines: Sequence[str], depth: int) -> tuple[Tree, ...]:
    if not lines:
        return ()
    trees: list[Tree] = []
    starts = [at for at, line in enumerate(lines) if _depth_of(line) == depth]
    if not starts or starts[0] != 0:
        raise ValueError(f"{lines[0]!r} is indented by {_depth_of(lines[0])}, expected {depth}")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        found = _LINE.fullmatch(lines[start].strip())
        assert found is not None  # noqa: S101 - the pattern takes every line that is not empty
        inside = _block(lines[start + 1 : end], depth + _INDENT)
        tree = Tree(found["name"], cast("Expected", found["status"] or "ok"), inside)
        trees += [tree] * int(found["count"] or 1)
    return tuple(trees)


def _depth_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def grown(finished: Iterable[Finished]) -> Grown:
    """Return the trees that spans make by their ids; one whose parent never ended is a root, and that is wrong."""
    spans = {span.span_id: span for span in finished}
    wrong = [f"{spans[one].name} ended {times} times" for one, times in Counter(_ids(finished)).items() if times > 1]
    below: defaultdict[str | None, list[Finished]] = defaultdict(list)
    for span in spans.values():
        parent = None if span.parent_id is None else spans.get(span.parent_id)
        below[None if parent is None else parent.span_id].append(span)
        wrong += _misplaced(span, parent)
    roots = Counter(span.trace_id for span in below[None])
    wrong += [f"{count} roots share a trace" for count in roots.values() if count > 1]
    return Grown(tuple(_tree(span, below) for span in below[None]), tuple(wrong))


def _ids(finished: Iterable[Finished]) -> list[str]:
    return [span.span_id for span in finished]


def _misplaced(span: Finished, parent: Finished | None) -> list[str]:
    if parent is None:
        return [] if span.parent_id is None else [f"{span.name} is below a span that has not ended"]
    return [] if parent.trace_id == span.trace_id else [f"{span.name} is in another trace than {parent.name}"]


def _tree(span: Finished, below: dict[str | None, list[Finished]]) -> Tree:
    return Tree(span.name, span.status, tuple(_tree(child, below) for child in below.get(span.span_id, ())))


def left_over(
    expected: Collection[Tree], found: Collection[Tree], agree: Agreement
) -> tuple[tuple[Tree, ...], tuple[Tree, ...]]:
    """Return what was expected and not found, and what was found and not expected.

    What fits only itself is taken out first, so that what fits much does not take its place.
    """
    missing: list[Tree] = []
    remaining = list(found)
    for tree in sorted(expected, key=_openness):
        at = next((at for at, candidate in enumerate(remaining) if _fits(tree, candidate, agree)), None)
        if at is not None:
            del remaining[at]
        elif not tree.optional:
            missing.append(tree)
    return tuple(missing), tuple(remaining)


def _fits(tree: Tree, candidate: Tree, agree: Agreement) -> bool:
    return agree(tree, candidate) and left_over(tree.inside, candidate.inside, agree) == ((), ())


def _openness(tree: Tree) -> int:
    """Return how many spans of a tree fit others than themselves; a status that not every tracer has is such a one."""
    own = tree.optional + (tree.name == "*" or tree.status in {"any", "cancelled"})
    return own + sum(_openness(inside) for inside in tree.inside)


def by_name(expected: Tree, found: Tree) -> bool:
    """Return whether the names agree."""
    return expected.name in {"*", found.name}


def drawn(trees: Iterable[Tree]) -> str:
    """Return trees in one line, such as ``consumer(numbers: cancelled, consumed * 3)``; nothing is called so."""
    counted = Counter(_drawn(tree) for tree in trees)
    text = ", ".join(one if count == 1 else f"{one} * {count}" for one, count in sorted(counted.items()))
    return (text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…") or "nothing"


def _drawn(tree: Tree) -> str:
    name = f"{tree.name}?" if tree.optional else tree.name
    name = name if tree.status == "ok" else f"{name}: {tree.status}"
    return f"{name}({drawn(tree.inside)})" if tree.inside else name
