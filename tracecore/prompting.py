"""``get_prompt``: a prompt by name, with a version or a label, from a cache that never lets its service down.

What is known is served at once: no lock, no wait, about a microsecond. What is older than its ``ttl`` is served, too,
and asked for again beside that. Only for what nobody knows a caller waits, once and for a bounded time, and then gets
the fallback that was given. Each prompt that is served inside of a span is noted on it.

A caller gets the prompts of the recorder of its context: of that one's project and store.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from tracecore.alarm import wake_function
from tracecore.clock import monotonic_ns
from tracecore.context import INHERITED, POSITION
from tracecore.default import DEFAULT
from tracecore.errors import ConfigError, TracecoreError
from tracecore.open_span import OpenSpan
from tracecore.prompt_cache import Entry, Flight, Key, PromptCache, fresh_error
from tracecore.prompt_registry import REGISTRY, use_store
from tracecore.prompt_stamps import keep_stamp
from tracecore.prompts import PRODUCTION, PromptType
from tracecore.reporting import Voice, report, text_of_error
from tracecore.rollouts import choose
from tracecore.served_prompts import ServedPrompt, as_chosen, check_fallback, fallback_prompt

__all__ = [
    "Fallback",
    "ServedPrompt",
    "Wanted",
    "aget_prompt",
    "awarm_prompts",
    "get_prompt",
    "invalidate_prompts",
    "use_store",
    "warm_prompts",
]

Fallback: TypeAlias = str | Sequence[Mapping[str, Any]]
Wanted: TypeAlias = str | tuple[str, str | int]
"""A name, or a name with a label or a version."""

_LONGEST_NAME: Final = 1_000
_LONGEST_LABEL: Final = 200
_LONGEST_WAIT: Final = 86_400.0
"""Seconds that anybody waits at most; a thread cannot be told to wait much longer."""
_LONGEST_TIME: Final = 1e9
_WARMED_AT_ONCE: Final = 64
_voice: Final = Voice(monotonic_ns)


def get_prompt(
    name: str,
    *,
    version: int | None = None,
    label: str | None = None,
    type: PromptType | None = None,  # noqa: A002 - the name that everybody knows it by
    ttl: float | None = None,
    fallback: Fallback | None = None,
    timeout: float | None = None,
    sticky: str | int | None = None,
) -> ServedPrompt:
    """Return a prompt: by its version, or by a label, which is ``production`` unless one is named.

    What is known is served at once, and refreshed beside that once it is older than ``ttl`` seconds (0: it is asked for
    first). For what is not known it waits at most ``timeout`` seconds, in all; then ``fallback`` is served, a text or a
    list of messages. While it waits it blocks: inside an event loop use :func:`aget_prompt`. ``sticky`` names who
    always gets the same version of a label that is split between several; without it that is the current trace's user,
    session, or the trace itself. ``ttl`` and ``timeout`` are as configured, unless they are given.

    Raises:
        ConfigError: an argument cannot be, such as a version and a label both, or a fallback of the wrong type.
        NotFound: there is no such prompt, and no fallback; it says what exists nearby.
        BackendUnavailable: the store does not answer, nothing is known, and there is no fallback.
    """
    found = _hit(name, version, label, fallback) if ttl is None and (timeout is None or _is_time(timeout)) else None
    if found is not None and (type is None or type == found.type):
        return found
    asking = _Asking(
        _checked_key(name, version, label), type_=type, ttl=ttl, fallback=fallback, timeout=timeout, sticky=sticky
    )
    asked = asking.begin()
    while isinstance(asked, Flight):
        _wait(asking.cache, asked, asking.patience(asked))
        asked = asking.go_on(asked)
    return asked


async def aget_prompt(
    name: str,
    *,
    version: int | None = None,
    label: str | None = None,
    type: PromptType | None = None,  # noqa: A002 - as above
    ttl: float | None = None,
    fallback: Fallback | None = None,
    timeout: float | None = None,
    sticky: str | int | None = None,
) -> ServedPrompt:
    """Return a prompt as :func:`get_prompt` does, without blocking the loop.

    Raises:
        ConfigError: an argument cannot be.
        NotFound: there is no such prompt, and no fallback.
        BackendUnavailable: the store does not answer, nothing is known, and there is no fallback.
    """
    found = _hit(name, version, label, fallback) if ttl is None and (timeout is None or _is_time(timeout)) else None
    if found is not None and (type is None or type == found.type):
        return found
    asking = _Asking(
        _checked_key(name, version, label), type_=type, ttl=ttl, fallback=fallback, timeout=timeout, sticky=sticky
    )
    asked = asking.begin()
    while isinstance(asked, Flight):
        await _wait_in_loop(asking.cache, asked, asking.patience(asked))
        asked = asking.go_on(asked)
    return asked


def invalidate_prompts(name: str | None = None) -> None:
    """Have the store asked for a prompt, or for all, before it is served again; what is known, only if that fails."""
    REGISTRY.cache().invalidate(name)


def warm_prompts(prompts: Iterable[Wanted], *, timeout: float = 5.0) -> dict[Wanted, TracecoreError]:
    """Fetch prompts at the start, at most ``timeout`` seconds for all; return why, for those that are not known then.

    Each is a name, or a name with a label or a version. Blocks: inside an event loop use :func:`awarm_prompts`.

    Raises:
        ConfigError: a name, label, version or timeout cannot be, or the configuration is wrong.
    """
    warming = _Warming(prompts, timeout)
    while (flight := warming.next()) is not None:
        _wait(warming.cache, flight, warming.patience())
    return warming.failed


async def awarm_prompts(prompts: Iterable[Wanted], *, timeout: float = 5.0) -> dict[Wanted, TracecoreError]:
    """Fetch prompts as :func:`warm_prompts` does, without blocking the loop.

    Raises:
        ConfigError: a name, label, version or timeout cannot be, or the configuration is wrong.
    """
    warming = _Warming(prompts, timeout)
    while (flight := warming.next()) is not None:
        await _wait_in_loop(warming.cache, flight, warming.patience())
    return warming.failed


def _hit(name: str, version: int | None, label: str | None, fallback: Fallback | None) -> ServedPrompt | None:
    """Return what is known and fresh: what the long way would return, skipping what is known to hold."""
    holder: Any = REGISTRY.given or INHERITED.get().recorder or DEFAULT.recorder or REGISTRY
    cache: PromptCache | None = holder.prompts
    if cache is None:
        return None
    if label is None and version is None:
        label = PRODUCTION
    try:
        entry = cache.entries.get((name, version, label))
    except TypeError:  # of what cannot be hashed; the long way says what is wrong
        return None
    now = cache.clock()
    if entry is None or entry.quick_until <= now or (fallback is not None and fallback.__class__ is not entry.kind):
        return None
    entry.used = True
    if (position := POSITION.get()) is not None:
        _note(position, entry.served, now)
    return entry.served


def _note(position: Any, prompt: ServedPrompt, now_ns: int) -> None:
    """Note on the span of a position that a prompt was served there."""
    span = position if position.__class__ is OpenSpan else getattr(position, "span", None)
    if span is not None and not span.ended:
        span.extra = keep_stamp(span.extra, prompt, now_ns)


class _Asking:
    """Ask for one prompt on behalf of one caller, the long way: :meth:`begin`, and where it says so, wait and go on."""

    def __init__(
        self,
        key: Key,
        *,
        type_: PromptType | None,
        ttl: float | None,
        fallback: Fallback | None,
        timeout: float | None,
        sticky: str | int | None,
    ) -> None:
        self._key = key
        self._type: PromptType | None = _checked_type(type_)
        self._ttl_ns = None if ttl is None else int(_checked_seconds("ttl", ttl) * 1e9)
        self._wait = None if timeout is None else _checked_seconds("timeout", timeout)
        self._fallback = fallback
        self._sticky = _checked_sticky(sticky)
        self._split: Entry | None = None
        """The entry of a label that is split, while the version is waited for that was chosen."""
        if fallback is not None:
            check_fallback(fallback, self._type)

    def begin(self) -> ServedPrompt | Flight:
        """Return the prompt, or what is to be waited for.

        Raises:
            TracecoreError: as :func:`get_prompt`.
        """
        try:
            self.cache = REGISTRY.cache()
        except ConfigError as error:
            return self._without(error)
        self._now = self.cache.clock()
        self._wait_ns = self.cache.wait_ns if self._wait is None else int(self._wait * 1e9)
        return self._settled(self.cache.ask(self._key, self._ttl_ns))

    def patience(self, flight: Flight) -> float:
        """Return for how many seconds the flight is waited for."""
        left = (self._now + self._wait_ns - self.cache.clock()) / 1e9
        return min(self.cache.patience(flight, self._wait_ns), max(0.0, left))

    def go_on(self, flight: Flight) -> ServedPrompt | Flight:
        """Return the prompt, or what is to be waited for next.

        Raises:
            TracecoreError: as :func:`get_prompt`.
        """
        if not flight.answered and self._waits_for(flight):  # woken to look at it again
            return flight
        return self._settled(self.cache.outcome(flight), direct=flight.entry is not None)

    def _settled(self, found: Entry | Flight | TracecoreError, *, direct: bool = False) -> ServedPrompt | Flight:
        """Return what is served; ``direct`` is the answer that was waited for, which is not stale."""
        if isinstance(found, Flight):
            if self._waits_for(found):
                return found
            direct, found = found.entry is not None, self.cache.outcome(found)
        if self._split is not None:
            return self._chosen(self._split, found)
        if isinstance(found, Entry):
            self._check_type(found.served)
            return self._choice(found) if found.shares else self._noted(self._as_it_is(found, direct=direct))
        return self._without(found)

    def _waits_for(self, flight: Flight) -> bool:
        has_other = self._fallback is not None or self._split is not None or self._key in self.cache.entries
        in_vain = REGISTRY.host.is_here() or (flight.probing and has_other and not self.cache.may_have_copy(self._key))
        return not in_vain and self.patience(flight) > 0

    def _as_it_is(self, entry: Entry, *, direct: bool) -> ServedPrompt:
        ttl_ns = self.cache.ttl_ns if self._ttl_ns is None else self._ttl_ns
        if (direct and entry.served.source == "server") or self.cache.is_fresh(entry, ttl_ns, self.cache.clock()):
            return entry.served
        if entry.as_stale is None:
            entry.as_stale = replace(entry.served, stale=True)
        return entry.as_stale

    def _choice(self, entry: Entry) -> ServedPrompt | Flight:
        """Choose between the versions that a label is split between, and get the one that was chosen."""
        name, _, label = self._key
        version = choose(entry.shares, self._sticky or _unit_here(), (name, label or PRODUCTION))
        if version == entry.served.version:
            return self._noted(_variant(entry, entry.served))
        self._split = entry
        return self._settled(self.cache.ask((name, version, None)))

    def _chosen(self, split: Entry, found: Entry | TracecoreError) -> ServedPrompt:
        """Return the version that was chosen; where it cannot be had, the one that the label is on."""
        return self._noted(_variant(split, found.served if isinstance(found, Entry) else split.served))

    def _check_type(self, prompt: ServedPrompt) -> None:
        if self._type is not None and self._type != prompt.type:
            raise ConfigError("type", self._type, "code", f"'{prompt.type}', which prompt '{prompt.name}' is")
        if self._fallback is not None:
            check_fallback(self._fallback, prompt.type)

    def _without(self, error: TracecoreError) -> ServedPrompt:
        """Return the fallback.

        Raises:
            TracecoreError: there is none.
        """
        if self._fallback is None:
            raise fresh_error(error)
        if _voice.may_speak_of("fallback"):
            report("the fallback of prompt '%s' is served: %s", self._key[0], text_of_error(error))
        return self._noted(fallback_prompt(self._key[0], self._key[2], self._fallback, self._type))

    def _noted(self, prompt: ServedPrompt) -> ServedPrompt:
        position = POSITION.get()
        if position is not None:
            _note(position, prompt, monotonic_ns() if prompt.is_fallback else self.cache.clock())
        return prompt


class _Warming:
    """Ask for many prompts, and wait for one after the other until the time is up."""

    def __init__(self, prompts: Iterable[Wanted], timeout: float) -> None:
        seconds = _checked_seconds("timeout", timeout)
        self._keys = {wanted: _key_of(wanted) for wanted in prompts}
        self.cache = REGISTRY.cache()
        self._until = self.cache.clock() + int(seconds * 1e9)
        self.failed: dict[Wanted, TracecoreError] = {}
        self._left = deque(self._keys.items())
        self._asked: deque[tuple[Wanted, Entry | Flight | TracecoreError]] = deque()

    def patience(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, (self._until - self.cache.clock()) / 1e9)

    def next(self) -> Flight | None:
        """Return what is to be waited for next; None where that is nothing any more."""
        while self._ask_more():
            wanted, found = self._asked[0]
            if isinstance(found, Flight):
                if not found.answered and self.patience() > 0:
                    return found
                found = self.cache.outcome(found)
            self._asked.popleft()
            if isinstance(found, TracecoreError):
                self.failed[wanted] = fresh_error(found)
            else:
                versions = {share.version for share in found.shares} - {found.served.version}
                self._asked += [(wanted, self.cache.ask((found.served.name, version, None))) for version in versions]
        return None

    def _ask_more(self) -> bool:
        """Ask for some more, not for all at once: a store is asked a few questions at a time; others queue."""
        while self._left and len(self._asked) < _WARMED_AT_ONCE:
            wanted, key = self._left.popleft()
            self._asked.append((wanted, self.cache.ask(key)))
        return bool(self._asked)


def _variant(split: Entry, served: ServedPrompt) -> ServedPrompt:
    """Return a version as one of those that a label is split between; once for each, as it is served to many."""
    version = served.version or 0
    known = split.chosen.get(version)
    if known is None or known[0] is not served:
        known = split.chosen[version] = served, as_chosen(served, split.served.label, split.shares)
    return known[1]


def _unit_here() -> str:
    """Return for whom a prompt is, as far as the context knows: the user, the session or the trace; else nobody."""
    position, inherited = POSITION.get(), INHERITED.get()
    attributes = inherited.attributes
    if isinstance(position, OpenSpan):
        attributes = position.all_attributes
    elif position is not None and position.trace is not None:
        attributes = position.trace.attributes
    trace_id = "" if position is None else position.trace_id
    return attributes.user_id or attributes.session_id or trace_id or secrets.token_hex(8)


def _wait(cache: PromptCache, flight: Flight, seconds: float) -> None:
    """Block until a flight is answered, or the time is up."""
    event = threading.Event()
    if cache.listen(flight, event.set):
        try:
            event.wait(min(seconds, _LONGEST_WAIT))
        finally:
            cache.unlisten(flight, event.set)


async def _wait_in_loop(cache: PromptCache, flight: Flight, seconds: float) -> None:
    """Wait as :func:`_wait` does, without blocking the loop."""
    import anyio  # noqa: PLC0415 - a program without a loop does not pay for it

    event = anyio.Event()
    wake = wake_function(event.set)
    if cache.listen(flight, wake):
        try:
            with anyio.move_on_after(min(seconds, _LONGEST_WAIT)):
                await event.wait()
        finally:
            cache.unlisten(flight, wake)


def _key_of(wanted: object) -> Key:
    match wanted:
        case str():
            return _checked_key(wanted, None, None)
        case (str() as name, str() as label):
            return _checked_key(name, None, label)
        case (str() as name, int() as version):
            return _checked_key(name, version, None)
        case _:
            raise ConfigError("prompts", wanted, "code", "names, or pairs of a name with a label or a version")


def _checked_key(name: object, version: object, label: object) -> Key:
    if version is not None and label is not None:
        raise ConfigError("version and label", (version, label), "code", "one of the two: a version has many labels")
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ConfigError("name", name, "code", f"text of 1 to {_LONGEST_NAME} printable characters")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        raise ConfigError("version", version, "code", "a whole number from 1")
    if label is not None and not (isinstance(label, str) and 1 <= len(label) <= _LONGEST_LABEL and label.isprintable()):
        raise ConfigError("label", label, "code", f"text of 1 to {_LONGEST_LABEL} printable characters")
    return name, version, PRODUCTION if version is None and label is None else label


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST_TIME


def _checked_seconds(key: str, value: float) -> float:
    if not _is_time(value):
        raise ConfigError(key, value, "code", f"a number of seconds from 0 to {_LONGEST_TIME:,.0f}")
    return float(value)


def _checked_type(value: object) -> PromptType | None:
    match value:
        case None:
            return None
        case "text":
            return "text"
        case "chat":
            return "chat"
        case _:
            raise ConfigError("type", value, "code", "'text' or 'chat'")


def _checked_sticky(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ConfigError("sticky", value, "code", "the id of a user or a session: a text, or a whole number")
