"""One symbol's answer: the mean of its champions' forecasts, with everything that tells how far to believe it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from include.market.binance_wire import iso
from include.ml.bulk.signals import HORIZON_BARS, confidence_of, indicators_of, signal_of
from include.ml.drift import drift_report
from include.ml.light.champions import LightChampion
from include.ml.light.forecast import Forecast, SymbolFeatures
from include.ml.prediction.answer import model_age_days

NO_EDGE = "no edge shown"
MAX_DRIFTED = 5
"""Drifted features that are named; all of them are counted."""
MEDIAN = 1
"""Position of the 50 % quantile among a forecast's three."""

Opinion = tuple[LightChampion, Forecast]


def symbol_answer(
    opinions: Sequence[Opinion],
    missing: Mapping[str, str],
    features: SymbolFeatures,
    ticker_price: float | None,
    now_ms: int,
    psi_threshold: float,
) -> dict[str, Any]:
    """Return the answer, JSON-able, with the specified keys first.

    Several networks count equally: `probability_up` is the mean of their probabilities, the predicted price that of
    the mean of their median log returns over 8 bars. Both are rounded (4 and 6 decimals) before anything follows
    from them, so that the last bits of a float never decide about a signal or an order.

    :param opinions: at least one, each with a horizon of 8 bars (:func:`has_horizon`).
    :param missing: why networks that were asked for took no part.
    :param ticker_price: the exchange's last price; without one the newest close stands for it.
    """
    candles = features.candles
    close = float(candles.close[-1])
    closed_ms = int(candles.open_time[-1]) + candles.bar_ms
    probability = round(math.fsum(forecast.probability_up for _, forecast in opinions) / len(opinions), 4)
    log_return = round(math.fsum(_median(*opinion) for opinion in opinions) / len(opinions), 6)
    current = ticker_price or close
    predicted = close * math.exp(log_return)
    expected_return_pct = round((predicted / current - 1.0) * 100.0, 4)
    edge = all(champion.record.evaluation.get("edge") is True for champion, _ in opinions)
    return {
        "symbol": candles.symbol,
        "signal": signal_of(probability),
        "confidence": confidence_of(probability),
        "predicted_price": predicted,
        "current_price": current,
        "expected_return": expected_return_pct,
        "indicators": indicators_of(candles),
        "expected_return_pct": expected_return_pct,
        "probability_up": probability,
        "horizon_bars": HORIZON_BARS,
        "price_source": "ticker" if ticker_price else "candle_close",
        "candle_closed_at": iso(closed_ms),
        "edge": edge,
        "note": None if edge else NO_EDGE,
        "models": [_model(champion, forecast, now_ms) for champion, forecast in opinions],
        "models_missing": dict(missing),
        "drift": _drift(opinions, features, psi_threshold),
    }


def has_horizon(champion: LightChampion) -> bool:
    """Tell whether a model forecasts the horizon that the answer needs."""
    return HORIZON_BARS in champion.spec.quantile_horizons


def _median(champion: LightChampion, forecast: Forecast) -> float:
    return float(forecast.log_return_quantiles[champion.spec.quantile_horizons.index(HORIZON_BARS), MEDIAN])


def _model(champion: LightChampion, forecast: Forecast, now_ms: int) -> dict[str, Any]:
    record, evaluation = champion.record, champion.record.evaluation
    return {
        "model_type": record.model_type,
        "model_id": record.id,
        "version": champion.version,
        "probability_up": round(forecast.probability_up, 4),
        "trained_until": iso(champion.spec.data_end_ms),
        "age_days": round(model_age_days(champion, now_ms), 2),
        **{name: _number(evaluation.get(name)) for name in ("accuracy", "baseline_accuracy", "skill")},
        "edge": evaluation.get("edge") is True,
    }


def _drift(opinions: Sequence[Opinion], features: SymbolFeatures, threshold: float) -> dict[str, Any]:
    """Return the features that drifted most for any model (the highest PSI of each), and one sentence about all."""
    psi: dict[str, float] = {}
    unusual: set[str] = set()
    reasons: dict[str, str] = {}
    for champion, _ in opinions:
        report = drift_report(champion.record.feature_distribution, features.names, features.features, threshold)
        for name in report["drifted"]:
            psi[name] = max(psi.get(name, 0.0), round(report["psi"][name], 2))
        unusual.update(report["unusual"])
        if report["reason"]:
            reasons[champion.record.model_type] = report["reason"]
    ordered = dict(sorted(psi.items(), key=lambda item: (-item[1], item[0])))
    warnings = []
    if ordered:
        warnings = [
            f"{len(ordered)} feature(s) of the newest bars differ from the training (PSI above {threshold:g}), "
            f"{len(unusual)} of them more than 95 % of the training's weeks did; the most: {next(iter(ordered))}"
        ]
    named = dict(list(ordered.items())[:MAX_DRIFTED])
    return {"psi": named, "unusual": sorted(unusual & named.keys()), "warnings": warnings, "not_compared": reasons}


def _number(value: object) -> float | None:
    """Return a number of the registry, or None where it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return round(float(value), 4) if is_number else None  # type: ignore[arg-type]
