"""Describing exceptions: type, message and stack, within bounds, whatever the exception's own code does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tracecore
from tracecore.codec import Limits
from tracecore.error_info import error_info
from tracecore.records import ErrorInfo
from tracecore.testing import capture

BEGINNING = "Traceback (most recent call last):"


def caught(raising: Callable[[], object]) -> BaseException:
    """Return the exception that a call raises."""
    try:
        raising()
    except BaseException as error:  # noqa: BLE001 - of any kind
        return error
    raise AssertionError("nothing was raised")


def described(raising: Callable[[], object], **limits: int) -> ErrorInfo:
    """Return what is said about the exception of a call."""
    return error_info(caught(raising), Limits(**limits))


def raise_(error: BaseException, cause: BaseException | None = None) -> None:
    """Raise an exception."""
    if cause is not None:
        raise error from cause
    raise error


def nested(depth: int) -> None:
    """Raise from the innermost of so many calls."""
    if depth:
        nested(depth - 1)
    raise ValueError("deep")


def test_type_message_and_stack() -> None:
    """An exception is its class, its text, and the frames it came through, the newest last."""
    found = described(lambda: raise_(ValueError("wrong number")))
    assert (found.type, found.message) == ("ValueError", "wrong number")
    lines = found.stack.splitlines()
    assert lines[0] == BEGINNING
    assert lines[-2].endswith("in raise_")
    assert f'File "{__file__}", line ' in lines[-2]
    assert lines[-1] == "ValueError: wrong number"


def test_never_raised() -> None:
    """An exception that was made and never raised has no frames."""
    assert error_info(KeyError("k")) == ErrorInfo("KeyError", "'k'", f"{BEGINNING}\nKeyError: 'k'")


def test_notes_belong_to_the_message() -> None:
    """Notes that were added are lines of the message; what is no text among them is left out."""
    error = ValueError("text")
    error.add_note("first")
    error.add_note("second")
    error.__notes__.append(7)
    assert error_info(error).message == "text\nfirst\nsecond"
    error.__notes__ = "no list"
    assert error_info(error).message == "text"


def test_a_cause_comes_first() -> None:
    """What an exception was raised from stands before it, and so does what was being handled."""

    def handling() -> None:
        try:
            raise_(OSError("disk"), KeyError("k"))
        except OSError:
            raise_(RuntimeError("late"))

    stack = described(handling).stack
    positions = [
        stack.index(part) for part in ("KeyError: 'k'", "direct cause", "OSError: disk", "During", "RuntimeError: late")
    ]
    assert positions == sorted(positions)
    assert stack.count(BEGINNING) == 3


def test_what_was_suppressed_is_not_shown() -> None:
    """``from None`` hides what was being handled."""

    def handling() -> None:
        try:
            raise_(OSError("secret"))
        except OSError:
            raise RuntimeError("shown") from None

    assert "secret" not in described(handling).stack


def test_chains_that_bite_their_tail_end() -> None:
    """A cause that is caused by its effect is told once."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert error_info(one).stack.count("ValueError: one") == 1
    own = ValueError("own")
    own.__cause__ = own
    assert error_info(own).stack.count("ValueError: own") == 1


def test_groups_show_their_members() -> None:
    """Members of a group, and of groups inside, are shown below it; of very many the first, and how many more."""
    inner = ExceptionGroup("inner", [caught(lambda: raise_(KeyError("k")))])  # type: ignore[list-item]  # it is an Exception
    found = error_info(ExceptionGroup("outer", [ValueError("v"), inner]))
    assert found.type == "ExceptionGroup"
    for line in ("  +-- 1 of 2 --", "  | ValueError: v", "  |   +-- 1 of 1 --", "  |   | KeyError: 'k'"):
        assert line in found.stack.splitlines()
    many = error_info(ExceptionGroup("many", [ValueError(str(number)) for number in range(1_000)])).stack
    assert "members omitted --" in many
    assert "ValueError: 0" in many
    deep: Exception = ValueError("at the bottom")
    for _ in range(500):
        deep = ExceptionGroup("g", [deep])
    assert "at the bottom" not in error_info(deep).stack


def test_deep_stacks_keep_both_ends() -> None:
    """Of a deep recursion the outermost and the innermost frames are shown, and how many there were between."""
    found = described(lambda: nested(400))
    frames = [line for line in found.stack.splitlines() if line.startswith("  File")]
    assert len(frames) == 50
    [gap] = [line for line in found.stack.splitlines() if "frames omitted" in line]
    omitted = int(gap.split()[1])
    assert omitted + 50 == 403  # caught, the lambda, and 401 calls
    assert "in caught" in frames[0]
    assert "in nested" in frames[-1]


def test_recursion_errors_are_described() -> None:
    """The exception of a program at the end of its stack is described like any other."""
    assert described(lambda: nested(sys.getrecursionlimit() * 2)).type == "RecursionError"


def test_long_messages_keep_both_ends() -> None:
    """A message beyond the limit is cut in its middle, and says by how much; so is the stack."""
    text = "a" * 50_000 + "z" * 50_000
    found = described(lambda: raise_(ValueError(text)), max_string=1_000)
    assert len(found.message) == 1_000
    assert found.message.startswith("aaa")
    assert found.message.endswith("zzz")
    assert "characters omitted" in found.message
    assert len(found.stack) <= 16_384
    assert "omitted" in found.stack


def test_a_long_chain_keeps_the_last_whole() -> None:
    """However much led to an exception, the stack is bounded, and the exception itself is not cut."""

    def chained(depth: int) -> None:
        try:
            if depth:
                chained(depth - 1)
            raise_(ValueError("x" * 900))
        except (ValueError, KeyError):
            raise_(KeyError(depth, "y" * 900))

    stack = described(lambda: chained(30)).stack
    assert len(stack) <= 16_384
    assert stack.splitlines()[-1].startswith("KeyError: (30, ")
    assert stack.endswith("')")


class Hostile(Exception):
    """Misbehave when looked at."""

    def __init__(self, behave: Callable[[], Any]) -> None:
        self.behave = behave

    def __str__(self) -> str:
        return self.behave()  # type: ignore[no-any-return]  # whatever it is

    def __getattribute__(self, name: str) -> Any:
        if name in {"__traceback__", "__cause__", "__context__", "__notes__", "__class__"}:
            raise AssertionError(name)
        return super().__getattribute__(name)


class Text(str):
    """A text that raises when it is used."""

    __slots__ = ()

    def __len__(self) -> int:
        raise AssertionError

    __getitem__ = __add__ = encode = splitlines = __len__  # type: ignore[assignment]  # none may be called


def recursing() -> str:
    """Never come back."""
    return recursing()


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (lambda: 1 / 0, "<__str__ raised ZeroDivisionError>"),
        (recursing, "<__str__ raised RecursionError>"),
        (lambda: None, "<__str__ raised TypeError>"),
        (lambda: Text("lies"), "lies"),
        (lambda: "\ud800 alone", "\\ud800 alone"),
    ],
)
def test_hostile_exceptions(behave: Callable[[], Any], message: str) -> None:
    """Whatever the text of an exception does, it is described, and can be stored."""
    found = described(lambda: raise_(Hostile(behave)))
    assert found.type == f"{__name__}.Hostile"
    assert found.message == message
    assert "in raise_" in found.stack
    assert msgspec.json.decode(msgspec.json.encode(found), type=ErrorInfo) == found


def test_odd_names_can_be_stored() -> None:
    """Names of files with half characters are written visibly."""
    namespace: dict[str, Any] = {}
    exec(compile("def f():\n    raise ValueError('x')", "file\udcff.py", "exec"), namespace)  # noqa: S102 - an odd file name
    found = described(namespace["f"])
    msgspec.json.encode(found)
    assert "file\\udcff.py" in found.stack


async def test_our_own_frames_are_left_out() -> None:
    """The stack shows the program, not the wrappers around it."""
    async with capture():
        stack = described(tracecore.observe(nested_once)).stack
    assert "in nested_once" in stack
    assert not [line for line in stack.splitlines() if str(Path(tracecore.__file__).parent) in line]


def nested_once() -> None:
    """Raise from an inner call."""
    nested(1)
