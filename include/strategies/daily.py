"""From equity at every bar to equity at the end of every day (UTC)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.market.timeframes import DAY_MS
from include.strategies.definition import FloatArray


@dataclass(frozen=True, eq=False)
class DailyEquity:
    """Equity at the end of each day of a period, shape `(days,)`.

    A day without candles (an outage) ends where the day before ended; before the first candle, with the cash.
    """

    day_ms: NDArray[np.int64]
    equity_usdt: FloatArray
    cash_usdt: float

    @property
    def returns(self) -> FloatArray:
        """Return of each day, as a fraction of the equity at its start; 0 once nothing is left."""
        before = np.concatenate([[self.cash_usdt], self.equity_usdt[:-1]])
        left = before > 0
        return np.where(left, self.equity_usdt / np.where(left, before, 1.0) - 1.0, 0.0)

    def to_list(self) -> list[dict[str, object]]:
        """Return one point per day: `date` and `equity_usdt`."""
        dates = self.day_ms.astype("datetime64[ms]").astype("datetime64[D]").astype(str)
        return [
            {"date": str(date), "equity_usdt": round(float(equity), 8)}
            for date, equity in zip(dates, self.equity_usdt, strict=True)
        ]


def daily_equity(
    open_time_ms: NDArray[np.int64], equity_usdt: FloatArray, cash_usdt: float, start_ms: int, end_ms: int
) -> DailyEquity:
    """Return the equity at the end of each day of `[start_ms, end_ms)`.

    :param open_time_ms, equity_usdt: of the bars, shape `(n,)`; the equity is that at the bar's close.
    """
    days = np.arange(start_ms, end_ms, DAY_MS, dtype=np.int64)
    newest = np.searchsorted(open_time_ms, days + DAY_MS) - 1
    return DailyEquity(days, np.where(newest >= 0, equity_usdt[np.maximum(newest, 0)], cash_usdt), cash_usdt)
