"""Whether a series holds enough candles for the days that a training or backtest asks for."""

from __future__ import annotations

from include.errors import BadInputError
from include.market.candles import Candles
from include.market.timeframes import DAY_MS, bars_per_day

MAX_MISSING_PCT = 2


def require_enough(candles: Candles, days: int) -> None:
    """Refuse a series that lacks more than 2 % of the candles of its last `days` days.

    Expected are `days` x candles per day at the series' timeframe (30 days of 1h: 720). Found are the
    candles of the `days` days that end with the newest one, so that older candles, loaded as warm-up, do not
    hide a gap.

    :raises BadInputError: `Insufficient data: expected 720 samples, found 120 ...`.
    """
    if days < 1:
        raise BadInputError(f"days is {days}; ask for at least 1 day of candles")
    expected = days * bars_per_day(candles.timeframe)
    found = 0
    if len(candles):
        end_ms = int(candles.open_time[-1]) + candles.bar_ms
        found = len(candles.between(end_ms - days * DAY_MS, end_ms))
    if found < expected - expected * MAX_MISSING_PCT // 100:
        raise BadInputError(
            f"Insufficient data: expected {expected} samples, found {found} "
            f"({candles.symbol} {candles.timeframe}, {days} days, at most {MAX_MISSING_PCT} % may be missing); "
            f"run ingest_candles with days={days} or ask for fewer days"
        )
