"""Prompts with values for their variables and placeholders."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from tracecore import ConfigError, prompt_text
from tracecore.prompt_text import check_declared, compile_chat, compile_text, placeholders_in, variables_in
from tracecore.prompts import Variable

CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "You help {{ customer }}."},
    {"type": "placeholder", "name": "history"},
    {"role": "user", "content": "{{question}}", "name": "asker"},
]


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test hear what it causes: nothing has been reported before."""
    monkeypatch.setattr(prompt_text, "_reported", set())


def refusal(call: Any) -> str:
    """Return what the error of a call says."""
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


# -- what is in a prompt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{a}} {{ b_1 }}{{\tc\n}}", {"a", "b_1", "c"}),
        ("{{{a}}} }}{{", {"a"}),
        ("{{1a}} {{a b}} {{a-b}} {{}} {a} {{ä}} {{_a}}", set()),
        ("", set()),
    ],
)
def test_variables_are_letters_digits_and_underscores_between_two_braces(text: str, names: set[str]) -> None:
    """What has another shape is text, as in Langfuse."""
    assert variables_in([text]) == names


def test_placeholders_are_found_among_messages() -> None:
    """A message of type placeholder is one; what is none is passed over, whatever it is."""
    assert placeholders_in([*CHAT, {"type": "placeholder", "name": 3}, "text", None]) == {"history"}


# -- texts -------------------------------------------------------------------------------------------------------------


def test_every_use_of_a_variable_gets_its_value() -> None:
    """A variable may be used often, with blanks or without."""
    assert compile_text("{{a}}-{{ a }}-{{b}}", {"a": "x", "b": "y"}) == "x-x-y"


def test_a_value_is_not_read_again() -> None:
    """A value that looks like a variable, or that makes one with the text around it, stays what it is."""
    assert compile_text("{{a}} {{b}} {{{a}}}", {"a": "{{b}}", "b": "{{a}}"}) == "{{b}} {{a}} {{{b}}}"


def test_missing_variables_are_all_named_with_what_was_given_instead() -> None:
    """The error names the prompt, each variable without a value, what may have been meant, and what nobody uses."""
    said = refusal(
        lambda: compile_text(
            "{{customer}} {{order}}", {"custmer": 1, "colour": 2}, source="the prompt greeting version 3"
        )
    )
    assert said == (
        "variables = 'custmer, colour' (from the prompt greeting version 3): expected values for customer, order; "
        "missing: customer (given: custmer?), order; unknown: colour, custmer"
    )


def test_a_missing_variable_may_stay_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """On request the text keeps what stands for it, blanks included, and the log says so once."""
    for _ in range(3):
        assert compile_text("{{ a }}{{b}}", {"b": 1}, missing="keep", source="greeting") == "{{ a }}1"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tracecore", logging.WARNING)
    assert "(from greeting): expected values for a, b; missing: a" in record.getMessage()


def test_an_unknown_value_is_reported_once_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A service may give a variable before the version that uses it is promoted."""
    for declared in (None, {"a": Variable()}):
        assert compile_text("{{a}}", {"a": "x", "later": "y"}, declared) == "x"
    assert ["unknown: later" in record.getMessage() for record in caplog.records] == [True]


def test_an_unknown_value_may_be_refused() -> None:
    """On request it is an error, which says what there is."""
    said = refusal(lambda: compile_text("{{a}}", {"a": 1, "b": 2}, unknown="raise"))
    assert said.endswith("expected values for a; unknown: b")
    assert "no values" in refusal(lambda: compile_text("", {"b": 2}, unknown="raise"))


def test_the_log_is_not_flooded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that differ in each call are reported up to a bound."""
    monkeypatch.setattr(prompt_text, "_MOST_REPORTS", 3)
    for number in range(10):
        compile_text("", {f"name{number}": 1})
    assert len(caplog.records) == 3


def test_what_is_compiled_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long value that is used often is refused before the text is made: here in one message after another."""
    monkeypatch.setattr(prompt_text, "LONGEST_COMPILED", 100)
    assert len(compile_text("{{a}}" * 10, {"a": "x" * 10})) == 100
    assert "at most 100 characters" in refusal(lambda: compile_text("{{a}}" * 11, {"a": "x" * 10}))
    message = {"role": "user", "content": "{{a}}"}
    assert "at most 100 characters" in refusal(lambda: compile_chat([message] * 11, {"a": "x" * 10}))


def test_a_large_text_is_compiled_in_one_pass() -> None:
    """Texts of a megabyte that only begin like variables, over and over, end in time."""
    for piece in ("{", "{{", "{{ ", "{{a", "{{a ", "}}", "{{a}", "{{{{a}} ", " "):
        text = piece * (1_000_000 // len(piece))
        assert compile_text(text + "{{b}}", {"a": "a", "b": "b"}).endswith("b")


# -- declared variables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("string", ["", "text"], [1, None, True, [], b"text"]),
        ("integer", [0, -1, 10**30], [True, 1.0, "1", None]),
        ("number", [0, 1.5, 10**400], [True, "1", float("nan"), float("inf"), None]),
        ("boolean", [True, False], [0, 1, "true", None]),
        ("array", [[], [1], (1, 2)], ["text", b"bytes", {}, {1}, None]),
        ("object", [{}, {"a": 1}, MappingProxyType({"a": 1})], [[], "text", None]),
    ],
)
def test_types_are_checked(kind: Any, right: list[object], wrong: list[object]) -> None:
    """A value is of the declared type, exactly; the error names the variable, the value, and the type."""
    declared = {"a": Variable(type=kind)}
    for value in right:
        compile_text("{{a}}", {"a": value}, declared)
    for value in wrong:
        said = refusal(lambda value=value: compile_text("{{a}}", {"a": value}, declared))
        assert said.startswith(f"a = {value!r} (from compile): expected ")
        assert said.endswith(f"as declared (type {kind})")


def test_an_enum_takes_its_texts_only() -> None:
    """The error lists what may be given."""
    declared = {"tone": Variable(enum=("warm", "cold"))}
    assert compile_text("{{tone}}", {"tone": "cold"}, declared) == "cold"
    said = refusal(lambda: compile_text("{{tone}}", {"tone": "hot"}, declared))
    assert said == "tone = 'hot' (from compile): expected one of warm, cold, as declared"


def test_an_optional_variable_may_be_left_out() -> None:
    """It is empty then, as when it is None; one that is not optional must be there, and be no None."""
    declared = {"a": Variable(optional=True), "b": Variable(type="integer", optional=True), "c": Variable()}
    assert compile_text("[{{a}}{{b}}{{c}}]", {"c": "c", "b": None}, declared) == "[c]"
    assert "missing: c" in refusal(lambda: compile_text("{{a}}{{c}}", {}, declared))


def test_a_value_is_checked_though_the_text_does_not_use_it() -> None:
    """A version that uses it no more tells of a wrong value as the one before did."""
    assert refusal(lambda: compile_text("", {"a": 1}, {"a": Variable()})).startswith("a = 1 ")
    assert compile_text("", {"a": "x"}, {"a": Variable()}, unknown="raise") == ""


def test_what_is_used_but_not_declared_takes_anything() -> None:
    """An inserted prompt may have changed since the declaration was checked."""
    assert compile_text("{{a}}{{b}}", {"a": "x", "b": [1]}, {"a": Variable()}) == "x[1]"
    assert "missing: b" in refusal(lambda: compile_text("{{a}}{{b}}", {"a": "x"}, {"a": Variable()}))


# -- chats -------------------------------------------------------------------------------------------------------------


def test_a_chat_gets_values_and_messages() -> None:
    """Variables are in contents only; placeholders are replaced by as many messages as are given."""
    history = [{"role": "user", "content": "Hello {{question}}"}, {"role": "assistant", "content": None, "x": [1]}]
    assert compile_chat(CHAT, {"customer": "Ann", "question": "Why?", "history": history}) == [
        {"role": "system", "content": "You help Ann."},
        {"role": "user", "content": "Hello {{question}}"},
        {"role": "assistant", "content": None, "x": [1]},
        {"role": "user", "content": "Why?", "name": "asker"},
    ]


def test_a_placeholder_takes_no_message_at_all() -> None:
    """An empty list is a value."""
    assert len(compile_chat(CHAT, {"customer": "", "question": "", "history": []})) == 2


def test_a_chat_is_not_changed_by_whoever_gets_it() -> None:
    """Neither the prompt, which others share, nor what was given is in the answer; the prompt may be unchangeable."""
    frozen: Mapping[str, Any] = MappingProxyType({"role": "user", "content": "", "parts": ({"a": (1, 2)},)})
    given = [{"role": "user", "content": ""}]
    first, second = compile_chat([frozen, {"type": "placeholder", "name": "more"}], {"more": given})
    first["parts"][0]["a"].append(3)
    second["content"] = "changed"
    assert compile_chat([frozen], {}) == [{"role": "user", "content": "", "parts": [{"a": [1, 2]}]}]
    assert given == [{"role": "user", "content": ""}]


def test_content_that_is_no_text_stays() -> None:
    """Parts of a content are not looked into, nor is any other member."""
    message = {"role": "{{a}}", "content": [{"type": "text", "text": "{{a}}"}], "tool_calls": [{"id": "{{a}}"}]}
    assert compile_chat([message], {}) == [message]


def test_the_tag_of_a_message_is_taken_off() -> None:
    """Langfuse's ``type`` of messages is none of models; another ``type`` is the author's."""
    tagged = [{"type": kind, "role": "user", "content": ""} for kind in ("message", "chatmessage", "other", ["list"])]
    assert [message.get("type") for message in compile_chat(tagged, {})] == [None, None, "other", ["list"]]


def test_a_missing_placeholder_is_named_or_kept(caplog: pytest.LogCaptureFixture) -> None:
    """It is a variable like another."""
    values = {"customer": "Ann", "question": "Why?", "histroy": []}
    assert "missing: history (given: histroy?)" in refusal(lambda: compile_chat(CHAT, values))
    assert compile_chat(CHAT, values, missing="keep")[1] == {"type": "placeholder", "name": "history"}
    assert "missing: history" in caplog.text


def test_an_optional_placeholder_may_be_left_out() -> None:
    """Nothing takes its place then; a declared one is checked."""
    declared = {"history": Variable(type="array", optional=True), "customer": Variable(), "question": Variable()}
    values: dict[str, object] = {"customer": "Ann", "question": "Why?"}
    assert len(compile_chat(CHAT, values, declared)) == 2
    assert len(compile_chat(CHAT, {**values, "history": None}, declared, missing="keep")) == 2
    assert "type array" in refusal(lambda: compile_chat(CHAT, {**values, "history": "x"}, declared))


@pytest.mark.parametrize("given", ["text", None, 3, {"role": "user"}, ["text"], [{"role": "user"}, None]])
def test_a_placeholder_takes_messages_only(given: object) -> None:
    """Whatever else is given is refused, by the name of the placeholder."""
    said = refusal(lambda: compile_chat(CHAT, {"customer": "", "question": "", "history": given}))
    assert said.startswith("history = ")
    assert "expected a list of messages, each a dict, for the placeholder" in said


def test_a_chat_that_is_none_is_refused() -> None:
    """A fallback may be anything; so may what is nested without end."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "each a dict" in refusal(lambda: compile_chat(["text"], {}))
    assert "less deeply" in refusal(lambda: compile_chat([{"role": "user", "content": deep}], {}))


# -- declarations ------------------------------------------------------------------------------------------------------


def test_a_declaration_that_fits_is_accepted() -> None:
    """Placeholders may be declared, as arrays, or not."""
    check_declared({}, ["no variables"], {"history"})
    check_declared({"a": Variable(enum=("x", "y")), "history": Variable(type="array")}, ["{{a}}"], {"history"})


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "not declared: a, b"),
        ({"a": Variable()}, "not declared: b"),
        ({"a": Variable(), "b": Variable(), "c": Variable(), "d": Variable()}, "not used: c, d"),
        ({"a b": Variable()}, "variable = 'a b'"),
        ({"x" * 256: Variable()}, "255 in all"),
        ({"a": Variable(type="integer", enum=("1",))}, "a = 'integer' (from the request): expected type string"),
        ({"a": Variable(enum=("x", "x"))}, "an enum that has each text once"),
        ({"history": Variable()}, "history = 'string' (from the request): expected type array"),
        ({f"a{number}": Variable() for number in range(101)}, "at most 100 declared variables"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(variables: dict[str, Variable], said: str) -> None:
    """The error names what is too much, too little or wrong."""
    assert said in refusal(lambda: check_declared(variables, ["{{a}}", "{{b}}"], {"history"}))
