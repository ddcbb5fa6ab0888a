"""The candle lengths that the bundle works with."""

from __future__ import annotations

from include.errors import BadInputError

TIMEFRAME_MS: dict[str, int] = {"5m": 300_000, "15m": 900_000, "1h": 3_600_000, "4h": 14_400_000}
DAY_MS = 86_400_000
MAX_RANGE_BARS = 340_000
"""Candles that one range of time may have: three years of the shortest ones and what is needed before them."""


def timeframe_ms(timeframe: str) -> int:
    """Return the length of a candle in milliseconds.

    :raises BadInputError: for a timeframe outside `5m`, `15m`, `1h`, `4h`.
    """
    try:
        return TIMEFRAME_MS[timeframe]
    except KeyError:
        raise BadInputError(f"Invalid timeframe: {timeframe!r}; use one of {', '.join(TIMEFRAME_MS)}") from None


def bars_per_day(timeframe: str) -> int:
    """Return the number of candles of a day of 24 hours."""
    return DAY_MS // timeframe_ms(timeframe)
