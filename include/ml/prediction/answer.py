"""The answer as people and programs read it: the path, who made it, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from include.market.binance_wire import iso
from include.market.timeframes import DAY_MS
from include.ml.prediction.question import TIMEFRAME
from include.ml.price_path import HOUR_MS, TOLERANCE_PCT, price_path

if TYPE_CHECKING:
    from datetime import datetime

    from include.ml.light.champions import LightChampion
    from include.ml.light.forecast import Forecast
    from include.ml.prediction.question import Question

CONFIDENCE_MEANS = (
    f"probability, by the model's own forecast, that the price is within {TOLERANCE_PCT:g} % of predicted_price"
)
_HOLDOUT = ("bars", "accuracy", "baseline_accuracy", "skill", "skill_low", "skill_high", "edge")


def model_age_days(champion: LightChampion, now_ms: int) -> float:
    """Return how long ago, on the exchange's clock, the newest candle closed that the model was made with."""
    return (now_ms - champion.spec.data_end_ms) / DAY_MS


def describe(champion: LightChampion, forecast: Forecast, drift: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return the part of an answer that every question to this model shares until it is too old; JSON-able.

    `predictions` holds all 48 hours.

    :raises IntegrityError: when the forecast is no price; the champion is at fault.
    """
    record, spec = champion.record, champion.spec
    close_time_ms = forecast.open_time_ms + HOUR_MS
    path = price_path(forecast.close, close_time_ms, spec.quantile_horizons, forecast.log_return_quantiles)
    evaluation = record.evaluation
    return {
        "symbol": spec.symbol,
        "timeframe": TIMEFRAME,
        "model_type": spec.model_type,
        "model_id": record.id,
        "champion_version": champion.version,
        "model_age_days": round(model_age_days(champion, now_ms), 3),
        "trained_on_candles_until": iso(spec.data_end_ms),
        "current_price": forecast.close,
        "current_price_time": iso(close_time_ms),
        "probability_up": forecast.probability_up,
        "probability_up_means": _probability_means(spec.target, spec.label_horizon),
        "predictions": [point.to_dict() for point in path],
        "confidence_means": CONFIDENCE_MEANS,
        "holdout": {name: _finite(evaluation.get(name)) for name in _HOLDOUT},
        "edge": "edge shown" if evaluation.get("edge") is True else "no edge shown",
        "band_coverage_pct": {
            horizon: _finite(share) for horizon, share in (evaluation.get("quantile_coverage_pct") or {}).items()
        },
        "drift": dict(drift),
    }


def complete(
    described: Mapping[str, Any],
    question: Question,
    *,
    task_id: str,
    cached: bool,
    now: datetime,
    not_used: Mapping[str, str],
) -> dict[str, Any]:
    """Return the answer to one question: the first hours of a described path, and the run.

    :param not_used: why models that would have come first did not answer, by their ids.
    """
    return {
        "status": "success",
        "task_id": task_id,
        **described,
        "asked_model_type": question.model_type,
        "horizon_hours": question.hours,
        "predictions": described["predictions"][: question.hours],
        "not_used": dict(not_used),
        "cached": cached,
        "timestamp": now.isoformat(),
    }


def _probability_means(target: str, horizon: int) -> str:
    what = "the EMA12 of the close" if target == "trend" else "the close"
    return f"that {what} is higher in {horizon} hours"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
