"""The operations of the server, one noun a file.

A module of operations is listed in ``EVERY``, those that are asked most often first: paths are tried in this order.
"""

from __future__ import annotations

from typing import Final

from tracecore.server.api import (
    annotation_queues,
    api_keys,
    comments,
    dataset_items,
    dataset_runs,
    datasets,
    description,
    experiments,
    health,
    ingestion,
    legacy_scores,
    media,
    metrics,
    models,
    observations,
    otlp,
    projects,
    prompts,
    score_configs,
    score_lists,
    scores,
    sessions,
    traces,
)
from tracecore.server.operations import Operations

__all__ = ["EVERY"]

EVERY: Final[tuple[Operations, ...]] = (
    otlp.operations,
    ingestion.operations,
    observations.operations,
    prompts.operations,
    dataset_items.operations,
    datasets.operations,
    dataset_runs.operations,
    experiments.operations,
    media.operations,
    scores.operations,
    score_lists.operations,
    legacy_scores.operations,
    sessions.operations,
    score_configs.operations,
    traces.operations,
    metrics.operations,
    comments.operations,
    annotation_queues.operations,
    models.operations,
    projects.operations,
    api_keys.operations,
    health.operations,
    description.operations,
)
"""Every group of operations."""
