"""Records drawn by hypothesis: every field of every class, from what the class itself says its fields may hold."""

from __future__ import annotations

import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import Raw, Struct, structs

from tracecore.codec import snapshot
from tracecore.records import ABSENT, Event, Generation, LedgerEntry, Record, Score, Session, Span

__all__ = ["RECORD_CLASSES", "drawn", "json_values", "records"]

RECORD_CLASSES: tuple[type[Record], ...] = (Span, Generation, Event, Session, Score, LedgerEntry)

Texts = st.SearchStrategy[str]


def json_values(texts: Texts) -> st.SearchStrategy[Any]:
    """Return values that JSON has, whose strings and names are among ``texts``."""
    scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), texts)
    return st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
        max_leaves=6,
    )


def drawn(cls: type[Struct], texts: Texts, **fixed: Any) -> st.SearchStrategy[Any]:
    """Return records of a class; ``fixed`` gives some fields one value, and every other one varies."""
    return st.builds(cls, **{**_fields(cls, texts), **{name: st.just(value) for name, value in fixed.items()}})


def records(texts: Texts, *, but: type[Struct] | None = None, **fixed: Any) -> st.SearchStrategy[Any]:
    """Return records of every class ``but`` one."""
    return st.one_of([drawn(cls, texts, **fixed) for cls in RECORD_CLASSES if cls is not but])


@cache
def _fields(cls: type[Struct], texts: Texts) -> dict[str, st.SearchStrategy[Any]]:
    hints = get_type_hints(cls)
    return {field.name: _of_type(hints[field.name], texts) for field in structs.fields(cls)}


def _of_type(hint: Any, texts: Texts) -> st.SearchStrategy[Any]:
    """Return what a field of this type may hold; a type that is new here is a mistake of this file."""
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: st.integers(0, 2**63 - 1),
        float: st.floats(-1e12, 1e12),
        bool: st.booleans(),
        type(None): st.none(),
        Raw: st.one_of(st.just(ABSENT), json_values(texts).map(snapshot)),
    }
    if hint in plain:
        return plain[hint]
    if isinstance(hint, type) and issubclass(hint, Struct):
        return drawn(hint, texts)
    origin, inside = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return st.one_of([_of_type(one, texts) for one in inside])
    if origin is Literal:
        return st.sampled_from(inside)
    if origin is tuple:
        return st.lists(_of_type(inside[0], texts), max_size=3).map(tuple)
    assert origin is dict, hint
    return st.dictionaries(_of_type(inside[0], texts), _of_type(inside[1], texts), max_size=3)
