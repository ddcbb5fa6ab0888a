"""Whether the market has changed its character, from our own candles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from include.trading.performance_model import Record

if TYPE_CHECKING:
    from include.market.candles import Candles

DAY_MS = 24 * 60 * 60 * 1000
DAYS_BEFORE = 7
MIN_COVERAGE = 0.9
"""Share of the bars of a span that must be there; with fewer the span says nothing."""

VOLATILITY_RATIO = 2.0
VOLUME_CHANGE_PCT = 200.0


class MarketConditions(Record):
    """The last 24 hours of one symbol against the 7 days before them.

    All in percent. `volume_change_pct` compares the volume of the last 24 hours with the mean daily volume of
    the 7 days before. Volatilities are realised: the standard deviation of log returns per bar, scaled to a day.
    `regime_changed` when volatility at least doubled or halved, or volume at least tripled. Everything is
    None, with a `reason`, when candles are missing.
    """

    symbol: str
    price_change_24h_pct: float | None
    volume_change_pct: float | None
    volatility_now_pct: float | None
    volatility_before_pct: float | None
    regime_changed: bool | None
    reason: str | None


def market_conditions(candles: Candles, now_ms: int) -> MarketConditions:
    """Compare the last 24 hours of closed candles before `now_ms` with the 7 days before them.

    :param candles: at least the last 8 days of one symbol, oldest first.
    """
    bar_ms = candles.bar_ms
    end = now_ms - now_ms % bar_ms
    day = candles.between(end - DAY_MS, end)
    before = candles.between(end - (1 + DAYS_BEFORE) * DAY_MS, end - DAY_MS)
    expected = DAY_MS // bar_ms
    for part, name, wanted in ((day, "24 hours", expected), (before, "7 days before", expected * DAYS_BEFORE)):
        if len(part) < max(2, MIN_COVERAGE * wanted):
            return _unknown(candles.symbol, f"only {len(part)} of {wanted} candles of the {name} are stored")
    closes = np.concatenate((before.close, day.close))
    returns = np.diff(np.log(closes))
    now_pct = float(np.std(returns[len(before) - 1 :], ddof=1) * np.sqrt(expected) * 100)
    before_pct = float(np.std(returns[: len(before) - 1], ddof=1) * np.sqrt(expected) * 100)
    mean_volume = float(before.volume.mean()) * expected
    volume_change = (float(day.volume.mean()) * expected / mean_volume - 1) * 100 if mean_volume > 0 else None
    moved = before_pct > 0 and not 1 / VOLATILITY_RATIO < now_pct / before_pct < VOLATILITY_RATIO
    surged = volume_change is not None and volume_change >= VOLUME_CHANGE_PCT
    return MarketConditions(
        symbol=candles.symbol,
        price_change_24h_pct=round(float(day.close[-1] / before.close[-1] - 1) * 100, 4),
        volume_change_pct=None if volume_change is None else round(volume_change, 2),
        volatility_now_pct=round(now_pct, 4),
        volatility_before_pct=round(before_pct, 4),
        regime_changed=bool(moved or surged),
        reason=None,
    )


def _unknown(symbol: str, reason: str) -> MarketConditions:
    return MarketConditions(
        symbol=symbol,
        price_change_24h_pct=None,
        volume_change_pct=None,
        volatility_now_pct=None,
        volatility_before_pct=None,
        regime_changed=None,
        reason=reason,
    )
