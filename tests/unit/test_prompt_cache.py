"""The life of what is known of a prompt: fresh, stale, refreshed, missing, failed; with a clock that a test sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt_stores import a_prompt, cache_of
from tracecore.errors import BackendRejected, BackendUnavailable, NotFound, TracecoreError
from tracecore.prompt_cache import Entry, Flight, Key
from tracecore.prompts import Graph, Part, Share

KEY: Key = ("greeting", None, "production")
SECOND = 1_000_000_000


def known(found: object) -> Entry:
    """Return an entry that can be served now."""
    assert isinstance(found, Entry), found
    return found


def begun(found: object) -> Flight:
    """Return a flight that is to be waited for."""
    assert isinstance(found, Flight), found
    return found


def test_what_is_not_known_is_asked_for_once() -> None:
    """Whoever asks meanwhile waits for the same flight, and is woken by its end."""
    cache, flights, _ = cache_of()
    first, second = begun(cache.ask(KEY)), begun(cache.ask(KEY))
    assert first is second
    assert flights == [first]
    told: list[int] = []
    assert cache.listen(first, lambda: told.append(1))
    cache.land(first, a_prompt())
    assert told == [1]
    assert known(cache.outcome(first)).served.source == "server"
    assert not cache.listen(first, lambda: told.append(2))


def test_fresh_is_served_and_stale_is_refreshed() -> None:
    """Up to its time nobody asks; after it the old is served, and one flight brings the new."""
    cache, flights, clock = cache_of(ttl=60)
    cache.land(begun(cache.ask(KEY)), a_prompt(version=1))
    clock.now += 60 * SECOND - 1
    assert known(cache.ask(KEY)).served.version == 1
    assert len(flights) == 1
    clock.now += 1
    assert known(cache.ask(KEY)).served.version == 1
    assert known(cache.ask(KEY)).served.version == 1
    assert len(flights) == 2
    cache.land(flights[1], a_prompt(version=2))
    assert known(cache.ask(KEY)).served.version == 2
    assert len(flights) == 2


def test_a_version_stays_fresh() -> None:
    """By its number a prompt is never asked for again."""
    cache, flights, clock = cache_of()
    cache.land(begun(cache.ask(("greeting", 3, None))), a_prompt(version=3))
    clock.now += 10**6 * SECOND
    assert known(cache.ask(("greeting", 3, None))).served.version == 3
    assert len(flights) == 1


def test_a_version_with_others_in_it_does_not() -> None:
    """What is inserted by label may change, and so may the prompt that it is in: with time, or by news of it."""
    part = Part("footer", 1, "f")
    graph = Graph(Part("greeting", 3, "g"), {"g": [part]})
    cache, flights, clock = cache_of(ttl=60)
    cache.land(begun(cache.ask(("greeting", 3, None))), a_prompt(version=3, graph=graph))
    assert cache.news({"other"}) == []
    assert cache.news({"footer"}) == [("greeting", 3, None)]
    cache.ask(("greeting", 3, None))
    cache.land(flights[1], a_prompt(version=3, graph=graph))
    clock.now += 61 * SECOND
    cache.ask(("greeting", 3, None))
    assert len(flights) == 3


def test_last_known_is_served_for_ever() -> None:
    """However often the refresh fails, what is known goes on being served; pauses grow, and are kept."""
    cache, flights, clock = cache_of(ttl=60)
    cache.land(begun(cache.ask(KEY)), a_prompt())
    times: list[int] = []
    for _ in range(100_000):
        clock.now += SECOND // 10
        before = len(flights)
        assert known(cache.ask(KEY)).served.version == 1
        if len(flights) > before:
            cache.fail(flights[-1], OSError("nobody is there"))
            times.append(clock.now)
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[:5] == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND]
    assert set(pauses[5:]) == {30 * SECOND}


def test_nobody_waits_twice_for_the_same_failure() -> None:
    """In the pause after a failure all are told at once, of every key; then one question shows whether it is over."""
    cache, flights, clock = cache_of()
    cache.fail(begun(cache.ask(KEY)), BackendUnavailable("away"))
    other: Key = ("other", None, "production")
    for key in (KEY, other):
        assert isinstance(cache.ask(key), BackendUnavailable)
    assert len(flights) == 1
    clock.now += SECOND
    probe = begun(cache.ask(other))
    assert probe.probing
    assert isinstance(cache.ask(("third", None, "production")), BackendUnavailable)
    cache.land(probe, a_prompt("other"))
    assert begun(cache.ask(("third", None, "production"))).probing is False


def test_waiting_in_vain_counts_as_a_failure_of_the_store() -> None:
    """Where one has waited for as long as anybody does, the next does not begin to, whatever he asks for."""
    cache, _, clock = cache_of(wait=1.0)
    flight = begun(cache.ask(KEY))
    clock.now += SECOND // 2
    assert cache.patience(flight, SECOND) == 0.5
    clock.now += SECOND // 2
    assert cache.patience(flight, SECOND) == 0
    assert isinstance(cache.outcome(flight), BackendUnavailable)
    assert isinstance(cache.ask(("other", None, "production")), BackendUnavailable)
    cache.land(flight, a_prompt())
    assert known(cache.ask(KEY)).served.version == 1, "a late answer is good for the next"
    assert begun(cache.ask(("other", None, "production"))).probing is False


def test_a_short_patience_says_nothing_of_the_store() -> None:
    """Who waits less than is usual, or not at all, does not make others stop asking."""
    for wait in (1.0, 0.0):
        cache, _, clock = cache_of(wait=wait)
        flight = begun(cache.ask(KEY))
        clock.now += SECOND // 10
        assert isinstance(cache.outcome(flight), BackendUnavailable)
        begun(cache.ask(("other", None, "production")))


def test_one_prompt_that_cannot_be_read_is_one_prompt() -> None:
    """An error that is no failure of the store keeps nobody from asking for another prompt."""
    cache, _, clock = cache_of()
    cache.fail(begun(cache.ask(KEY)), ZeroDivisionError("in a plug-in"))
    assert "ZeroDivisionError" in str(cache.ask(KEY))
    begun(cache.ask(("other", None, "production")))
    clock.now += SECOND
    assert begun(cache.ask(KEY)).probing


@pytest.mark.parametrize("raised", [NotFound("prompt", "x", "y"), BackendUnavailable("away"), BackendRejected("no")])
def test_what_is_remembered_of_a_failure_is_what_it_says(raised: TracecoreError) -> None:
    """A stack holds all that was read on the way, and a thousand failures are remembered."""
    cache, _, _ = cache_of()
    flight = begun(cache.ask(KEY))
    try:
        raise raised from OSError("a cause has a stack, too")
    except TracecoreError as error:
        cache.fail(flight, error)
    for known in (cache.outcome(flight), cache.ask(KEY)):
        assert isinstance(known, type(raised))
        assert str(known) == str(raised)
        assert (known.__traceback__, known.__cause__, known.__context__) == (None, None, None)


def test_a_prompt_that_is_gone_is_not_served() -> None:
    """The store's word that there is none ends what was known, and is itself remembered for two seconds."""
    cache, flights, clock = cache_of(ttl=60)
    cache.land(begun(cache.ask(KEY)), a_prompt())
    clock.now += 61 * SECOND
    known(cache.ask(KEY))
    cache.fail(flights[1], NotFound("prompt", "greeting"))
    assert isinstance(cache.ask(KEY), NotFound)
    clock.now += 2 * SECOND - 1
    assert isinstance(cache.ask(KEY), NotFound)
    assert len(flights) == 2
    clock.now += 1
    begun(cache.ask(KEY))


def test_with_no_time_to_live_the_store_is_always_asked() -> None:
    """Each call waits for an answer; where none comes, what is known is served; a missing prompt is asked for again."""
    cache, flights, _ = cache_of()
    cache.land(begun(cache.ask(KEY, 0)), a_prompt(version=1))
    cache.land(begun(cache.ask(KEY, 0)), a_prompt(version=2))
    cache.fail(begun(cache.ask(KEY, 0)), ValueError())
    assert known(cache.ask(KEY, 0)).served.version == 2
    cache.fail(begun(cache.ask(("none", None, "production"))), NotFound("prompt", "none"))
    begun(cache.ask(("none", None, "production"), 0))
    assert len(flights) == 5


def test_a_time_of_ones_own() -> None:
    """Who gives a time to live gets what is younger than that, whatever is configured."""
    cache, flights, clock = cache_of(ttl=60)
    cache.land(begun(cache.ask(KEY)), a_prompt())
    clock.now += 10 * SECOND
    known(cache.ask(KEY, 11 * SECOND))
    assert len(flights) == 1
    known(cache.ask(KEY, 10 * SECOND))
    assert len(flights) == 2
    clock.now += 100 * SECOND
    known(cache.ask(KEY, 1_000 * SECOND))
    assert len(flights) == 2


def test_invalidation_asks_before_anything_is_served() -> None:
    """What was known is served only if the store cannot say anything; a flight that began before does not count."""
    cache, flights, _ = cache_of()
    cache.land(begun(cache.ask(KEY)), a_prompt(version=1))
    cache.land(begun(cache.ask(("greeting", 1, None))), a_prompt(version=1))
    cache.land(begun(cache.ask(("other", 1, None))), a_prompt("other"))
    cache.invalidate("greeting")
    begun(cache.ask(("greeting", 1, None)))
    known(cache.ask(("other", 1, None)))
    before = begun(cache.ask(KEY))
    cache.invalidate()
    after = begun(cache.ask(KEY))
    assert after is not before
    cache.land(before, a_prompt(version=1))
    assert cache.ask(KEY) is after
    cache.land(after, a_prompt(version=2))
    assert known(cache.ask(KEY)).served.version == 2
    cache.invalidate("greeting")
    cache.fail(begun(cache.ask(KEY)), OSError())
    assert known(cache.ask(KEY)).served.version == 2, "it cannot be asked"
    assert flights


def test_news_makes_stale_what_it_is_about() -> None:
    """It is served meanwhile, and what was asked for before the news is no answer to it; so it is with versions."""
    cache, flights, _ = cache_of()
    for key, prompt in ((KEY, a_prompt()), (("greeting", 1, None), a_prompt()), (("b", None, "x"), a_prompt("b"))):
        cache.land(begun(cache.ask(key)), prompt)
    version = ("greeting", 1, None)
    assert cache.news({"greeting"}) == [KEY, version]
    assert known(cache.ask(KEY)).served.version == 1
    assert cache.news({"greeting"}) == [KEY, version]
    cache.refresh([KEY])
    assert len(flights) == 5
    assert cache.land(flights[4], a_prompt(version=2)) is True
    assert cache.land(flights[3], a_prompt(version=1)) is False, "older than the news"
    assert known(cache.ask(KEY)).served.version == 2
    assert set(cache.news(None)) == {KEY, version, ("b", None, "x")}


def test_news_of_what_is_inserted_reaches_a_flight() -> None:
    """Whoever brings a prompt does not know before it is there that something inserted has changed meanwhile."""
    cache, _, _ = cache_of()
    flight = begun(cache.ask(KEY))
    assert cache.news({"footer"}) == []
    graph = Graph(Part("greeting", 1, "g"), {"g": [Part("footer", 1, "f")]})
    assert cache.land(flight, a_prompt(graph=graph)) is False


def test_what_was_asked_before_anybody_listened_is_not_trusted() -> None:
    """A change in between would never be told of."""
    cache, flights, clock = cache_of()
    cache.land(begun(cache.ask(KEY)), a_prompt())
    clock.now += 1
    cache.land(begun(cache.ask(("b", None, "x"))), a_prompt("b"))
    cache.distrust_before(clock.now)
    known(cache.ask(("b", None, "x")))
    assert len(flights) == 2
    known(cache.ask(KEY))
    assert len(flights) == 3


def test_what_was_under_way_when_somebody_began_to_listen_is_not_trusted() -> None:
    """The store may have answered before the change, and its answer come after the feed has begun."""
    cache, _, clock = cache_of()
    early, unasked = begun(cache.ask(KEY)), begun(cache.ask(("b", None, "x")))
    early.asked_ns, unasked.asked_ns = clock.now, 0
    clock.now += 1
    cache.distrust_before(clock.now)
    unasked.asked_ns = clock.now
    assert not cache.land(early, a_prompt())
    assert cache.land(unasked, a_prompt("b"))


def test_a_copy_from_the_disk_is_served_until_the_store_answers() -> None:
    """It answers whoever waits, is refreshed by the same flight, and never takes the place of what the store said."""
    cache, flights, _ = cache_of()
    flight = begun(cache.ask(KEY))
    cache.land(flight, a_prompt(version=1), from_disk=True)
    assert flight.answered
    assert known(cache.outcome(flight)).served.source == "disk"
    assert known(cache.ask(KEY)).served.source == "disk"
    assert len(flights) == 1, "the same flight asks the store"
    cache.fail(flight, OSError())
    assert known(cache.ask(KEY)).served.source == "disk"
    cache.land(flight, a_prompt(version=2))
    cache.land(flight, a_prompt(version=1), from_disk=True)
    assert known(cache.ask(KEY)).served.version == 2


def test_copies_are_looked_for_while_the_store_is_away() -> None:
    """In the pause after a failure the disk is asked, once for each key, and the store is not."""
    cache, _, _ = cache_of()
    cache._copies = True
    cache.fail(begun(cache.ask(KEY)), OSError("away"))
    there, missing = (begun(cache.ask((name, None, "production"))) for name in ("there", "missing"))
    assert there.only_copy
    cache.land(there, a_prompt("there"), from_disk=True)
    assert known(cache.ask(there.key)).served.source == "disk"
    cache.no_copy(missing)
    assert missing.answered
    assert "away" in str(cache.outcome(missing))
    assert isinstance(cache.ask(missing.key), BackendUnavailable)
    assert cache.flights() == []


@pytest.mark.parametrize(
    "answer", [None, "text", {"name": "greeting"}, a_prompt("other"), a_prompt(version=5), a_prompt(content=5)]
)
def test_what_is_no_answer_is_refused(answer: object) -> None:
    """A store that answers with something else, or with another prompt, has not answered."""
    cache, _, _ = cache_of()
    with pytest.raises(BackendRejected):
        cache.land(begun(cache.ask(("greeting", 4, None))), answer)  # type: ignore[arg-type]  # what is tested


def test_it_holds_so_many_and_those_in_use() -> None:
    """Beyond its bound it forgets what was not used for longest."""
    cache, _, _ = cache_of(items=10)
    for number in range(10_000):
        cache.land(begun(cache.ask((f"p{number}", None, "x"))), a_prompt(f"p{number}"))
        assert len(cache.entries) <= 10
        if number:
            known(cache.ask(("p0", None, "x")))


def test_it_holds_so_many_bytes() -> None:
    """A few long prompts push others out; one that is longer than all may be stays alone."""
    cache, _, _ = cache_of(most_bytes=100_000)
    for number in range(50):
        cache.land(begun(cache.ask((f"p{number}", None, "x"))), a_prompt(f"p{number}", content="x" * 10_000))
        assert sum(entry.served.size for entry in cache.entries.values()) <= 100_000
    cache.land(begun(cache.ask(("big", None, "x"))), a_prompt("big", content="x" * 200_000))
    assert list(cache.entries) == [("big", None, "x")]


def test_questions_are_bounded() -> None:
    """A store that never answers is not asked for names without end."""
    cache, flights, _ = cache_of()
    found = [cache.ask((f"p{number}", None, "x")) for number in range(5_000)]
    assert len(flights) == 4_096
    assert isinstance(found[-1], BackendUnavailable)


def test_a_flight_that_is_lost_with_its_thread_is_begun_anew() -> None:
    """After a minute nobody can be making it: another is asked to."""
    cache, flights, clock = cache_of()
    lost = begun(cache.ask(KEY))
    clock.now += 61 * SECOND
    assert isinstance(cache.ask(KEY), BackendUnavailable), "it has failed"
    clock.now += SECOND
    assert begun(cache.ask(KEY)) is not lost
    assert len(flights) == 2


def test_a_flight_that_cannot_begin_has_failed() -> None:
    """Where no thread can be started, the caller hears of it at once."""
    cache, _, _ = cache_of()

    def launch(_: Flight) -> None:
        raise RuntimeError("can't start new thread")

    cache._launch = launch
    flight = begun(cache.ask(KEY))
    assert flight.answered
    assert "can't start new thread" in str(cache.outcome(flight))


def test_a_split_label_is_never_served_without_a_choice() -> None:
    """The quick way looks at one number, and that says: look closer."""
    cache, _, _ = cache_of()
    cache.land(begun(cache.ask(KEY)), a_prompt(shares=(Share(1, 1), Share(2, 1))))
    assert known(cache.ask(KEY)).quick_until == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(0, 40)),
        st.tuples(st.sampled_from(["land", "fail", "missing", "invalidate", "news"]), st.integers(0, 3)),
        st.tuples(st.just("ask"), st.sampled_from([None, 0, 30])),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_quick_way_is_the_long_way(steps: list[tuple[str, int | None]]) -> None:
    """Whatever happened before, what is served by its number alone is what the long way serves, without a flight."""
    cache, flights, clock = cache_of(ttl=60)
    for step, value in steps:
        pending = [flight for flight in flights if not flight.ended]
        match step:
            case "time":
                clock.now += (value or 0) * SECOND
            case "ask":
                cache.ask(KEY, None if value is None else value * SECOND)
            case "invalidate":
                cache.invalidate("greeting")
            case "news":
                cache.news({"greeting"})
            case "land" if pending:
                cache.land(pending[0], a_prompt(version=len(flights)))
            case _ if pending:
                cache.fail(pending[0], OSError() if step == "fail" else NotFound("prompt", "greeting"))
        entry = cache.entries.get(KEY)
        if entry is not None:
            quick = entry.quick_until > clock()
            assert quick == cache.is_fresh(entry, cache.ttl_ns, clock())
            before = len(flights)
            found = cache.ask(KEY)
            if quick:
                assert found is entry
                assert len(flights) == before
