"""Builds evidence for tests from trades, accuracies per day and a market."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from include.analyst.accuracy import AccuracyHistory, accuracy_histories
from include.analyst.evidence import Evidence, build_evidence
from include.analyst.market_conditions import MarketConditions, market_conditions
from include.market.candles import Candles
from include.trading.performance import analyse
from include.trading.trades import parse_trades
from tests.trading.engine_answers import NOW, week

HOUR_MS = 3_600_000
NOW_MS = int(NOW.timestamp() * 1000)

Day = tuple[int, int, float, float]

GOOD: list[Day] = [
    (6, 2, 4.6, -1.0), (5, 2, 4.4, -1.2), (6, 2, 4.5, -1.1), (5, 2, 4.7, -1.0),
    (6, 2, 4.4, -1.3), (5, 2, 4.6, -1.0), (5, 2, 4.5, -1.4),
]  # fmt: skip
POOR: list[Day] = [
    (4, 3, 2.0, -1.8), (3, 3, 2.1, -2.2), (4, 3, 1.9, -2.6), (3, 4, 2.0, -2.4),
    (3, 4, 2.2, -2.5), (3, 4, 2.0, -1.9), (3, 4, 1.8, -2.3),
]  # fmt: skip


def score_rows(
    accuracies: dict[str, list[float | None]], *, bars: int = 500, **changes: object
) -> list[dict[str, Any]]:
    """One row per model type and day, the last of them today."""
    rows = []
    for model_type, values in accuracies.items():
        for back, accuracy in enumerate(reversed(values)):
            at = NOW - timedelta(days=back)
            rows.append({
                "model_type": model_type, "symbol": "BTCUSDT", "timeframe": "1h", "model_id": f"{model_type}-1",
                "date": at.date().isoformat(), "timestamp": at,
                "accuracy": accuracy, "baseline_accuracy": 0.70,
                "skill": None if accuracy is None else accuracy - 0.70, "bars": bars, **changes,
            })  # fmt: skip
    return rows


def candles_of(
    *,
    hours: int = 200,
    calm: float = 0.002,
    last_day: float | None = None,
    volume_factor: float = 1.0,
    drift: float = 0.0,
) -> Candles:
    """Hourly candles up to now; the last 24 hours with their own volatility, volume and drift per hour."""
    steps = np.where(np.arange(hours) % 2 == 0, calm, -calm)
    if last_day is not None:
        steps[-24:] = np.where(np.arange(24) % 2 == 0, last_day, -last_day)
    steps[-24:] += drift
    close = 60_000 * np.exp(np.cumsum(steps))
    volume = np.full(hours, 100.0)
    volume[-24:] *= volume_factor
    times = NOW_MS - HOUR_MS * np.arange(hours, 0, -1, dtype=np.int64)
    return Candles("BTCUSDT", "1h", times, close, close * 1.001, close * 0.999, close, volume)


def market_of(**changes: Any) -> MarketConditions:
    return market_conditions(candles_of(**changes), NOW_MS)


def histories(**accuracies: list[float | None]) -> tuple[AccuracyHistory, ...]:
    return accuracy_histories(score_rows(accuracies))


def evidence_of(days: list[Day], accuracies: dict[str, list[float | None]] | None = None, **market: Any) -> Evidence:
    performance = analyse(parse_trades(week(*days)), NOW)
    rows = score_rows(
        accuracies if accuracies is not None else {"lstm": [0.72] * 7, "gru": [0.71] * 7, "transformer": [0.73] * 7}
    )
    return build_evidence(performance, accuracy_histories(rows), [market_of(**market)])
