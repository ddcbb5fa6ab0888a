"""Clears away model files, and plain weights, that killed runs left behind."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from include.errors import IntegrityError

if TYPE_CHECKING:
    from include.ml.light.weight_store import WeightStore
    from include.ml.model_files import ModelFileStore
    from include.ml.registry import ModelRegistry

MIN_AGE = timedelta(days=1)
"""Longer than any training may take between storing its file and registering it."""


def sweep_model_files(registry: ModelRegistry, files: ModelFileStore, now: datetime) -> list[str]:
    """Remove the files, at least a day old, that no registered model refers to; return their names.

    :raises IntegrityError: when the registry is empty although there are files: then the registry was lost, and
        the files are what is left of the models.
    """
    return files.sweep(_referenced(registry, files.count(), "model file(s)"), now - MIN_AGE)


def sweep_model_weights(registry: ModelRegistry, weights: WeightStore, now: datetime) -> list[str]:
    """Remove the plain weights, at least a day old, of model files that no registered model refers to.

    :returns: the names of those files.
    :raises IntegrityError: as :func:`sweep_model_files`.
    """
    return weights.sweep(_referenced(registry, weights.count(), "set(s) of plain weights"), now - MIN_AGE)


def _referenced(registry: ModelRegistry, stored: int, what: str) -> set[str]:
    referenced = registry.referenced_files()
    if not referenced and stored:
        raise IntegrityError(
            f"The registry of models is empty but {stored} {what} are stored: nothing was removed; "
            "restore the collection models from a backup"
        )
    return referenced
