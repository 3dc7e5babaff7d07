"""A rival of the standard library alone: it sends each span as a line of JSON when flushed, and tells no lies."""

from __future__ import annotations

import functools
import json
import urllib.request
from collections.abc import Callable
from typing import Any

from benchmarks.rivals.adapter import Rival

RIVAL = Rival(title="Honest", remark="Does what it says.", environment={"HONEST_URL": "{collector}/spans"})


class Honest:
    """Keep spans in a list and send them when flushed."""

    def __init__(self, collector: str) -> None:
        self.collector = collector
        self.spans: list[Any] = []

    def observed(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return the function with a span around each call."""

        @functools.wraps(function)
        async def traced(*args: Any) -> Any:
            result = await function(*args)
            self.spans.append([function.__name__, args, result])
            return result

        return traced

    observed_root = observed

    def flush(self) -> None:
        """Send what waits."""
        body = "\n".join(map(json.dumps, self.spans)).encode()
        self.spans.clear()
        urllib.request.urlopen(f"{self.collector}/spans", data=body).read()  # noqa: S310 - on this machine

    def close(self) -> None:
        """Do nothing."""


def start(collector: str) -> Honest:
    """Begin, and say so where a library would."""
    print("a banner on standard output")  # noqa: T201 - as libraries do
    return Honest(collector)
