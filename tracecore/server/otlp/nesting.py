"""Flat names as objects: ``0.content`` and ``0.role`` are the first element of a list, with two members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracecore.server.otlp.received import Value

__all__ = ["nested"]

_DEEPEST: Final = 16
"""Steps of a name that are looked at; the last holds what is left of it."""


def nested(flat: Mapping[str, Value]) -> Value:
    """Return what names with dots say together; names that are all numbers make a list, in their order.

    A value with no name is the whole, where there is nothing else. Where a name is both a value and the beginning of
    others, its value is called ``value``.
    """
    if len(flat) == 1 and "" in flat:
        return flat[""]
    if "." not in "".join(flat) and not any(map(str.isdigit, flat)):
        return dict(flat)
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        at = tree
        *steps, last = name.split(".", _DEEPEST)
        for step in steps:
            inside = at.setdefault(step, {})
            if not isinstance(inside, _Node):
                inside = at[step] = _Node({"value": inside} if inside != {} else {})
            at = inside
        held = at.get(last)
        if isinstance(held, _Node):
            held["value"] = value
        else:
            at[last] = value
    return _listed(tree)


class _Node(dict[str, Any]):
    """An object that names made, unlike one that is a value."""


def _listed(node: dict[str, Any]) -> dict[str, Any] | list[Any]:
    found = {name: _listed(value) if isinstance(value, _Node) else value for name, value in node.items()}
    if found and all(name.isascii() and name.isdigit() for name in found):
        return [found[name] for name in sorted(found, key=lambda name: (len(name.lstrip("0")), name.lstrip("0")))]
    return found
