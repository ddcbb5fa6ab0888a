"""Clears away model files that killed runs left behind."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from include.errors import IntegrityError

if TYPE_CHECKING:
    from include.ml.model_files import ModelFileStore
    from include.ml.registry import ModelRegistry

MIN_AGE = timedelta(days=1)
"""Longer than any training may take between storing its file and registering it."""


def sweep_model_files(registry: ModelRegistry, files: ModelFileStore, now: datetime) -> list[str]:
    """Remove the files, at least a day old, that no registered model refers to; return their names.

    :raises IntegrityError: when the registry is empty although there are files: then the registry was lost, and
        the files are what is left of the models.
    """
    referenced = registry.referenced_files()
    if not referenced and files.count():
        raise IntegrityError(
            f"The registry of models is empty but {files.count()} model file(s) are stored: nothing was removed; "
            "restore the collection models from a backup"
        )
    return files.sweep(referenced, now - MIN_AGE)
