"""The judge's recommendation in its own words, normalised to the three that have consequences."""

from __future__ import annotations

import re
from typing import Literal

from include.analyst.accuracy import MODEL_TYPES, ModelType

Recommendation = Literal["retrain", "wait", "optimize_parameters"]

WAIT = frozenset(
    {"WAIT", "NO_RETRAINING", "NO_RETRAIN", "NO_RETRAINING_NEEDED", "DO_NOT_RETRAIN", "NO_ACTION", "MONITOR", "HOLD"}
)
RETRAIN_ALL = frozenset({"RETRAIN_ALL", "RETRAIN_ALL_MODELS"})
OPTIMIZE = frozenset({"OPTIMIZE_PARAMETERS", "OPTIMISE_PARAMETERS", "OPTIMIZE", "OPTIMISE", "TUNE_PARAMETERS"})


def read_recommendation(word: str) -> tuple[Recommendation, tuple[ModelType, ...]] | None:
    """Return the normalised recommendation and the model types that the word itself names; None if unknown.

    >>> read_recommendation("RETRAIN_LSTM")
    ('retrain', ('lstm',))
    >>> read_recommendation("retrain")
    ('retrain', ())
    """
    normal = re.sub(r"[\s_-]+", "_", word.strip()).upper()
    if normal in WAIT:
        return "wait", ()
    if normal in OPTIMIZE:
        return "optimize_parameters", ()
    if normal in RETRAIN_ALL:
        return "retrain", MODEL_TYPES
    if normal in ("RETRAIN", "RETRAIN_MODELS"):
        return "retrain", ()
    match = re.fullmatch(
        r"RETRAIN_((?:LSTM|GRU|TRANSFORMER)(?:_(?:AND_)?(?:LSTM|GRU|TRANSFORMER))*)(?:_MODELS?)?", normal
    )
    if match is None:
        return None
    named = match.group(1).lower().split("_")
    return "retrain", tuple(kind for kind in MODEL_TYPES if kind in named)
