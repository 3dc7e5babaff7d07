"""Methods: whatever a class makes of a function, it makes of the observed one."""

from __future__ import annotations

import abc
import functools
from collections.abc import Generator
from typing import Any, Final, cast

import anyio.lowlevel

from tracecore.testing.tracers.case import Group
from tracecore.testing.tracers.trial import Trial

__all__ = ["METHODS"]

METHODS: Final = Group("methods")


@METHODS.case("method * 2")
def a_method(trial: Trial) -> None:
    """A method is bound to its object, and knows it."""

    class Service:
        @trial.observed
        def method(self, value: int) -> tuple[Service, int]:
            trial.here("method")
            return self, value

    service = Service()
    trial.equal("the result", service.method(1), (service, 1))
    trial.same("what it is bound to", getattr(service.method, "__self__", None), service)
    trial.equal("the result through the class", Service.method(service, 2), (service, 2))


@METHODS.anywhere("method")
async def an_asynchronous_method(trial: Trial) -> None:
    """So is an asynchronous method."""

    class Service:
        @trial.observed
        async def method(self, value: int) -> tuple[Service, int]:
            await anyio.lowlevel.checkpoint()
            trial.here("method")
            return self, value

    service = Service()
    trial.equal("the result", await service.method(1), (service, 1))


@METHODS.case("method", needs=("generators",))
def a_generator_method(trial: Trial) -> None:
    """So is a method that is a generator function."""

    class Service:
        @trial.observed
        def method(self) -> Generator[Service, None, None]:
            trial.here("method")
            yield self

    service = Service()
    trial.equal("the items", list(service.method()), [service])


@METHODS.case("method * 2")
def a_class_method(trial: Trial) -> None:
    """Below ``@classmethod`` the function gets the class, that of the heir too."""

    class Service:
        @classmethod
        @trial.observed
        def method(cls) -> type:
            return cls

    class Heir(Service):
        pass

    trial.same("the class", Service.method(), Service)
    trial.same("the class of the heir", Heir().method(), Heir)


@METHODS.case("method * 2")
def a_static_method(trial: Trial) -> None:
    """Below ``@staticmethod`` the function gets nothing, through the class and through an object."""

    class Service:
        @staticmethod
        @trial.observed
        def method(value: int) -> int:
            return value

    trial.equal("the results", [Service.method(1), Service().method(2)], [1, 2])


@METHODS.case("of_class", needs=("bindings",))
def above_a_class_method(trial: Trial) -> None:
    """The decorator may stand above ``@classmethod``."""

    class Service:
        @classmethod
        def of_class(cls) -> type:
            return cls

    bound = vars(Service)["of_class"]
    Service.of_class = trial.observed(bound)  # type: ignore[method-assign]  # what a decorator above would do
    trial.same("the class", Service.of_class(), Service)


@METHODS.case("of_nobody", needs=("bindings",))
def above_a_static_method(trial: Trial) -> None:
    """The decorator may stand above ``@staticmethod``."""

    class Service:
        @staticmethod
        def of_nobody(value: int) -> int:
            return value

    bound = vars(Service)["of_nobody"]
    Service.of_nobody = trial.observed(bound)  # type: ignore[method-assign]  # what a decorator above would do
    trial.equal("the result", Service().of_nobody(1), 1)


@METHODS.case("computed")
def a_property(trial: Trial) -> None:
    """Below ``@property`` the function computes it."""

    class Service:
        @property
        @trial.observed
        def computed(self) -> int:
            return 42

    trial.equal("the value", Service().computed, 42)


@METHODS.case("computed")
def a_cached_property(trial: Trial) -> None:
    """Below ``functools.cached_property`` it is computed once."""

    class Service:
        @functools.cached_property
        @trial.observed
        def computed(self) -> object:
            return object()

    service = Service()
    trial.same("the second value", service.computed, service.computed)


@METHODS.case("""
    method
      method
""")
def a_method_that_calls_its_elder(trial: Trial) -> None:
    """``super()`` finds the observed method of the class above."""

    class Elder:
        @trial.observed
        def method(self) -> str:
            return "elder"

    class Heir(Elder):
        @trial.observed
        def method(self) -> str:
            return f"heir of {super().method()}"

    trial.equal("the result", Heir().method(), "heir of elder")


@METHODS.case("")
def an_abstract_method(trial: Trial) -> None:
    """A class whose abstract method is observed still cannot be made an object of."""

    class Abstract(abc.ABC):
        @trial.observed
        @abc.abstractmethod
        def method(self) -> None: ...

    made = False
    try:
        cast("Any", Abstract)()
        made = True
    except TypeError:
        pass
    trial.equal("whether it could be made", made, expected=False)


@METHODS.case("__call__")
def an_object_that_is_called(trial: Trial) -> None:
    """An observed ``__call__`` makes the calls of its objects spans."""

    class Service:
        @trial.observed
        def __call__(self, value: int) -> int:
            return value + 1

    trial.equal("the result", Service()(1), 2)


@METHODS.case("work")
def cached_calls(trial: Trial) -> None:
    """Below ``functools.lru_cache`` a call that is answered from the cache has no span."""

    @functools.lru_cache
    @trial.observed
    def work(value: int) -> int:
        return value + 1

    trial.equal("the results", [work(1), work(1)], [2, 2])


@METHODS.case("work")
def dispatched_calls(trial: Trial) -> None:
    """Observed functions can be registered with ``functools.singledispatch``."""

    @functools.singledispatch
    def dispatched(value: object) -> str:
        return f"object {value}"

    @trial.observed
    def work(value: int) -> str:
        trial.here("work")
        return f"number {value}"

    dispatched.register(int, work)
    trial.equal("the results", [dispatched(1), dispatched("x")], ["number 1", "object x"])
