"""What a performance analysis says: frozen, JSON-able, free of NaN and infinity."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from include.trading.thresholds import Status


class Record(BaseModel):
    """A frozen record that refuses NaN, infinity and unknown keys.

    `model_dump(mode="json")` and `model_validate` carry it from task to task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Metrics(Record):
    """The figures of one window of trades.

    `win_rate` and `avg_profit_per_trade` in percent; `sharpe_ratio` annualised, None with
    `sharpe_reason` where daily returns do not differ. `total_pnl_usdt` is None when any trade lacks
    its pnl: a partial sum of money would mislead.
    """

    total_trades: int
    win_rate: float | None
    avg_profit_per_trade: float | None
    sharpe_ratio: float | None
    sharpe_reason: str | None
    total_pnl_usdt: float | None


class DayFigures(Record):
    """One UTC day of the trend; None where no trade closed.

    `return_pct` is the sum of the day's trade returns, `trailing_sharpe_ratio` that of the seven days
    up to the end of this one (a single day has no Sharpe ratio on daily returns).
    """

    date: dt.date
    trades: int
    win_rate: float | None
    avg_profit_per_trade: float | None
    trailing_sharpe_ratio: float | None
    return_pct: float


class PerformanceAnalysis(Record):
    """Figures, grades and alerts of the seven days before `window_end`.

    `grades` maps `win_rate_status`, `avg_profit_status`, `sharpe_status` to good, warning, critical or
    not_available. `overall` is GOOD, WARNING, CRITICAL or NOT_ENOUGH_DATA.
    """

    status: Literal["success", "skipped"]
    reason: str | None
    date: dt.date
    window_start: AwareDatetime
    window_end: AwareDatetime
    metrics: Metrics
    grades: dict[str, Status]
    alerts: tuple[str, ...]
    trigger_ai_analysis: bool
    overall: str
    daily: tuple[DayFigures, ...]

    @property
    def critical_metrics(self) -> tuple[str, ...]:
        """Names of the metrics graded critical: win_rate, avg_profit, sharpe."""
        return tuple(name.removesuffix("_status") for name, status in self.grades.items() if status == "critical")
