"""What is of an experiment, and stands for an item of one, is found by an index over a key in ``extra``.

Hardly any observation is of an experiment, so that a column would be NULL in nearly all rows. The key stands at the
beginning of the packed fields, at places that are always the same: there both databases can look without reading JSON,
in the very expressions that the indexes of the migrations hold. An id is any text and is hashed for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from tracecore.backend import ObservationQuery
from tracecore.records import Observation

__all__ = ["OF_EXPERIMENT", "index_for", "key_of", "parts_of"]

OF_EXPERIMENT: Final = 'substr(o.extra, 1, 19) = \'{"experiment_key":"\''
_WHICH: Final = "substr(o.extra, 20, 32) = ?"
_ITEM: Final = "substr(o.extra, 52, 1) = 'i'"


def key_of(record: Observation) -> str | None:
    """Return the key of an observation: 32 characters for its experiment, and whether it stands for an item."""
    said = record.experiment
    if said is None:
        return None
    return _hashed(said.id) + ("i" if said.item_root_span_id == record.span_id else "-")


def parts_of(query: ObservationQuery) -> Iterator[tuple[str, list[Any]]]:
    """Yield the conditions on ``observations o``, each with the values of its marks."""
    if query.experiment_id is not None or query.experiment_items:
        # Said in another way than the indexes do, so that none of them is taken where a trace is fewer.
        yield OF_EXPERIMENT if query.trace_id is None else f"({OF_EXPERIMENT}) IS TRUE", []
    if query.experiment_id is not None:
        yield _WHICH, [_hashed(query.experiment_id)]
    if query.experiment_items:
        yield _ITEM, []


def index_for(query: ObservationQuery) -> str | None:
    """Return the index that a list follows for these conditions; None where there are none, or a trace is fewer."""
    if query.trace_id is not None or not (query.experiment_items or query.experiment_id is not None):
        return None
    return "tc_observations_experiment_items" if query.experiment_id is None else "tc_observations_by_experiment"


def _hashed(experiment_id: str) -> str:
    return hashlib.sha256(experiment_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
