"""Describe an exception: type, message and stack, without reading a source file.

``str(exception)`` is the one place where capturing runs code of the program: nothing else knows the message. It is
guarded: a ``__str__`` that raises gives a message that says so. The stack names file, line and function of each frame,
newest last, with causes, contexts and members of groups; opening source files for their lines would block the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast

from tracecore.introspection import class_name, instance_dict
from tracecore.limits import DEFAULT_LIMITS, Limits
from tracecore.markers import without_surrogates
from tracecore.records import ErrorInfo

__all__ = ["error_info"]

_MAX_STACK: Final = 16_384  # characters
_MAX_MESSAGE_IN_STACK: Final = 1_000
_FIRST_FRAMES: Final = 10
_LAST_FRAMES: Final = 40
_MAX_CHAIN: Final = 10
_MAX_MEMBERS: Final = 8
_MAX_GROUP_DEPTH: Final = 3
_OWN_FILES: Final = str(Path(__file__).parent)

# A class may override these names with properties of its own.
_slots: Final = vars(BaseException)
_traceback: Final[Callable[[BaseException], TracebackType | None]] = _slots["__traceback__"].__get__
_cause: Final[Callable[[BaseException], BaseException | None]] = _slots["__cause__"].__get__
_context: Final[Callable[[BaseException], BaseException | None]] = _slots["__context__"].__get__
_suppress: Final[Callable[[BaseException], bool]] = _slots["__suppress_context__"].__get__
_members: Final[Callable[[object], tuple[BaseException, ...]]] = vars(BaseExceptionGroup)["exceptions"].__get__

_CAUSED: Final = "\n\nThe above exception was the direct cause of the following exception:\n\n"
_DURING: Final = "\n\nDuring handling of the above exception, another exception occurred:\n\n"


def error_info(exception: BaseException, limits: Limits = DEFAULT_LIMITS) -> ErrorInfo:
    """Return type, message (at most ``limits.max_string`` characters) and stack (at most 16,384). Never raises."""
    name = without_surrogates(class_name(exception))
    try:
        message = _message(exception)
        return ErrorInfo(type=name, message=_cut(message, limits.max_string), stack=_cut(_chain(exception), _MAX_STACK))
    except Exception as error:  # noqa: BLE001 - capturing never raises into the host
        return ErrorInfo(type=name, message=f"<could not be described: {class_name(error)}>")


def _message(exception: BaseException) -> str:
    """Return ``str(exception)`` and its notes. Runs ``__str__`` of the exception's class."""
    try:
        text = without_surrogates(str.__str__(str(exception)))
    except Exception as error:  # noqa: BLE001 - whatever the program's __str__ raises
        text = f"<__str__ raised {class_name(error)}>"
    notes = instance_dict(exception).get("__notes__")
    shown = cast("list[object]", notes)[:_MAX_MEMBERS] if type(notes) is list else []
    return "\n".join([text, *(without_surrogates(note) for note in shown if type(note) is str)])


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    gone = f"\n… {len(text) - most} characters omitted …\n"
    keep = max(0, most - len(gone))
    return text[: keep // 2] + gone + text[len(text) - keep + keep // 2 :]


def _chain(exception: BaseException) -> str:
    """Return the stack of an exception and what led to it, the first one first; the last one always whole."""
    text = _block(exception, _MAX_GROUP_DEPTH)
    seen = {id(exception)}
    for earlier, joint in islice(_earlier(exception), _MAX_CHAIN):
        if id(earlier) in seen:
            break
        seen.add(id(earlier))
        room = _MAX_STACK - len(text) - len(joint)
        if room < _MAX_MESSAGE_IN_STACK:
            break
        text = _cut(_block(earlier, 0), room) + joint + text
    return text


def _earlier(exception: BaseException) -> Iterator[tuple[BaseException, str]]:
    while True:
        cause = _cause(exception)
        earlier = _context(exception) if cause is None and not _suppress(exception) else cause
        if earlier is None:
            return
        yield earlier, _DURING if cause is None else _CAUSED
        exception = earlier


def _block(exception: BaseException, group_depth: int) -> str:
    lines = ["Traceback (most recent call last):", *_frames(_traceback(exception))]
    message = _cut(_message(exception), _MAX_MESSAGE_IN_STACK)
    lines.append(f"{without_surrogates(class_name(exception))}: {message}")
    if issubclass(type(exception), BaseExceptionGroup) and group_depth:
        lines.extend(_member_lines(_members(exception), group_depth))
    return "\n".join(lines)


def _member_lines(members: tuple[BaseException, ...], group_depth: int) -> Iterator[str]:
    for number, member in enumerate(members[:_MAX_MEMBERS], 1):
        yield f"  +-- {number} of {len(members)} --"
        for line in _block(member, group_depth - 1).splitlines():
            yield f"  | {line}"
    if len(members) > _MAX_MEMBERS:
        yield f"  +-- {len(members) - _MAX_MEMBERS} members omitted --"


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    """Describe up to 50 frames, the outermost and the innermost ones; frames of our own wrappers are left out."""
    first: list[str] = []
    last: deque[tuple[Any, int]] = deque(maxlen=_LAST_FRAMES)
    count = 0
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if traceback.tb_next is None or not code.co_filename.startswith(_OWN_FILES):
            count += 1
            if count <= _FIRST_FRAMES:
                first.append(_frame(code, traceback.tb_lineno))
            else:
                last.append((code, traceback.tb_lineno))
        traceback = traceback.tb_next
    yield from first
    if count > _FIRST_FRAMES + _LAST_FRAMES:
        yield f"  … {count - _FIRST_FRAMES - _LAST_FRAMES} frames omitted …"
    for code, line in last:
        yield _frame(code, line)


def _frame(code: Any, line: int) -> str:
    return without_surrogates(f'  File "{code.co_filename}", line {line}, in {code.co_qualname}')
