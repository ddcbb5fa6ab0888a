"""From a probability to a signal, and the indicators that stand beside it."""

from __future__ import annotations

from typing import Any, Literal

from include.market.candles import Candles
from include.market.indicators import ema, macd, rsi

Signal = Literal["BUY", "SELL", "HOLD"]
BUY_FROM = 0.55
SELL_UP_TO = 0.45
HORIZON_BARS = 8
"""The price is predicted so many bars ahead: the horizon that the networks learn the trend of."""
FAST_BARS, SLOW_BARS = 12, 48


def signal_of(probability_up: float) -> Signal:
    """Return BUY from 0.55 on, SELL up to 0.45, HOLD in between.

    >>> signal_of(0.55), signal_of(0.5), signal_of(0.45)
    ('BUY', 'HOLD', 'SELL')
    """
    if probability_up >= BUY_FROM:
        return "BUY"
    return "SELL" if probability_up <= SELL_UP_TO else "HOLD"


def confidence_of(probability_up: float) -> float:
    """Return the probability of the likelier direction, 0.5 to 1."""
    return max(probability_up, round(1.0 - probability_up, 6))


def indicators_of(candles: Candles) -> dict[str, Any]:
    """Return the newest bar's indicators.

    :returns: `rsi` (Wilder, 14 bars, 0 to 100), `macd` (the line EMA12 - EMA26, in the quote asset) and `trend`:
        `bullish` while close > EMA12 > EMA48, `bearish` while it is the other way round, else `neutral`.
    """
    close = candles.close
    fast, slow, last = float(ema(close, FAST_BARS)[-1]), float(ema(close, SLOW_BARS)[-1]), float(close[-1])
    trend = "bullish" if last > fast > slow else "bearish" if last < fast < slow else "neutral"
    return {"rsi": round(float(rsi(close)[-1]), 2), "macd": float(macd(close).line[-1]), "trend": trend}
