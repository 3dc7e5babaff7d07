"""``get_prompt`` as callers know it: its arguments, fallbacks, splits, errors and what it notes; without a thread."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracecore
from tests.fakes import EVENT_LOOPS, ManualClock
from tests.prompt_stores import a_prompt
from tracecore.config import Config
from tracecore.errors import BackendUnavailable, ConfigError, NotFound
from tracecore.memory import MemoryBackend, MemoryData
from tracecore.open_span import OpenSpan
from tracecore.prompt_cache import Flight, PromptCache
from tracecore.prompt_registry import REGISTRY, _Given
from tracecore.prompting import _hit, aget_prompt, get_prompt, invalidate_prompts, use_store, warm_prompts
from tracecore.prompts import Prompt, Share, Variable
from tracecore.recorder import Recorder
from tracecore.served_prompts import ServedPrompt

CHAT = [{"role": "system", "content": "Be {{tone}}"}, {"type": "placeholder", "name": "history"}]


class Here:
    """Answer every flight at once, on the thread that asks, from a dict; what is not in it is not there."""

    def __init__(self, **settings: Any) -> None:
        self.prompts: dict[tuple[str, int | str], Prompt] = {}
        self.fails: Exception | None = None
        self.asked = 0
        self.clock = ManualClock()
        self.cache = PromptCache(
            self.launch, items=100, jitter=lambda _, high: high, clock=self.clock, **{"ttl": 60, "wait": 0, **settings}
        )

    def launch(self, flight: Flight) -> None:
        """Answer."""
        self.asked += 1
        flight.asked_ns = self.clock()
        name, version, label = flight.key
        found = self.prompts.get((name, version or label or ""))
        if self.fails is not None:
            self.cache.fail(flight, self.fails)
        elif found is None:
            self.cache.fail(flight, NotFound("prompt", name, "perhaps 'greeting'"))
        else:
            self.cache.land(flight, found)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Return a store that serves whoever asks."""
    made = Here()
    for version in (1, 2, 3):
        made.prompts["greeting", version] = a_prompt(version=version, content=f"v{version} {{{{name}}}}")
    made.prompts["greeting", "production"] = made.prompts["greeting", 3]
    made.prompts["greeting", "latest"] = made.prompts["greeting", 3]
    made.prompts["chat", "production"] = a_prompt("chat", content=CHAT)
    monkeypatch.setattr(REGISTRY, "given", _Given(made.cache))
    return made


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Make a recorder the default one."""
    recorder = Recorder(Config(), backend=MemoryBackend(MemoryData(), location="memory:", access="write"))
    recorder.begin()
    monkeypatch.setattr(tracecore.default._default, "recorder", recorder)
    yield recorder
    recorder.shutdown(0)


def stamps_of(span: Any) -> list[dict[str, Any]]:
    """Return what a span says of prompts."""
    said: Any = msgspec.json.decode(span.seal().metadata)
    return list(said["tracecore.prompts"])


def test_by_label_and_by_version(here: Here) -> None:
    """Production where nothing else is said; the same as that label by name; a version by its number."""
    first, again = get_prompt("greeting"), get_prompt("greeting", label="production")
    assert (first.version, first.source, first.label) == (3, "server", "production")
    assert (again.version, again.source, again.is_fallback) == (3, "memory", False)
    assert get_prompt("greeting", version=1).text == "v1 {{name}}"
    assert get_prompt("greeting", label="latest").label == "latest"
    assert here.asked == 3


def test_it_compiles(here: Here) -> None:
    """Values go in by name, and by a mapping where their names are arguments of the call."""
    here.prompts["odd", "production"] = a_prompt("odd", content="{{missing}} {{unknown}} {{name}}")
    assert get_prompt("greeting").compile(name="Ada") == "v3 Ada"
    assert get_prompt("odd").compile({"missing": 1, "unknown": 2}, name=3) == "1 2 3"
    history = [{"role": "user", "content": "{{tone}}"}]
    messages = get_prompt("chat").compile(tone="kind", history=history)
    assert messages == [{"role": "system", "content": "Be kind"}, *history]
    with pytest.raises(ConfigError, match=r"prompt 'greeting' version 3.*name"):
        get_prompt("greeting").compile()
    assert get_prompt("greeting").compile(missing="keep") == "v3 {{name}}"


def test_what_is_served_cannot_be_changed_for_others(here: Here) -> None:
    """The messages and the config are the caller's own; the object itself is frozen."""
    here.prompts["chat", "production"] = msgspec.structs.replace(
        a_prompt("chat", content=CHAT), config=msgspec.Raw(b'{"models":["a"]}'), variables={"tone": Variable()}
    )
    prompt: Any = get_prompt("chat")
    prompt.prompt[0]["content"] = "changed"
    prompt.prompt.clear()
    prompt.config["models"].append("b")
    assert (prompt.prompt, prompt.config) == (CHAT, {"models": ["a"]})
    with pytest.raises(AttributeError):
        prompt.name = "other"
    prompt.variables["tone"] = Variable("integer")
    assert prompt.variables == {"tone": Variable()}
    again = pickle.loads(pickle.dumps(copy.deepcopy(prompt)))  # noqa: S301 - our own bytes
    assert (again.messages, again.config, again.variables) == (CHAT, prompt.config, prompt.variables)
    assert get_prompt("chat").messages == CHAT
    assert get_prompt("greeting").messages == [{"role": "user", "content": "v3 {{name}}"}]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"version": 1, "label": "production"}, "version and label"),
        ({"version": 0}, "version"), ({"version": "1"}, "version"), ({"version": True}, "version"),
        ({"label": ""}, "label"), ({"label": 3}, "label"), ({"label": "x" * 201}, "label"),
        ({"label": "a\0"}, "label"), ({"label": ["a"]}, "label"),
        ({"name": ""}, "name"), ({"name": "x" * 2**20}, "name"), ({"name": None}, "name"),
        ({"name": "\ud800"}, "name"), ({"name": ["a"]}, "name"),
        ({"ttl": -1}, "ttl"), ({"ttl": float("nan")}, "ttl"), ({"ttl": "60"}, "ttl"), ({"ttl": True}, "ttl"),
        ({"timeout": -0.1}, "timeout"), ({"timeout": float("inf")}, "timeout"),
        ({"type": "image"}, "type"), ({"sticky": ""}, "sticky"), ({"sticky": 1.5}, "sticky"),
        ({"fallback": 5}, "fallback"), ({"fallback": ["text"]}, "fallback"), ({"fallback": b"x"}, "fallback"),
        ({"fallback": "text", "type": "chat"}, "fallback"), ({"fallback": [], "type": "text"}, "fallback"),
        ({"fallback": [{"content": object()}], "name": "none"}, "fallback"),
        ({"fallback": [{1: 2, object: 3}], "name": "none"}, "fallback"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(here: Here, arguments: dict[str, Any], named: str) -> None:
    """Each argument that makes no sense is named, also where a fallback is there, and however large it is."""
    arguments = {"name": "new", **arguments}
    with pytest.raises(ConfigError) as raised:
        get_prompt(**arguments)
    assert raised.value.key == named
    assert len(str(raised.value)) < 600


def test_types_are_told_from_what_is_known(here: Here) -> None:
    """A fallback of another type, or another type, is refused as soon as anybody knows what the prompt is."""
    for _ in range(2):
        with pytest.raises(ConfigError, match="text prompt"):
            get_prompt("greeting", fallback=CHAT)
        with pytest.raises(ConfigError, match="chat prompt"):
            get_prompt("chat", fallback="hello")
        with pytest.raises(ConfigError, match="'text', which prompt 'greeting' is"):
            get_prompt("greeting", type="chat")
    assert get_prompt("chat", fallback=tuple(CHAT)).version == 1
    assert get_prompt("chat", fallback=CHAT, type="chat").source == "memory"


def test_a_missing_prompt(here: Here) -> None:
    """It is an error that says what is near, or the fallback, of either type."""
    with pytest.raises(NotFound, match="perhaps 'greeting'"):
        get_prompt("greting")
    text = get_prompt("none", fallback="hello {{name}}")
    assert (text.version, text.id, text.is_fallback, text.compile(name="you")) == (None, None, True, "hello you")
    chat = get_prompt("none", fallback=CHAT)
    assert (chat.type, chat.prompt, chat.label) == ("chat", CHAT, "production")
    assert here.asked == 2, "it is remembered that they are missing"


def test_each_who_is_told_has_an_error_of_his_own(here: Here) -> None:
    """What is remembered must not gather the stacks of all who were told of it."""
    raised: list[NotFound] = []
    for _ in range(3):
        with pytest.raises(NotFound) as error:
            get_prompt("none")
        raised.append(error.value)
    assert len({id(error) for error in raised}) == 3
    assert str(raised[0]) == str(raised[2])


def test_the_log_hears_of_a_fallback_once(here: Here, caplog: pytest.LogCaptureFixture) -> None:
    """With the reason, and not for each who gets it."""
    tracecore.prompting._voice._next.clear()
    here.fails = BackendUnavailable("the server is away")
    for _ in range(10):
        assert get_prompt("none", fallback="x").is_fallback
    assert [record.getMessage() for record in caplog.records] == [
        "the fallback of prompt 'none' is served: the server is away"
    ]


def test_stale_is_served_and_said(here: Here, recording: Recorder) -> None:
    """Past its time, with a store that does not answer, the last known is served as stale."""
    get_prompt("greeting")
    here.clock.now += 61_000_000_000
    here.fails = OSError("away")
    with tracecore.span("work") as span:
        found = get_prompt("greeting", fallback="never")
        assert (found.version, found.stale, found.source) == (3, True, "memory")
        assert stamps_of(span) == [
            {
                "name": "greeting", "version": 3, "label": "production", "source": "memory", "age_ms": 61_000,
                "stale": True,
            }
        ]  # fmt: skip
        assert get_prompt("greeting") is found


def test_spans_say_what_was_served(here: Here, recording: Recorder) -> None:
    """The span that asks says it: the one inside of which it is, whatever else is open; a fallback is said, too."""
    with tracecore.span("outer") as outer:
        get_prompt("greeting")
        with tracecore.propagate_attributes(user_id="ada"), tracecore.generation("inner") as inner:
            get_prompt("greeting")
            get_prompt("none", fallback="x")
            record: Any = inner.seal()  # type: ignore[union-attr]  # it is recorded
            assert record.prompt_name == "none"
            assert record.prompt_version is None
            assert [one["source"] for one in stamps_of(inner)] == ["memory", "fallback"]
        assert [one["source"] for one in stamps_of(outer)] == ["server"]
    get_prompt("greeting")


def test_without_a_span_nothing_is_noted(here: Here, recording: Recorder) -> None:
    """Nor where sampling has left the trace out, or the span has ended."""
    tracecore.update_current_span()
    get_prompt("greeting")
    span = tracecore.span("ended")
    with span:
        span.end()
        get_prompt("greeting")
    assert isinstance(span, OpenSpan)
    assert span.extra is None


def test_a_fallback_is_said_once(here: Here, recording: Recorder) -> None:
    """However often it was served in a span, which has room for other prompts besides."""
    with tracecore.span("work") as span:
        for _ in range(50):
            get_prompt("none", fallback="x")
        get_prompt("none", label="beta", fallback="x")
        get_prompt("greeting")
        assert [(one["label"], one["source"]) for one in stamps_of(span)] == [
            ("production", "fallback"), ("beta", "fallback"), ("production", "server"),
        ]  # fmt: skip


def test_a_split_label(here: Here, recording: Recorder) -> None:
    """Each unit gets its version, by number and so only once from the store, and the span says between which."""
    shares = (Share(2, 1), Share(3, 3))
    here.prompts["greeting", "production"] = a_prompt(version=3, content="v3", shares=shares)
    count = Counter(get_prompt("greeting", sticky=unit).version for unit in range(2_000))
    assert 420 < count[2] < 580
    assert count[2] + count[3] == 2_000
    assert here.asked == 2
    found = [get_prompt("greeting", sticky="ada") for _ in range(5)]
    assert len({id(one) for one in found}) == 1
    with tracecore.span("work") as span:
        get_prompt("greeting", sticky="ada")
        [stamp] = stamps_of(span)
    assert (stamp["label"], stamp["split"]) == ("production", {"2": 1.0, "3": 3.0})
    assert stamp["version"] == found[0].version


def test_a_split_sticks_to_user_session_or_trace(here: Here, recording: Recorder) -> None:
    """The user first, then the session, then the trace; where none of them is known, anything."""
    shares = tuple(Share(version, 1) for version in (1, 2, 3))
    here.prompts["greeting", "production"] = a_prompt(version=3, shares=shares)

    def versions(count: int = 30) -> set[int | None]:
        return {get_prompt("greeting").version for _ in range(count)}

    def by_sticky(unit: str) -> set[int | None]:
        return {get_prompt("greeting", sticky=unit).version}

    assert versions(200) == {1, 2, 3}
    seen: set[int | None] = set()
    for user in map(str, range(20)):
        with tracecore.propagate_attributes(user_id=user, session_id="one"):
            assert versions() == by_sticky(user)
            with tracecore.span("inside"):
                assert versions() == by_sticky(user)
                seen |= versions()
        with tracecore.propagate_attributes(session_id=user), tracecore.span("inside"):
            assert versions() == by_sticky(user)
        with tracecore.span("of nobody") as span:
            assert versions() == by_sticky(span.trace_id)
            tracecore.update_current_trace(user_id=user)
            assert versions() == by_sticky(user)
    assert seen == {1, 2, 3}


def test_a_split_where_the_chosen_version_cannot_be_had(here: Here) -> None:
    """The version that the label is on is served: a rollout lets nobody down."""
    here.prompts["greeting", "production"] = a_prompt(version=3, content="v3", shares=(Share(3, 1), Share(9, 1)))
    served = {get_prompt("greeting", sticky=unit).version for unit in range(50)}
    assert served == {3}


def test_warming(here: Here) -> None:
    """What is asked for at the start is there afterwards, the versions of a split label too; what failed is said."""
    here.prompts["greeting", "beta"] = a_prompt(version=3, shares=(Share(2, 1), Share(3, 1)))
    failed = warm_prompts(["greeting", ("greeting", "beta"), ("greeting", 1), "none", ("chat", 7)])
    assert {key: type(error) for key, error in failed.items()} == {"none": NotFound, ("chat", 7): NotFound}
    before = here.asked
    for unit in range(50):
        get_prompt("greeting", label="beta", sticky=unit)
    get_prompt("greeting", version=1)
    assert here.asked == before
    for wrong in ([5], [("a", None)], [("a", "b", "c")], [("a", 0)]):
        with pytest.raises(ConfigError):
            warm_prompts(wrong)  # type: ignore[arg-type]  # what is tested


def test_invalidating(here: Here) -> None:
    """The next who asks gets what the store has then."""
    get_prompt("greeting")
    here.prompts["greeting", "production"] = here.prompts["greeting", 2]
    assert get_prompt("greeting").version == 3
    invalidate_prompts("greeting")
    assert get_prompt("greeting").version == 2


@pytest.mark.parametrize("loop", EVENT_LOOPS)
def test_awaiting_is_the_same(here: Here, loop: str) -> None:
    """In either loop the same prompt is served, and the same error raised."""
    import anyio

    async def asked() -> ServedPrompt:
        return await aget_prompt("greeting", version=2)

    assert anyio.run(asked, backend=loop).version == 2
    with pytest.raises(NotFound):
        anyio.run(partial(aget_prompt, "none"), backend=loop)
    with pytest.raises(ConfigError):
        anyio.run(partial(aget_prompt, "a", version=1, label="b"), backend=loop)


@given(
    st.lists(st.sampled_from(["ask", "ask 2", "time", "publish", "fail", "mend", "invalidate", "span"]), max_size=25),
    st.sampled_from([None, "text"]),
)
def test_the_quick_way_serves_what_the_long_way_would(steps: list[str], fallback: str | None) -> None:
    """Two caches that see the same are asked in the two ways, and serve the same, with the same questions."""
    quick, long = Here(), Here()
    number = 0

    def asked(one: Here, name: str) -> object:
        REGISTRY.given = _Given(one.cache)
        timeout = None if one is quick else 5.0  # with any but the usual, the long way is taken
        try:
            found = get_prompt(name, fallback=fallback, timeout=timeout)
        except (NotFound, BackendUnavailable) as error:
            return str(error)
        return found.version, found.text, found.stale, found.source, found.fetched_ns, one.asked

    try:
        for step in steps:
            number += 1
            for one in (quick, long):
                if step == "time":
                    one.clock.now += 25_000_000_000
                elif step == "publish":
                    one.prompts["greeting", "production"] = a_prompt(version=number)
                elif step in {"fail", "mend"}:
                    one.fails = OSError("away") if step == "fail" else None
                elif step == "invalidate":
                    one.cache.invalidate("greeting")
            name = "greeting" if step != "ask 2" else "other"
            assert asked(quick, name) == asked(long, name)
    finally:
        REGISTRY.given = None


def test_a_hit_changes_nothing_but_a_bit(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's lock is taken and nobody is asked, so that nothing can block it."""
    get_prompt("greeting")
    expected = get_prompt("greeting")
    monkeypatch.setattr(tracecore.prompt_cache.GUARD, "lock", None)
    for _ in range(3):
        assert get_prompt("greeting") is expected
        assert _hit("greeting", None, None, None) is expected


def test_the_wrong_configuration(monkeypatch: pytest.MonkeyPatch, in_directory: Callable[[], Any]) -> None:
    """It is an error that names the setting, and with a fallback no error at all; files are not read for each call."""
    in_directory()
    monkeypatch.setattr(tracecore.default._default, "recorder", None)
    monkeypatch.setattr(REGISTRY, "prompts", None)
    monkeypatch.setattr(REGISTRY, "_wrong", (None, 0))
    monkeypatch.setenv("TRACECORE_PROMPT_TTL_S", "-1")
    with pytest.raises(ConfigError, match="prompt_ttl_s"):
        get_prompt("greeting")
    monkeypatch.setattr(Config, "load", None)
    assert get_prompt("greeting", fallback="x").is_fallback
    with pytest.raises(ConfigError, match="prompt_ttl_s"):
        get_prompt("greeting")


def test_recorders_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with the same settings share a cache, and none sees the prompts of another project or another object."""
    monkeypatch.setattr(REGISTRY, "given", None)

    def cache_for(recorder: Recorder) -> PromptCache:
        monkeypatch.setattr(tracecore.default._default, "recorder", recorder)
        return REGISTRY.cache()

    def recorder(given: object = None, /, **settings: Any) -> Recorder:
        return Recorder(Config(**settings), backend=given)  # type: ignore[arg-type]  # a backend or None

    same = [cache_for(recorder(backend="memory:one", buffer_items=items)) for items in (1, 2)]
    assert same[0] is same[1]
    object_ = MemoryBackend(MemoryData(), location="memory:", access="write")
    others = [
        cache_for(recorder(backend="memory:one", project="b")), cache_for(recorder(backend="memory:two")),
        cache_for(recorder(object_)), cache_for(recorder(object_)), cache_for(recorder(backend="memory:")),
        cache_for(recorder(backend="memory:")), cache_for(recorder(backend="memory:one", prompt_ttl_s=5)),
        cache_for(recorder(backend="memory:one", prompts="memory:two")),
    ]  # fmt: skip
    assert len({id(cache) for cache in [*same, *others]}) == 1 + len(others)


def test_a_store_of_ones_own_takes_over_and_goes() -> None:
    """``use_store(None)`` gives everything back."""
    assert use_store(object()) is not None  # type: ignore[arg-type]  # nobody asks it
    assert REGISTRY.given is not None
    assert use_store(None) is None
    assert REGISTRY.given is None
