"""The errors of managing; capturing never raises.

Each class answers what the caller should do next::

    TracecoreError
    ├── ConfigError             fix the key, the value or its source
    │   └── MissingDriver       install the extra that is named
    ├── BackendError
    │   ├── BackendUnavailable  the same call may succeed later
    │   │   └── DiskFull        once there is space
    │   └── BackendRejected     the same call will never succeed
    ├── NotFound                the thing asked for is not there
    ├── Conflict                somebody else changed it first
    ├── AccessDenied            other credentials are needed
    └── Closed                  open a new one

The sentence of each error is built in its constructor from facts, so that no call site can phrase it badly.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessDenied",
    "BackendError",
    "BackendRejected",
    "BackendUnavailable",
    "Closed",
    "ConfigError",
    "Conflict",
    "DiskFull",
    "MissingDriver",
    "NotFound",
    "TracecoreError",
]


class TracecoreError(Exception):
    """Catch every error that tracecore raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes as text and attributes: the arguments of ``__init__`` are others."""
        return _made_again, (type(self), self.args), vars(self)


class ConfigError(TracecoreError):
    """Report a setting that cannot be used: its key, value, source and what was expected."""

    def __init__(self, key: str, value: object, source: str, expected: str) -> None:
        super().__init__(f"{key} = {_shown(value)} (from {source}): expected {expected}")
        self.key = key
        self.value = value
        self.source = source
        self.expected = expected


class MissingDriver(ConfigError):
    """Report a backend whose driver is not installed, and the extra that brings it."""

    def __init__(self, scheme: str, extra: str, source: str) -> None:
        super().__init__("backend", f"{scheme}:", source, f"its driver: pip install 'tracecore[{extra}]'")
        self.scheme = scheme
        self.extra = extra


class BackendError(TracecoreError):
    """Report that a backend did not do what was asked: what happened, and what to do next."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class BackendUnavailable(BackendError):
    """Report a failure that may pass: the same batch may be written again later, after ``retry_after`` seconds."""

    def __init__(self, what: str, remedy: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(what, remedy)
        self.retry_after = retry_after


class DiskFull(BackendUnavailable):
    """Report that there is no space: what is lost for it is counted apart."""


class BackendRejected(BackendError):
    """Report a refusal that will not pass: the same batch will never be accepted."""


class NotFound(TracecoreError):
    """Report that a named thing does not exist."""

    def __init__(self, kind: str, name: str, remedy: str = "") -> None:
        super().__init__(f"no {kind} {_shown(name)}" + (f"; {remedy}" if remedy else ""))
        self.kind = kind
        self.name = name
        self.remedy = remedy


class Conflict(TracecoreError):
    """Report that somebody else changed the same thing first."""


class AccessDenied(TracecoreError):
    """Report that the credential does not permit what was asked."""


class Closed(TracecoreError):
    """Report use of something that has been closed."""


def _made_again(cls: type[TracecoreError], args: tuple[object, ...]) -> TracecoreError:
    error = cls.__new__(cls)
    error.args = args
    return error


def _shown(value: object) -> str:
    """Show a value on one line, at most 200 characters, without control characters."""
    text = value if isinstance(value, str) else repr(value)
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
    return f"'{printable}'" if isinstance(value, str) else printable
