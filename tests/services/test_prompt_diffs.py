"""What two versions of a prompt differ in."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tracecore.prompts import Prompt, Variable
from tracecore.services.prompt_alignment import aligned
from tracecore.services.prompt_diffs import PromptDiff, diff


def version(number: int, prompt: Any, config: Any = None, **more: Any) -> Prompt:
    """Return a version of the prompt ``greeting``."""
    kind = "text" if isinstance(prompt, str) else "chat"
    raw, settings = Raw(msgspec.json.encode(prompt)), Raw(msgspec.json.encode(config or {}))
    return Prompt(id=str(number), name="greeting", version=number, type=kind, prompt=raw, config=settings, **more)


def said(old: Any, new: Any) -> list[str]:
    """Return the differences of two contents as text, without the two lines that name the versions."""
    return diff(version(1, old), version(2, new)).lines()[2:]


def user(content: Any, **more: Any) -> dict[str, Any]:
    """Return a message of a user."""
    return {"role": "user", "content": content, **more}


# -- texts -------------------------------------------------------------------------------------------------------------


def test_versions_that_do_not_differ_have_no_differences() -> None:
    """Neither the number, the author nor the moment is one; nor is the order of members of the config."""
    before = version(1, "text", {"a": 1, "b": 2}, created_by="Ann")
    assert diff(before, version(2, "text", {"b": 2, "a": 1}, created_ns=5)).lines() == []


def test_a_text_is_compared_line_by_line() -> None:
    """What differs stands with three lines around it, under its place, as in ``diff -u``."""
    lines = [f"line {number}" for number in range(1, 13)]
    changed = [*lines[:5], "another", *lines[6:]]
    assert diff(version(1, "\n".join(lines)), version(2, "\n".join(changed))).lines() == [
        "--- greeting version 1",
        "+++ greeting version 2",
        "= prompt: changed",
        "@@ -3,7 +3,7 @@",
        " line 3",
        " line 4",
        " line 5",
        "-line 6",
        "+another",
        " line 7",
        " line 8",
        " line 9",
    ]


def test_the_end_of_a_text_is_exact() -> None:
    """A line break at the end is an empty line more; one of another system is part of its line."""
    assert said("a", "a\n") == ["= prompt: changed", "@@ -1 +1,2 @@", " a", "+"]
    assert said("a\r\nb", "a\nb") == ["= prompt: changed", "@@ -1,2 +1,2 @@", "-a\r", "+a", " b"]
    assert said("a\x0bb\u2028c", "") == ["= prompt: changed", "@@ -1 +1 @@", "-a\x0bb\u2028c", "+"]


def test_differences_far_apart_stand_apart() -> None:
    """Each hunk has its place in both."""
    lines = [str(number) for number in range(100)]
    found = said("\n".join(lines), "\n".join(["new", *lines[:-1]]))
    assert [line for line in found if line.startswith("@@")] == ["@@ -1,3 +1,4 @@", "@@ -97,4 +98,3 @@"]


def applied(old: list[str], section: Any) -> list[str]:
    """Apply the hunks of a section to the lines that it was made from, as ``patch`` does."""
    made: list[str] = []
    at = 0
    for line in section.lines:
        if line.sign == "@":
            place, _, count = line.text.split(" ")[0][1:].partition(",")
            start = int(place) - (count != "0")
            made += old[at:start]
            at = start
        elif line.sign == "+":
            made.append(line.text)
        else:
            assert old[at] == line.text
            made += [line.text] if line.sign == " " else []
            at += 1
    return made + old[at:]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abcd"), max_size=30))
def test_a_difference_leads_from_one_text_to_the_other(old: list[str], new: list[str]) -> None:
    """Every hunk fits where it says, and all of them together make the second text of the first."""
    before, after = "\n".join(old), "\n".join(new)
    (*sections,) = diff(version(1, before), version(2, after)).sections
    assert len(sections) == (before != after)
    for section in sections:
        assert applied(before.split("\n"), section) == after.split("\n")


def test_texts_that_are_too_large_are_still_compared() -> None:
    """Their ends in common are context; what is between is shown as a whole."""
    old = ["same"] * 10 + [f"old {number % 50}" for number in range(5_000)] + ["end"] * 10
    new = ["same"] * 10 + [f"new {number % 50}" for number in range(6_000)] + ["end"] * 10
    (section,) = diff(version(1, "\n".join(old)), version(2, "\n".join(new))).sections
    assert applied(old, section) == new
    assert len(section.lines) == 1 + 3 + 5_000 + 6_000 + 3


def test_no_text_takes_long() -> None:
    """Two megabytes of whatever lines are compared in seconds: a guard against a text that hangs the command."""
    lines = [str(number * number % 101) for number in range(2_000)]
    began = time.process_time()
    said("\n".join(lines), "\n".join(reversed(lines)))
    said("a\n" * 1_000_000, "b\n" * 1_000_000)
    assert time.process_time() - began < 30


# -- chats -------------------------------------------------------------------------------------------------------------


def test_a_message_is_compared_with_its_like() -> None:
    """One that was put before others changes none of them; the one that was changed is shown as that."""
    old = [{"role": "system", "content": "You are kind."}, user("Hello {{name}}"), user("What is the weather today?")]
    new = [{"role": "system", "content": "You are kind."}, user("An example."), user("Hello {{name}}"),
           user("What is the weather tomorrow?")]  # fmt: skip
    assert said(old, new) == [
        "= message 2 (user): added",
        "@@ -0,0 +1 @@",
        "+An example.",
        "= message 4 (user), was 3: changed",
        "@@ -1 +1 @@",
        "-What is the weather today?",
        "+What is the weather tomorrow?",
    ]


def test_the_equal_message_is_the_like() -> None:
    """One that has the same words in another order is not taken for it."""
    assert aligned([("user", ["x y"])], [("user", ["y x"]), ("user", ["x y"])]) == [(None, 0), (0, 1)]


def test_messages_of_different_roles_are_never_each_other() -> None:
    """A message that changed its role was taken away, and another put there."""
    assert said([user("a")], [{"role": "system", "content": "a"}]) == [
        "= message 1 (user): removed",
        "@@ -1 +0,0 @@",
        "-a",
        "= message 1 (system): added",
        "@@ -0,0 +1 @@",
        "+a",
    ]


def test_placeholders_have_no_lines() -> None:
    """Their name is in the title."""
    history = {"type": "placeholder", "name": "history"}
    assert said([history, user("a")], [user("a")]) == ["= message 1 (placeholder history): removed"]


def test_what_else_a_message_has_is_compared() -> None:
    """Other members stand below the content as JSON, and so does a content that is no text."""
    assert said([user("a", name="Ann")], [user("a", name="Bob")])[-5:] == [
        " a",
        " {",
        '-  "name": "Ann"',
        '+  "name": "Bob"',
        " }",
    ]
    assert '+  "é"' in said([user(["e"])], [user(["é"])])
    assert said([user("a", type="message")], [user("a")]) == []


def test_a_text_that_became_a_chat_is_shown() -> None:
    """The type is a difference, and both contents are shown whole."""
    found = said("Hello", [user("Hello")])
    assert found[:4] == ["= type: changed", "@@ -1 +1 @@", "-text", "+chat"]
    assert "-Hello" in found
    assert '+    "content": "Hello",' in found


def test_chats_of_very_many_messages_are_compared() -> None:
    """Where too many differ they are shown as taken away and put there; what is equal at both ends is not."""
    old = [user("first"), *(user(f"old {number}") for number in range(300)), user("last")]
    new = [user("first"), *(user(f"new {number}") for number in range(300)), user("last")]
    sections = diff(version(1, old), version(2, new)).sections
    assert [section.change for section in sections] == ["removed"] * 300 + ["added"] * 300


MESSAGES = st.lists(
    st.tuples(st.sampled_from(["user", "system"]), st.lists(st.sampled_from(["a", "b", "a b", "c d"]), max_size=2)),
    max_size=7,
)


@given(MESSAGES, MESSAGES)
def test_every_message_has_its_place(old: Any, new: Any) -> None:
    """Each is named once, in its order, with one of its kind; a chat and itself have equal pairs only."""
    pairs = aligned(old, new)
    assert [left for left, _ in pairs if left is not None] == list(range(len(old)))
    assert [right for _, right in pairs if right is not None] == list(range(len(new)))
    assert all(old[a][0] == new[b][0] for a, b in pairs if a is not None and b is not None)
    assert all(left == right for left, right in aligned(old, old))


@given(MESSAGES, MESSAGES, st.integers(0, 7))
def test_what_is_put_between_changes_nothing(old: Any, more: Any, at: int) -> None:
    """All messages of a chat are found again in one that has some more."""
    new = [*old[:at], *more, *old[at:]]
    kept = [(a, b) for a, b in aligned(old, new) if a is not None and b is not None]
    assert [old[a] for a, _ in kept] == old == [new[b] for _, b in kept]


# -- what is with it ---------------------------------------------------------------------------------------------------


def test_config_variables_labels_and_tags_are_compared() -> None:
    """Each has a section: the config as JSON with sorted members, variables one a line, labels and tags one a line."""
    before = version(1, "a", {}, labels=("production",), variables={"a": Variable(), "b": Variable(optional=True)})
    after = version(
        2,
        "a",
        {"z": [1], "a": "é"},
        labels=("latest", "production"),
        tags=("x",),
        variables={"a": Variable(enum=("x",))},
    )
    assert diff(before, after).lines()[2:] == [
        "= config: added",
        "@@ -0,0 +1,6 @@",
        "+{",
        '+  "a": "é",',
        '+  "z": [',
        "+    1",
        "+  ]",
        "+}",
        "= variables: changed",
        "@@ -1,2 +1 @@",
        '-a: {"type": "string"}',
        '-b: {"type": "string", "optional": true}',
        '+a: {"type": "string", "enum": ["x"]}',
        "= labels: changed",
        "@@ -1 +1,2 @@",
        "+latest",
        " production",
        "= tags: added",
        "@@ -0,0 +1 @@",
        "+x",
    ]


@pytest.mark.parametrize("document", [b"{", b'"\xff"', b"[" * 100_000, b'{"a": ' + b"9" * 5_000 + b"}", b""])
def test_what_is_no_json_is_text(document: bytes) -> None:
    """Whatever a foreign store answers is compared."""
    broken = Prompt(id="1", name="greeting", version=1, type="text", prompt=Raw(document), config=Raw(document))
    titles = [section.title for section in diff(broken, version(2, "a")).sections]
    assert titles == ["prompt", "config"]
    broken_chat = Prompt(id="1", name="greeting", version=1, type="chat", prompt=Raw(document))
    assert diff(broken_chat, version(2, [user("a")])).sections


def test_a_difference_is_data() -> None:
    """It is the same after a way through JSON."""
    found = diff(version(1, "a"), version(2, [user("b")], {"c": 1}))
    assert msgspec.json.decode(msgspec.json.encode(found), type=PromptDiff) == found
    assert json.loads(msgspec.json.encode(found))["before"] == {"name": "greeting", "version": 1}
