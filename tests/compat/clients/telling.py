"""What every client program is made of: named cases, each of which returns what it did and what it read back.

Standard library only at module scope, for a program imports this before it configures its client.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["GROUPS", "case", "observations", "plain", "tell"]

GROUPS = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"
_cases: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Make a function, or a coroutine function, a case of the program under its name."""
    _cases[function.__name__] = function
    return function


def tell() -> None:
    """Run every case, or those named on the command line, and print a line of JSON for each."""
    for name, function in _cases.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            saw = asyncio.run(function()) if inspect.iscoroutinefunction(function) else function()
            line = {"case": name, "saw": plain(saw)}
        except Exception:  # noqa: BLE001 - the next case is told all the same
            line = {"case": name, "failed": traceback.format_exc()}
        sys.stdout.write(json.dumps(line, default=str) + "\n")
        sys.stdout.flush()


def plain(value: Any) -> Any:
    """Return a value with the typed client's models in it as what JSON has, under the names of the wire."""
    if hasattr(value, "model_dump"):
        return json.loads(value.model_dump_json(by_alias=True))
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def observations(client: Any, trace_id: str, **query: Any) -> list[Any]:
    """Return the observations of a trace with all their fields through the typed client, the oldest first."""
    client.flush()
    answer = client.api.observations.get_many(trace_id=trace_id, fields=GROUPS, limit=1000, **query)
    return [plain(one) for one in sorted(answer.data, key=lambda one: one.start_time)]
