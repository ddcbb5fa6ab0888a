"""How far the market has moved away from what each champion was trained on, as evidence for the verdict.

Information only: drift alone is no reason to ask for a verdict. In nearly every week some features are above the
customary mark (see `include.ml.drift`), so what is told are those beyond the training's own weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.analyst.accuracy import ModelType
from include.trading.performance_model import Record


class DriftedFeature(Record):
    """A feature whose population stability index is unusual: above 95 % of the training's weeks (`usual_psi`)."""

    name: str
    psi: float
    usual_psi: float


class ModelDrift(Record):
    """The drift of one champion's features; `reason` says why it is not known.

    `compared` features, of which `above_mark` are above the threshold, and `unusual` beyond the training's weeks too,
    the largest first.
    """

    model_type: ModelType
    symbol: str
    timeframe: str
    bars: int
    threshold: float
    compared: int
    above_mark: int
    unusual: tuple[DriftedFeature, ...]
    reason: str | None


def model_drift(model_type: ModelType, symbol: str, timeframe: str, report: Mapping[str, Any]) -> ModelDrift:
    """Return the evidence of a report of `include.ml.drift.drift_report`."""
    return ModelDrift(
        model_type=model_type,
        symbol=symbol,
        timeframe=timeframe,
        bars=report["bars"],
        threshold=report["threshold"],
        compared=len(report["psi"]),
        above_mark=len(report["drifted"]),
        unusual=tuple(
            DriftedFeature(name=name, psi=report["psi"][name], usual_psi=report["usual_psi_95"][name])
            for name in report["unusual"]
        ),
        reason=report["reason"],
    )


def unknown_drift(model_type: ModelType, symbol: str, timeframe: str, threshold: float, reason: str) -> ModelDrift:
    """Return the evidence that there is none, and why."""
    return ModelDrift(
        model_type=model_type,
        symbol=symbol,
        timeframe=timeframe,
        bars=0,
        threshold=threshold,
        compared=0,
        above_mark=0,
        unusual=(),
        reason=reason,
    )
