"""Random changes of prompts beside a simple model: after each step everything that is read is what the model says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec import Raw

from tests.torture.declaring import by_mode
from tracecore.catalog_prompts import CatalogPrompts
from tracecore.errors import AccessDenied, ConfigError, Conflict, NotFound
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.prompts import (
    Author,
    LabelMove,
    NewPrompt,
    PromptQuery,
    Rollback,
    Share,
    Split,
    Unlabel,
)
from tracecore.services.protected_labels import ProtectedLabels
from tracecore_sqlite import open_backend

NAMES = st.sampled_from(("a", "a", "a", "b/c"))
LABEL = st.sampled_from(("production", "production", "blue", "green", "latest"))
LABELS = st.lists(LABEL, max_size=3)
TAGS = st.none() | st.lists(st.sampled_from(("t", "u")), max_size=2)
VERSIONS = st.sampled_from((1, 1, 2, 2, 3, 4))
EXPECTED = st.sampled_from((None, None, None, None, None, 0, 1, 2, 3))
"""Most changes are not to be refused: what the machine is after comes of many in a row."""
AUTHORS = st.sampled_from((Author("ann"), Author("ann"), Author("bob", moves_protected=False)))
HALVES = st.sampled_from(
    [[Share(1, 1.0), Share(2, 1.0)], [Share(2, 2.5), Share(3, 1.0)], [Share(1, 9.0), Share(3, 1.0)]]
)
PROTECTED = "green"


class Model:
    """A prompt in plain Python."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.newest = 0
        self.texts: dict[int, str] = {}
        self.labels: dict[str, int] = {}
        self.was: dict[str, list[int]] = {}
        """The versions that a label was on before."""
        self.shares: dict[str, tuple[Share, ...]] = {}
        self.tags: set[str] = set()

    def labels_of(self, version: int) -> set[str]:
        """Return the labels of a version."""
        return {label for label, on in self.labels.items() if on == version} | (
            {"latest"} if version == max(self.texts) else set()
        )

    def find(self, version: int | None, label: str | None) -> int | None:
        """Return the version that is named, or None."""
        if label == "latest":
            return max(self.texts)
        found = self.labels.get(label) if label is not None else version
        return found if found in self.texts else None

    def would_move(self, label: str, version: int) -> bool:
        """Return whether putting a label on a version changes anything."""
        return self.labels.get(label) != version or label in self.shares

    def put(self, label: str, version: int) -> list[Any]:
        """Put a label on a version; return its move, or nothing."""
        before = self.labels.get(label)
        if not self.would_move(label, version):
            return []
        self.leave(label, version)
        self.labels[label] = version
        return [(label, version, before)]

    def leave(self, label: str, version: int | None = None) -> None:
        """Take a label from where it is, on its way to a version."""
        self.shares.pop(label, None)
        before = self.labels.pop(label, None)
        if before is not None and before != version and self.was.get(label, [])[-1:] != [before]:
            self.was.setdefault(label, []).append(before)

    def back(self, label: str) -> int | None:
        """Return where rolling back leads, or None."""
        if label in self.shares:
            return self.labels[label]
        earlier = [one for one in self.was.get(label, []) if one != self.labels.get(label)]
        return earlier[-1] if earlier else None

    def roll_back(self, label: str, to: int) -> list[Any]:
        """Put a label back on a version; return its move, or nothing."""
        before, was = self.labels.get(label), list(self.was.get(label, []))
        moves = self.put(label, to)
        if before != to and to in was:
            self.was[label] = was[: len(was) - 1 - was[::-1].index(to)]
        return moves

    def delete(self, gone: set[int]) -> list[Any]:
        """Remove versions; return the moves of labels."""
        moves: list[Any] = []
        for label in list(self.labels):
            if self.labels[label] in gone:
                moves.append((label, None, self.labels.pop(label)))
                self.shares.pop(label, None)
            elif label in self.shares and (left := [one for one in self.shares[label] if one.version not in gone]) != [
                *self.shares[label]
            ]:
                moves.append((label, self.labels[label], self.labels[label]))
                del self.shares[label]
                if len(left) > 1:
                    self.shares[label] = tuple(left)
        self.was = {label: [one for one in was if one not in gone] for label, was in self.was.items()}
        self.texts = {number: text for number, text in self.texts.items() if number not in gone}
        return moves


class PromptMachine(RuleBasedStateMachine):
    """Publish, label, roll back, split and delete at random."""

    make: ClassVar[Callable[[], Any]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.backend = type(self).make()
        self.runner.run(self.backend.open())
        self.prompts = CatalogPrompts(self.backend.catalog, wall=lambda: self.now_ns)
        self.runner.run(ProtectedLabels(self.backend.catalog).put("p", [PROTECTED], author=Author()))
        self.models: dict[str, Model] = {}
        self.moves: dict[str, list[tuple[Any, ...]]] = {}
        self.changed: list[str] = []
        self.now_ns = 0

    @initialize()
    def begin(self) -> None:
        """Begin with three versions, so that there is something to change."""
        for _ in range(3):
            self.publish_to_production("a")

    def teardown(self) -> None:
        """Close the backend."""
        self.runner.run(self.backend.close())
        self.runner.close()

    @rule(
        name=NAMES, kind=st.sampled_from(("text", "text", "text", "chat")), labels=LABELS, tags=TAGS, after=EXPECTED,
        author=AUTHORS,
    )  # fmt: skip
    def publish(  # noqa: PLR0917 - hypothesis gives them by name
        self, name: str, kind: Any, labels: Sequence[str], tags: Sequence[str] | None, after: int | None, author: Author
    ) -> None:
        """Publish a version; of another type, or after another one than the newest, it is refused."""
        self.now_ns += 1
        text = f"text {self.now_ns}"
        content = text if kind == "text" else [{"role": "user", "content": text}]
        new = NewPrompt(
            name=name, type=kind, prompt=Raw(json.dumps(content).encode()), labels=tuple(labels), after=after,
            tags=None if tags is None else tuple(tags), author=author,
        )  # fmt: skip
        model = self.models.get(name) or Model(kind)
        asked = self.prompts.publish("p", new)
        if after not in {None, max(model.texts, default=0)}:
            self._refused(asked, Conflict)
        elif model.kind != kind:
            self._refused(asked, ConfigError)
        elif self._is_denied(author, labels):
            self._refused(asked, AccessDenied)
        else:
            made = self.runner.run(asked)
            model.newest += 1
            model.texts[model.newest] = json.dumps(content)
            moved = [model.put(label, model.newest) for label in dict.fromkeys(labels) if label != "latest"]
            model.tags = model.tags if tags is None else set(tags)
            self.models[name] = model
            self._happened(name, author, [("publish", None, model.newest, None)], "label", list(chain(*moved)))
            assert made.version == model.newest

    @rule(name=NAMES)
    def publish_to_production(self, name: str) -> None:
        """Publish one more version as most are, so that there are some."""
        model = self.models.get(name)
        self.publish(name, "text" if model is None else model.kind, ("production",), None, None, Author("ann"))

    @rule(name=NAMES, version=VERSIONS, labels=LABELS, expected=EXPECTED, author=AUTHORS)
    def label(self, name: str, version: int, labels: Sequence[str], expected: int | None, author: Author) -> None:
        """Put labels on a version."""
        self.now_ns += 1
        model = self.models.get(name)
        change = LabelMove(version=version, labels=tuple(labels), expected=expected)
        asked = self.prompts.change("p", name, change, author=author)
        if "latest" in labels:
            self._refused(asked, ConfigError)
        elif model is None or version not in model.texts:
            self._refused(asked, NotFound)
        elif expected is not None and any(model.labels.get(one, 0) not in {expected, version} for one in labels):
            self._refused(asked, Conflict)
        elif self._is_denied(
            author, [one for one in labels if model.labels.get(one) != version or one in model.shares]
        ):
            self._refused(asked, AccessDenied)
        else:
            assert set(self.runner.run(asked).labels) == model.labels_of(version) | set(labels)
            moved = [model.put(label, version) for label in dict.fromkeys(labels)]
            self._happened(name, author, [], "label", list(chain(*moved)))

    @rule(name=NAMES, label=LABEL, to=st.none() | VERSIONS, expected=EXPECTED, author=AUTHORS)
    def roll_back(self, name: str, label: str, to: int | None, expected: int | None, author: Author) -> None:
        """Put a label back on where it was, or on a version."""
        self.now_ns += 1
        model = self.models.get(name)
        asked = self.prompts.change("p", name, Rollback(label=label, to=to, expected=expected), author=author)
        if label == "latest":
            self._refused(asked, ConfigError)
        elif model is None:
            self._refused(asked, NotFound)
        elif expected is not None and model.labels.get(label, 0) != expected:
            self._refused(asked, Conflict)
        elif (target := model.back(label) if to is None else model.find(to, None)) is None:
            self._refused(asked, NotFound)
        elif self._is_denied(author, [label] if model.would_move(label, target) else []):
            self._refused(asked, AccessDenied)
        else:
            assert self.runner.run(asked).version == target
            self._happened(name, author, [], "rollback", model.roll_back(label, target))

    @rule(
        name=NAMES, label=LABEL, author=AUTHORS,
        shares=st.lists(st.builds(Share, VERSIONS, st.sampled_from((1.0, 2.5))), max_size=3) | HALVES,
    )  # fmt: skip
    def split(self, name: str, label: str, shares: Sequence[Share], author: Author) -> None:
        """Split a label, or make it whole."""
        self.now_ns += 1
        model = self.models.get(name)
        asked = self.prompts.change("p", name, Split(label=label, shares=tuple(shares)), author=author)
        numbers = {share.version for share in shares}
        if label == "latest" or len(shares) == 1 or len(numbers) < len(shares):
            self._refused(asked, ConfigError)
        elif model is None or label not in model.labels or not numbers <= model.texts.keys():
            self._refused(asked, NotFound)
        elif shares and model.labels[label] not in numbers:
            self._refused(asked, ConfigError)
        elif self._is_denied(author, [label] if model.shares.get(label, ()) != tuple(shares) else []):
            self._refused(asked, AccessDenied)
        else:
            on = model.labels[label]
            made = self.runner.run(asked)
            assert (made.version, made.shares) == (on, tuple(shares))
            moves = [(label, on, on)] if model.shares.pop(label, ()) != tuple(shares) else []
            if shares:
                model.shares[label] = tuple(shares)
            self._happened(name, author, [], "split", moves)

    @rule(name=NAMES, label=LABEL, author=AUTHORS)
    def unlabel(self, name: str, label: str, author: Author) -> None:
        """Take a label off."""
        self.now_ns += 1
        model = self.models.get(name)
        asked = self.prompts.change("p", name, Unlabel(label=label), author=author)
        if label == "latest":
            self._refused(asked, ConfigError)
        elif model is None or label not in model.labels:
            self._refused(asked, NotFound)
        elif self._is_denied(author, [label]):
            self._refused(asked, AccessDenied)
        else:
            on = model.labels[label]
            assert self.runner.run(asked).version == on
            model.leave(label)
            self._happened(name, author, [], "unlabel", [(label, None, on)])

    @rule(
        name=NAMES, version=st.sampled_from((None, 1, 2, 3, 4)), author=AUTHORS,
        label=st.sampled_from((None, None, None, "blue", "latest")),
    )  # fmt: skip
    def delete(self, name: str, version: int | None, label: str | None, author: Author) -> None:
        """Delete a version, or all."""
        self.now_ns += 1
        model = self.models.get(name)
        asked = self.prompts.delete("p", name, version=version, label=label, author=author)
        if version is not None and label is not None:
            self._refused(asked, ConfigError)
            return
        whole = version is None and label is None
        found = None if model is None else model.find(version, label)
        if model is None or (found is None and not whole):
            self._refused(asked, NotFound)
            return
        gone = set(model.texts) if whole or found is None else {found}
        holding = model.labels.get(PROTECTED) in gone or any(
            one.version in gone for one in model.shares.get(PROTECTED, ())
        )
        if self._is_denied(author, [PROTECTED] if holding else []):
            self._refused(asked, AccessDenied)
            return
        self.runner.run(asked)
        is_last = gone == set(model.texts)
        moves = model.delete(gone)
        if is_last:
            del self.models[name]
        deleted = ("delete", None, None if is_last else found, None)
        self._happened(name, author, [deleted], None, [] if is_last else moves)

    @invariant()
    def agrees(self) -> None:
        """Every version and label is what the model says, and so is the list."""
        page = self.runner.run(self.prompts.find("p", PromptQuery()))
        assert {one.name: list(one.versions) for one in page.items} == {
            name: sorted(model.texts) for name, model in self.models.items()
        }
        for one in page.items:
            model = self.models[one.name]
            held = {label: held.version for label, held in one.labels.items() if label != "latest"}
            assert held == model.labels
            assert {label: held.shares for label, held in one.labels.items() if held.shares} == model.shares
        for name, model in self.models.items():
            for version, text in model.texts.items():
                got = self.runner.run(self.prompts.get("p", name, version=version))
                assert bytes(got.prompt).decode() == text
                assert (set(got.labels), len(got.labels)) == (model.labels_of(version), len(set(got.labels)))
                assert set(got.tags) == model.tags
            for label in ("production", "blue", "green", "latest"):
                wanted = model.find(None, label)
                entries = self.runner.run(self.prompts.find("p", PromptQuery(name=name, label=label)))
                assert entries.total == (wanted is not None)
                if wanted is None:
                    self._refused(self.prompts.get("p", name, label=label), NotFound)
                else:
                    got = self.runner.run(self.prompts.get("p", name, label=label))
                    assert (got.version, got.shares) == (wanted, model.shares.get(label, ()))

    @invariant()
    def tells(self) -> None:
        """The feed counts what has changed, and each name has its moves, whether it is there or not."""
        feed = self.runner.run(self.prompts.changes("p", max(0, len(self.changed) - 3)))
        assert (feed.number, set(feed.names or ())) == (len(self.changed), set(self.changed[-3:]))
        for name, moves in self.moves.items():
            found = self.runner.run(self.prompts.history("p", name, limit=1000)).moves
            told = [(move.action, move.label, move.version, move.before, move.by) for move in reversed(found)]
            assert told == moves

    def _happened(
        self, name: str, author: Author, first: list[tuple[Any, ...]], action: str | None, moved: list[Any]
    ) -> None:
        """Remember a change: by its moves, of which those of labels have an action, if there are any."""
        labels = [(action or ("unlabel" if one[1] is None else "split"), *one) for one in moved]
        if first or labels:
            self.changed.append(name)
            self.moves.setdefault(name, []).extend((*one, author.name) for one in [*first, *labels])

    def _is_denied(self, author: Author, labels: Sequence[str]) -> bool:
        return not author.moves_protected and PROTECTED in labels

    def _refused(self, asked: Coroutine[Any, Any, Any], error: type[Exception]) -> None:
        try:
            self.runner.run(asked)
        except (AccessDenied, ConfigError, Conflict, NotFound) as found:
            assert type(found) is error, found  # noqa: PT017 - the machine says which one it is to be
        else:
            raise AssertionError(f"it should have been refused with {error.__name__}")


def _run(make: Callable[[], Any], examples: int) -> None:
    machine = type("Prompts", (PromptMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip


def test_random_changes() -> None:
    """Over memory, whatever the order of changes."""
    _run(lambda: MemoryBackend(MemoryData(), location="memory:", access="write"), by_mode(60, full=2000))


def test_random_changes_in_a_file(tmp_path: Path) -> None:
    """Over SQLite, whatever the order of changes."""
    count = iter(range(10**9))
    _run(lambda: open_backend(f"sqlite:///{tmp_path}/{next(count)}.db", access="write"), by_mode(8, full=200))
