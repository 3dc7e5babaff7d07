"""Laws of compiling, for any text and any values."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecore import ConfigError, prompt_text
from tracecore.prompt_text import check_declared, compile_chat, compile_text, placeholders_in, variables_in
from tracecore.prompts import Variable

NAMES = st.sampled_from(["a", "b", "ab", "a_1", "history"])
ODD = st.sampled_from(["{{", "}}", "{{a}}", "{{ b }}", "{{ab", "{", "}", " ", "{{history}}", "{{a-b}}", "\n"])
TEXTS = st.lists(ODD | st.text(max_size=5), max_size=12).map("".join)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS | PLAIN}, optional={"x": PLAIN})
PLACEHOLDERS = st.builds(lambda name: {"type": "placeholder", "name": name}, NAMES)
CHATS = st.lists(MESSAGES | PLACEHOLDERS, max_size=5)
VALUES = st.dictionaries(NAMES | TEXTS, PLAIN | st.lists(MESSAGES, max_size=2), max_size=5)
DECLARED = st.none() | st.dictionaries(
    NAMES,
    st.builds(
        Variable,
        type=st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]),
        enum=st.lists(TEXTS, max_size=2).map(tuple),
        optional=st.booleans(),
    ),
    max_size=4,
)
MISSING = st.sampled_from(["raise", "keep"])
UNKNOWN = st.sampled_from(["raise", "report"])


def one_by_one(text: str, values: dict[str, str]) -> str:
    """Compile a text the plain way: find the first variable, insert its value, go on behind it."""
    done = ""
    while text:
        for name, value in values.items():
            inside, closed, rest = text[2:].partition("}}")
            if text.startswith("{{") and closed and inside.strip() == name:
                done, text = done + value, rest
                break
        else:
            done, text = done + text[0], text[1:]
    return done


def outcome(compiled: Callable[[], Any]) -> Any:
    """Return what a call returns, or its error."""
    try:
        return compiled()
    except ConfigError as error:
        return error


@given(TEXTS, st.fixed_dictionaries(dict.fromkeys(("a", "b", "ab", "a_1", "history"), TEXTS)))
def test_compiling_is_inserting_one_value_after_another(text: str, values: dict[str, str]) -> None:
    """The fast way makes the text of the slow way, and nothing that a value brings is read."""
    assert compile_text(text, values) == one_by_one(text, values)


@given(TEXTS, VALUES, DECLARED, MISSING, UNKNOWN)
def test_a_text_is_compiled_or_refused(text: str, values: Any, declared: Any, missing: Any, unknown: Any) -> None:
    """Whatever the text and the values: a text, or the one error."""
    compiled = outcome(lambda: compile_text(text, values, declared, missing=missing, unknown=unknown))
    assert type(compiled) is str or str(compiled).isprintable()


@given(CHATS, VALUES, DECLARED, MISSING, UNKNOWN)
def test_a_chat_is_compiled_or_refused(chat: Any, values: Any, declared: Any, missing: Any, unknown: Any) -> None:
    """Whatever the messages and the values: messages, or the one error; the prompt and the values stay as they were."""
    before = repr((chat, values))
    compiled = outcome(lambda: compile_chat(chat, values, declared, missing=missing, unknown=unknown))
    if isinstance(compiled, ConfigError):
        assert str(compiled).isprintable()
    else:
        assert all(type(message) is dict for message in compiled)
    assert repr((chat, values)) == before


@given(TEXTS, VALUES)
def test_a_chat_of_one_message_is_a_text(text: str, values: Any) -> None:
    """Both ways of compiling insert the same, and refuse the same."""
    chat = [MappingProxyType({"role": "user", "content": text})]
    one = outcome(lambda: compile_text(text, values))
    other = outcome(lambda: compile_chat(chat, values)[0]["content"])
    assert str(one) == str(other)


@given(TEXTS, DECLARED, CHATS)
def test_what_was_accepted_at_publishing_compiles(text: str, declared: Any, chat: Any) -> None:
    """With a value of its type for each declared variable nothing is missing, unknown or wrong."""
    messages = [*chat, {"role": "user", "content": text}]
    texts = [message["content"] for message in messages if isinstance(message.get("content"), str)]
    names = {name: Variable() for name in variables_in(texts)} | (declared or {})
    placeholders = placeholders_in(messages)
    try:
        check_declared(names, texts, placeholders)
    except ConfigError:
        return
    samples = {"string": "x", "integer": 1, "number": 0.5, "boolean": True, "array": [], "object": {}}
    values = {
        name: variable.enum[0] if variable.enum else samples[variable.type]
        for name, variable in names.items()
    } | {name: [] for name in placeholders}  # fmt: skip
    compile_chat(messages, values, names, unknown="raise")
    needed = {name: value for name, value in values.items() if name not in names or not names[name].optional}
    compile_chat(messages, needed, names, unknown="raise")


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Any:
    """Report nothing: the log would hold every example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_text, "_MOST_REPORTS", 0)
        yield
