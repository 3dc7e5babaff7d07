"""Random changes of prompts beside a simple model: after each step versions, labels and tags are those of the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec import Raw

from tests.torture.declaring import by_mode
from tracecore.catalog_prompts import CatalogPrompts
from tracecore.errors import ConfigError, NotFound
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.prompts import LabelMove, NewPrompt, PromptQuery
from tracecore_sqlite import open_backend

NAMES = st.sampled_from(("a", "b/c"))
LABELS = st.lists(st.sampled_from(("production", "blue", "green", "latest")), max_size=3)
TAGS = st.none() | st.lists(st.sampled_from(("t", "u")), max_size=2)
VERSIONS = st.integers(1, 5)


class Model:
    """A prompt in plain Python."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.newest = 0
        self.texts: dict[int, str] = {}
        self.labels: dict[str, int] = {}
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


class PromptMachine(RuleBasedStateMachine):
    """Publish, label and delete at random."""

    make: ClassVar[Callable[[], Any]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.backend = type(self).make()
        self.runner.run(self.backend.open())
        self.prompts = CatalogPrompts(self.backend.catalog, wall=lambda: self.now_ns)
        self.models: dict[str, Model] = {}
        self.now_ns = 0

    def teardown(self) -> None:
        """Close the backend."""
        self.runner.run(self.backend.close())
        self.runner.close()

    @rule(name=NAMES, kind=st.sampled_from(("text", "text", "text", "chat")), labels=LABELS, tags=TAGS)
    def publish(self, name: str, kind: Any, labels: Sequence[str], tags: Sequence[str] | None) -> None:
        """Publish a version; of another type it is refused."""
        self.now_ns += 1
        text = f"text {self.now_ns}"
        content = text if kind == "text" else [{"role": "user", "content": text}]
        new = NewPrompt(
            name=name, type=kind, prompt=Raw(json.dumps(content).encode()), labels=tuple(labels),
            tags=None if tags is None else tuple(tags),
        )  # fmt: skip
        known = self.models.get(name)
        if known is not None and known.kind != kind:
            assert self._fails(self.prompts.publish("p", new)) is ConfigError
            return
        model = self.models.setdefault(name, Model(kind))
        made = self.runner.run(self.prompts.publish("p", new))
        model.newest += 1
        model.texts[model.newest] = json.dumps(content)
        model.labels.update(dict.fromkeys(set(labels) - {"latest"}, model.newest))
        model.tags = model.tags if tags is None else set(tags)
        assert made.version == model.newest

    @rule(name=NAMES, version=VERSIONS, labels=LABELS)
    def label(self, name: str, version: int, labels: Sequence[str]) -> None:
        """Put labels on a version."""
        self.now_ns += 1
        model = self.models.get(name)
        asked = self.prompts.change("p", name, LabelMove(version=version, labels=tuple(labels)))
        if "latest" in labels:
            assert self._fails(asked) is ConfigError
        elif model is None or version not in model.texts:
            assert self._fails(asked) is NotFound
        else:
            assert set(self.runner.run(asked).labels) == model.labels_of(version) | set(labels)
            model.labels.update(dict.fromkeys(labels, version))

    @rule(name=NAMES, version=st.none() | VERSIONS, label=st.sampled_from((None, None, "blue", "latest")))
    def delete(self, name: str, version: int | None, label: str | None) -> None:
        """Delete a version, or all."""
        self.now_ns += 1
        model = self.models.get(name)
        asked = self.prompts.delete("p", name, version=version, label=label)
        if version is not None and label is not None:
            assert self._fails(asked) is ConfigError
            return
        whole = version is None and label is None
        found = None if model is None else model.find(version, label)
        if model is None or (found is None and not whole):
            assert self._fails(asked) is NotFound
            return
        self.runner.run(asked)
        gone = set(model.texts) if whole else {found}
        model.texts = {number: text for number, text in model.texts.items() if number not in gone}
        model.labels = {label: on for label, on in model.labels.items() if on not in gone}
        if not model.texts:
            del self.models[name]

    @invariant()
    def agrees(self) -> None:
        """Every version and label is what the model says, and so is the list."""
        page = self.runner.run(self.prompts.find("p", PromptQuery()))
        assert {one.name: list(one.versions) for one in page.items} == {
            name: sorted(model.texts) for name, model in self.models.items()
        }
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
                    assert self._fails(self.prompts.get("p", name, label=label)) is NotFound
                else:
                    assert self.runner.run(self.prompts.get("p", name, label=label)).version == wanted

    def _fails(self, asked: Any) -> type[Exception]:
        try:
            self.runner.run(asked)
        except (ConfigError, NotFound) as error:
            return type(error)
        raise AssertionError("it should have been refused")


def _run(make: Callable[[], Any], examples: int) -> None:
    machine = type("Prompts", (PromptMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=20, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip


def test_random_changes() -> None:
    """Over memory, whatever the order of changes."""
    _run(lambda: MemoryBackend(MemoryData(), location="memory:", access="write"), by_mode(50, full=2000))


def test_random_changes_in_a_file(tmp_path: Path) -> None:
    """Over SQLite, whatever the order of changes."""
    count = iter(range(10**9))
    _run(lambda: open_backend(f"sqlite:///{tmp_path}/{next(count)}.db", access="write"), by_mode(8, full=200))
