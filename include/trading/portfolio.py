"""The paper portfolio, as the engine reports it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from include.errors import MalformedAnswerError


@dataclass(frozen=True)
class Portfolio:
    """The sixteen figures of `GET /api/paper-trading/portfolio`; money in USDT, rates in percent.

    `total_trades` counts open and closed trades, so `win_rate` is diluted by the open ones, and
    `sharpe_ratio` is per trade and not annualised: for a judgement use `include.trading.performance`.
    `profit_factor` is None where the engine computed infinity.
    """

    total_trades: int
    win_rate: float
    total_pnl: float
    total_pnl_percentage: float
    max_drawdown: float
    max_drawdown_percentage: float
    sharpe_ratio: float
    profit_factor: float | None
    average_win: float
    average_loss: float
    largest_win: float
    largest_loss: float
    current_balance: float
    equity: float
    margin_used: float
    free_margin: float


NULLABLE = frozenset({"profit_factor"})


def parse_portfolio(data: object) -> Portfolio:
    """Return the portfolio that the engine's `data` describes (unknown keys are ignored).

    :raises MalformedAnswerError: naming every missing key, or the first value that is not a finite number.
    """
    if not isinstance(data, dict):
        raise MalformedAnswerError(f"the portfolio must be a JSON object, not {data!r:.100}")
    names = [field.name for field in fields(Portfolio)]
    missing = [name for name in names if name not in data]
    if missing:
        raise MalformedAnswerError(f"the portfolio lacks {', '.join(missing)}")
    return Portfolio(**{name: _figure(name, data[name]) for name in names})


def _figure(name: str, value: object) -> Any:
    if value is None and name in NULLABLE:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MalformedAnswerError(f"the portfolio's {name} is {value!r:.60}, which is not a finite number")
    if name == "total_trades":
        if value != int(value) or value < 0:
            raise MalformedAnswerError(f"the portfolio's total_trades is {value!r}, which is not a count")
        return int(value)
    return float(value)
