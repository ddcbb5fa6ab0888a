"""The specification's table of performance thresholds: one row per metric, its grade and its alert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["good", "warning", "critical", "not_available"]

MAX_DECIMALS = 6


@dataclass(frozen=True)
class Threshold:
    """One row: below `target` warns, below `critical` triggers the GPT-4 analysis."""

    status_key: str
    label: str
    target: float
    critical: float
    unit: str
    decimals: int


WIN_RATE = Threshold("win_rate_status", "Win rate", 70.0, 55.0, "%", 1)
AVG_PROFIT = Threshold("avg_profit_status", "Avg profit", 2.6, 1.5, "%", 1)
SHARPE_RATIO = Threshold("sharpe_status", "Sharpe ratio", 2.1, 1.0, "", 2)


def grade(threshold: Threshold, value: float | None) -> Status:
    """Return the grade of a value; without a value it is "not_available", which is never critical."""
    if value is None:
        return "not_available"
    if value < threshold.critical:
        return "critical"
    return "warning" if value < threshold.target else "good"


def alert(threshold: Threshold, value: float | None) -> str | None:
    """Return the alert for a value below target, else None.

    >>> alert(WIN_RATE, 52.3)
    '🔴 CRITICAL: Win rate 52.3% below 55% threshold!'
    """
    status = grade(threshold, value)
    if value is None or status not in ("critical", "warning"):
        return None
    if status == "critical":
        return f"🔴 CRITICAL: {threshold.label} {_shown(threshold, value, threshold.critical)} threshold!"
    return f"⚠️ WARNING: {threshold.label} {_shown(threshold, value, threshold.target)} target!"


def _shown(threshold: Threshold, value: float, limit: float) -> str:
    decimals = threshold.decimals
    while decimals < MAX_DECIMALS and round(value, decimals) >= limit:
        decimals += 1  # 54.97 must not read "55.0% below 55%"
    bound = f"{limit:.1f}" if limit != int(limit) or not threshold.unit else f"{limit:.0f}"
    return f"{value:.{decimals}f}{threshold.unit} below {bound}{threshold.unit}"
