"""Prompts as files: any prompt there and back, files as people write them, and what is none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from tracecore.errors import ConfigError
from tracecore.prompt_contents import check_content
from tracecore.prompts import Prompt, Variable
from tracecore.services.prompt_files import PromptFile, file_of, parse, render, says_the_same, with_bookkeeping

SURPRISING = (
    "+++",
    "\\+++ user",
    "+++ user\n",
    "\r\n",
    "\r",
    "\n",
    "\\",
    "\\x41",
    "'''",
    '"""',
    "\u202e",
    "\ufeff",
    "\x00",
)
texts = st.lists(
    st.one_of(st.sampled_from(SURPRISING), st.text(st.characters(codec="utf-8"), max_size=6)), max_size=8
).map("".join)
messages = st.one_of(
    st.fixed_dictionaries(
        {"role": st.one_of(st.sampled_from(["user", "placeholder", "{", "a b", ""]), texts), "content": texts}
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["chatmessage", "x"]), "role": texts, "content": texts}),
    st.fixed_dictionaries({"type": st.just("placeholder"), "name": st.sampled_from(["history", "A1_b"])}),
    st.fixed_dictionaries(
        {
            "role": texts,
            "content": texts,
            "name": texts,
            "tool_calls": st.lists(st.dictionaries(texts, texts), max_size=2),
        }
    ),
    st.fixed_dictionaries({"type": st.just("placeholder"), "name": st.just("history"), "content": texts}),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
variables = st.dictionaries(
    texts,
    st.builds(
        Variable,
        type=st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]),
        description=texts,
        enum=st.lists(texts, max_size=2).map(tuple),
        optional=st.booleans(),
    ),
    max_size=3,
)
notes = {
    "tags": st.none() | st.lists(texts, min_size=1, max_size=2).map(tuple),
    "variables": st.none() | variables,
    "commit_message": st.none() | texts,
    "version": st.integers(1, 2**63),
}


def raw(value: Any) -> Raw:
    """Return JSON; integers beyond 64 bits too."""
    try:
        return Raw(msgspec.json.encode(value))
    except OverflowError:
        return Raw(b"[%d]" % 2**80)


def made(kind: str, content: Any, **about: Any) -> Prompt:
    """Return a version."""
    given = {"tags": about.pop("tags", None) or (), **about}
    return Prompt(id="i", name="n", **{"version": 1, "type": kind, "prompt": raw(content), **given})


def read(text: str) -> PromptFile:
    """Return what the text of a file says, which must be one of a prompt."""
    file = parse(text, "a.md")
    assert file is not None
    return file


@example(kind="text", text="a\r\nb\r\n", chat=[], config={}, about={})
@given(
    kind=st.sampled_from(["text", "chat"]), text=texts, chat=st.lists(messages, max_size=4), config=values,
    about=st.fixed_dictionaries(notes),
)  # fmt: skip
def test_any_prompt_there_and_back(kind: str, text: str, chat: list[Any], config: Any, about: dict[str, Any]) -> None:
    """Whatever a version holds, its file says it; also where the lines of the file end as those of Windows do."""
    prompt = made(kind, text if kind == "text" else chat, config=raw(config), **about)
    file = file_of(prompt, newest=3)
    for written in (render(file), render(file, escaped=True)):
        for found in (read(written), read(written.replace("\n", "\r\n"))):
            assert msgspec.json.decode(found.prompt) == msgspec.json.decode(prompt.prompt)
            assert says_the_same(found, file)
            same = replace(found, prompt=file.prompt, config=file.config)
            assert same == file


@given(st.binary(max_size=60).map(lambda found: found.decode("latin-1")) | texts, texts)
def test_any_text_is_read_or_refused(toml: str, body: str) -> None:
    """Whatever stands in a file, it is a prompt, none, or refused in a sentence; what was read is written as it was."""
    for text in (toml + body, f"+++\n{toml}\n+++\n{body}", f'+++\ntype = "chat"\n+++\n{body}', f"+++\n+++\n{body}"):
        try:
            file = parse(text, "a.md")
        except ConfigError as error:
            assert "a.md" in str(error)  # noqa: PT017 - most texts raise nothing
            continue
        if file is not None:
            assert says_the_same(read(render(file)), file)


def test_a_text_looks_like_this() -> None:
    """A file shows what is known of a prompt in as few lines as that takes."""
    prompt = made(
        "text", "Hello {{customer}}.", version=4, tags=("support",), commit_message="Warmer",
        config=Raw(b'{"model":"gpt-x","stop":["\\n"]}'),
        variables={
            "customer": Variable(description="Who is greeted"), "tone": Variable(enum=("warm", "cold"), optional=True),
        },
    )  # fmt: skip
    assert render(file_of(prompt, newest=4)) == (
        '+++\nversion = 4\nmessage = "Warmer"\ntype = "text"\ntags = ["support"]\n'
        'config = \'\'\'\n{\n  "model": "gpt-x",\n  "stop": [\n    "\\n"\n  ]\n}\n\'\'\'\n\n'
        '[variables]\ncustomer = {type = "string", description = "Who is greeted"}\n'
        'tone = {type = "string", enum = ["warm", "cold"], optional = true}\n+++\n\nHello {{customer}}.\n'
    )


def test_a_chat_looks_like_this() -> None:
    """Each message of a chat is a section, and what a message holds besides is JSON."""
    chat = [
        {"role": "system", "content": "Be brief.\n+++ user\nis text"},
        {"type": "placeholder", "name": "history"},
        {"type": "chatmessage", "role": "user", "content": "{{question}}\n"},
        {"role": "tool", "content": "", "id": 7},
    ]
    body = (
        "+++ system\nBe brief.\n\\+++ user\nis text\n\n+++ placeholder history\n\n"
        '+++ chatmessage user\n{{question}}\n\n\n+++ {"role":"tool","id":7}\n\n'
    )
    assert render(file_of(made("chat", chat, version=1))) == f'+++\nversion = 1\ntype = "chat"\n+++\n\n{body}'


def test_what_nobody_sees_is_spelt() -> None:
    """A direction that would show another text to a reviewer, and line ends that an editor would change, are spelt."""
    text = render(file_of(made("text", "a\r\nb\\\u202ec\x1b", config=Raw('{"a":"\u202e"}'.encode()))))
    assert text.endswith("\n\na\\r\nb\\\\\\u202ec\\x1b\n")
    assert '"\\u202e"' in text
    assert text.isascii()


@pytest.mark.parametrize("text", ["+++\n+++\n\nHi\n", "+++\n+++\nHi", "\ufeff+++ \r\ntype = 'text'\r\n+++\t\r\nHi\r\n"])
def test_as_people_write_it(text: str) -> None:
    """A file written by hand needs no more than two lines, with or without blank lines and with any line ends."""
    assert read(text) == PromptFile(prompt=Raw(b'"Hi"'))


@pytest.mark.parametrize("text", ["", "Hello", "++++\n", "---\na: 1\n---\n", " +++\n+++\n"])
def test_what_is_none(text: str) -> None:
    """A file that does not begin with the line is none of a prompt."""
    assert parse(text, "a.md") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("+++\nversion = 1\n", "a second line '+++'"),
        ("+++\nversion = 0\n+++\n", "version"),
        ("+++\nversion = 1\n\nversion = 1\n+++\n", "line 4"),
        ("+++\nverson = 1\n+++\n", "verson"),
        ("+++\ntype = 'chat'\n+++\nHello", "to begin with a heading"),
        ("+++\ntype = 'chat'\n+++\n+++ tool x\nHello", "'+++ ROLE'"),
        ("+++\ntype = 'chat'\n+++\n+++ {'a': 1}\n", "the members of a message as JSON"),
        ("+++\ntype = 'chat'\n+++\n+++ placeholder a\nHello", "nothing below"),
        ("+++\nconfig = '{a: 1}'\n+++\n", "expected JSON"),
        ("+++\nescaped = true\n+++\n\\q\n", "escaped = true"),
        ("+++\nescaped = true\n+++\n\\ud800\n", "escaped = true"),
        ("+++\n[variables]\na = {type = 'text'}\n+++\n", "text"),
        ("+++\n<<<<<<< this file\ntags = ['a']\n+++\n", "what both sides wrote"),
        ("+++\nx = " + "[" * 20_000 + "\n+++\n", "expected TOML"),
    ],
)
def test_what_cannot_be_is_said(text: str, said: str) -> None:
    """A file that begins as a prompt's and goes on otherwise is refused, with its name and what is expected."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "a.md")
    assert said in str(caught.value)
    assert "a.md" in str(caught.value)


def test_other_numbers_and_all_else_as_it_was() -> None:
    """After publishing a file has its new version, and the comments that somebody wrote."""
    text = "+++\n# ours\nversion = 3\nnewest = 5\nmessage = 'old'\ntags = [ 'a' ]  # why\n+++\nHi"
    file = replace(read(text), version=6, newest=None, message="new")
    edited = with_bookkeeping(text, file, "a.md")
    assert edited == "+++\nversion = 6\nmessage = \"new\"\n# ours\ntags = [ 'a' ]  # why\n+++\nHi"
    strange = '+++\nmessage = """\nold"""\n+++\nHi'
    assert with_bookkeeping(strange, file, "a.md") == render(file)
    assert with_bookkeeping(text.replace("\n", "\r\n"), file, "a.md") == edited


def test_what_is_the_same() -> None:
    """The order of entries is part of a configuration, its blanks and escapes are not; nor are tags and message."""
    one = file_of(made("text", "é", config=Raw(b'{"a":"\\u00e9", "b":1}'), tags=("x",), commit_message="m"))
    other = file_of(made("text", "é", config=Raw('{"a":"é","b":1}'.encode()), version=2))
    assert says_the_same(one, other)
    for change in (
        {"config": Raw(b'{"b":1,"a":"\\u00e9"}')},
        {"config": Raw('{"a":"é","b":1.0}'.encode())},
        {"variables": {}},
    ):
        assert not says_the_same(replace(one, **change), other)


def test_a_conflict_ends_when_its_markers_have_gone() -> None:
    """Whoever resolved a conflict need not say so."""
    text = "+++\nconflict = true\n+++\n\n<<<<<<< this file\na\n=======\nb\n>>>>>>> version 2\n"
    assert read(text).conflict
    assert not read("+++\nconflict = true\n+++\n\na\n").conflict


def test_the_example_of_the_readme(project_root: Path) -> None:
    """What the README shows as a file is one, written as we write it."""
    [example] = re.findall(
        r"^```text\n(\+\+\+\n.*?)^```", (project_root / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert render(read(example)) == example
    assert read(example).version == 4


def test_files_hold_what_can_be_published() -> None:
    """What is read from a chat is content that may be published."""
    file = read("+++\ntype = 'chat'\n+++\n\n+++ user\n{{q}}\n+++ placeholder more")
    assert check_content("chat", file.prompt) == ["{{q}}"]
