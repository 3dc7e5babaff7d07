"""Generators: the body runs inside of its own span, its consumer never does."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import closing, contextmanager
from contextvars import ContextVar, copy_context
from typing import Final

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.elsewhere import in_thread
from tracecore.testing.tracers.trial import Trial

__all__ = ["GENERATORS"]

GENERATORS: Final = Group("generators", "generators")

_variable: ContextVar[str] = ContextVar("of_a_program", default="nothing")


def _numbers(trial: Trial, amount: int = 3) -> Generator[int, None, None]:
    """Return an observed generator with a span around its items, and one in each step."""

    @trial.observed
    def numbers() -> Generator[int, None, None]:
        with trial.span("open"):
            for number in range(amount):
                with trial.span("step"):
                    trial.here("step")
                yield number
                trial.here("open")
        trial.here("numbers")

    return numbers()


@GENERATORS.case("""
    consumer
      numbers
        open
          step * 3
      consumed * 3
""")
def a_generator_exhausted(trial: Trial) -> None:
    """Between items, and after the last, the consumer's current span is its own; what it opens is its child."""
    with trial.span("consumer"):
        for _ in _numbers(trial):
            trial.here("consumer")
            with trial.span("consumed"):
                trial.here("consumed")
        trial.here("consumer")


@GENERATORS.case("""
    numbers
      open
        step * 3
    consumed * 3
""")
def a_generator_consumed_outside_of_every_span(trial: Trial) -> None:
    """A consumer without a span stays without one between items."""
    for _ in _numbers(trial):
        trial.here(None)
        with trial.span("consumed"):
            pass


@GENERATORS.case("""
    consumer
      numbers: cancelled
        open: cancelled
          step
      later
""")
def a_generator_left_early(trial: Trial) -> None:
    """A consumer that breaks out ends the generator's span, and its own is current."""
    with trial.span("consumer"):
        for _ in _numbers(trial):
            break
        trial.here("consumer")
        with trial.span("later"):
            pass


@GENERATORS.case("""
    consumer
      numbers: cancelled
        cleaning
""")
def a_generator_closed(trial: Trial) -> None:
    """What the body does when it is closed is still inside of its span."""

    @trial.observed
    def numbers() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            with trial.span("cleaning"):
                trial.here("cleaning")

    with trial.span("consumer"):
        with closing(numbers()) as running:
            trial.equal("the first item", next(running), 1)
        trial.here("consumer")


@GENERATORS.case("""
    consumer
      numbers: error
        open: error
          step
""")
def an_exception_thrown_into_a_generator(trial: Trial) -> None:
    """What is thrown in and not caught comes out again, the very same, and is the span's error."""
    with trial.span("consumer"):
        running = _numbers(trial)
        next(running)
        error = LookupError("thrown in")
        with trial.raises(error):
            running.throw(error)
        trial.here("consumer")


@GENERATORS.case("""
    consumer
      numbers
        caught
""")
def an_exception_handled_by_a_generator(trial: Trial) -> None:
    """A body that catches what is thrown in goes on inside of its span."""

    @trial.observed
    def numbers() -> Generator[str, None, None]:
        try:
            yield "before"
        except LookupError as error:
            with trial.span("caught"):
                trial.here("caught")
            yield f"caught {error.args[0]}"

    with trial.span("consumer"):
        running = numbers()
        trial.equal("the first item", next(running), "before")
        trial.equal("the answer", running.throw(LookupError("it")), "caught it")
        trial.here("consumer")
        trial.equal("the rest", list(running), [])


@GENERATORS.case("echo")
def values_sent_into_a_generator(trial: Trial) -> None:
    """What the consumer sends reaches the body."""

    @trial.observed
    def echo() -> Generator[object, object, None]:
        received: object = "begun"
        while received != "end":
            received = yield received

    running = echo()
    trial.equal("the items", [next(running), running.send(1), running.send("two")], ["begun", 1, "two"])
    stopped = False
    try:
        running.send("end")
    except StopIteration:
        stopped = True
    trial.equal("whether it stopped", stopped, expected=True)


@GENERATORS.case("""
    outer
      inner
""")
def the_return_value_of_a_generator(trial: Trial) -> None:
    """``yield from`` gives what the generator returns, and passes on its items."""

    @trial.observed
    def inner() -> Generator[int, None, str]:
        trial.here("inner")
        yield 1
        return "returned"

    @trial.observed
    def outer() -> Generator[int, None, str]:
        found = yield from inner()
        trial.here("outer")
        return found

    returned: list[str] = []

    def consumer() -> Generator[int, None, None]:
        returned.append((yield from outer()))

    trial.equal("the items", list(consumer()), [1])
    trial.equal("the value", returned, ["returned"])


@GENERATORS.case("""
    consumer
      numbers: error
""")
def a_generator_that_fails(trial: Trial) -> None:
    """An exception of the body ends the span as an error and reaches the consumer, the very same."""
    error = LookupError("in the middle")

    @trial.observed
    def numbers() -> Generator[int, None, None]:
        yield 1
        raise error

    with trial.span("consumer"):
        running = numbers()
        next(running)
        with trial.raises(error):
            next(running)
        trial.here("consumer")


@GENERATORS.case("numbers: error")
def stop_iteration_inside_of_a_generator(trial: Trial) -> None:
    """A body that raises StopIteration raises RuntimeError, as Python has it."""
    inside = StopIteration("inside")

    @trial.observed
    def numbers() -> Generator[int, None, None]:
        yield 1
        raise inside

    found: BaseException | None = None
    try:
        list(numbers())
    except RuntimeError as error:
        found = error.__cause__
    trial.same("the cause", found, inside)


@GENERATORS.case("""
    numbers: cancelled
      open: cancelled
        step
""")
def a_generator_dropped(trial: Trial) -> None:
    """A generator that is thrown away before its end ends its span when it is collected."""
    running = _numbers(trial)
    next(running)
    del running
    gc.collect()
    trial.here(None)


@GENERATORS.case("", "numbers: any", "numbers: any * 2")
def a_generator_never_started(trial: Trial) -> None:
    """A generator that is never stepped leaves no span open, whether or not it has one."""
    one, two = _numbers(trial), _numbers(trial)
    one.close()
    del two
    gc.collect()
    trial.here(None)


@GENERATORS.case("""
    consumer
      numbers
        open
          step * 3
      numbers
        open
          step * 3
""")
def generators_in_turn(trial: Trial) -> None:
    """Two generators that are stepped in turn have a tree each."""
    with trial.span("consumer"):
        for _ in zip(_numbers(trial), _numbers(trial), strict=True):
            trial.here("consumer")


@GENERATORS.case("""
    starter
      numbers
        open
          step * 4
    other
      later
""")
def a_generator_stepped_elsewhere(trial: Trial) -> None:
    """A generator that another span and another thread go on with stays in the tree where it began."""
    with trial.span("starter"):
        running = _numbers(trial, 4)
        next(running)

    def other() -> None:
        with trial.span("other"):
            next(running)
            trial.here("other")
            with trial.span("later"):
                pass

    copy_context().run(other)
    trial.here(None)
    trial.equal("the rest", in_thread(lambda: list(running)), [2, 3])


@GENERATORS.case("""
    starter
      numbers: cancelled
        open: cancelled
          step
    closer
      later
""")
def a_generator_closed_elsewhere(trial: Trial) -> None:
    """Whoever closes a generator that began elsewhere stays in the span that it is in."""
    with trial.span("starter"):
        running = _numbers(trial)
        next(running)

    def closer() -> None:
        with trial.span("closer"):
            running.close()
            trial.here("closer")
            with trial.span("later"):
                pass

    in_thread(closer)
    trial.here(None)


@GENERATORS.case("around: error")
def a_context_manager_made_of_a_generator(trial: Trial) -> None:
    """An exception in a block reaches the body of the observed generator that the context manager is made of."""
    error, seen = LookupError("in the block"), list[BaseException]()

    @contextmanager
    @trial.observed
    def around() -> Generator[int, None, None]:
        try:
            yield 1
        except LookupError as found:
            seen.append(found)
            raise

    with trial.raises(error), around() as value:
        trial.equal("the value", value, 1)
        raise error
    trial.equal("what the body saw", seen, [error])


@GENERATORS.case("words", needs=("variables",))
def context_variables_shared_with_a_generator(trial: Trial) -> None:
    """The body sees what its consumer sets between items, and the consumer what the body sets."""

    @trial.observed
    def words() -> Generator[str, None, None]:
        yield _variable.get()
        _variable.set("by the body")
        yield _variable.get()

    running = words()
    _variable.set("by the consumer")
    trial.equal("what the body sees", next(running), "by the consumer")
    next(running)
    trial.equal("what the consumer sees", _variable.get(), "by the body")
    trial.equal("the rest", list(running), [])
