"""What one backtest is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from include.errors import BadInputError
from include.market.binance_wire import iso
from include.market.timeframes import DAY_MS
from include.strategies.costs import TradingCosts
from include.strategies.definition import StrategyDefinition, StrategyParams

Direction = Literal["both", "long", "short"]

RUN_IN = 10
"""Lookbacks of candles before the period: an exponential average has forgotten its start by then (under 1e-4)."""


@dataclass(frozen=True)
class BacktestRequest:
    """A strategy, its parameters, the candles `[start_ms, end_ms)` and the terms of trading.

    :raises BadInputError: for days that are none (times are UTC midnights), an empty period, no cash, or an unknown
        direction.
    """

    strategy: str
    symbol: str
    timeframe: str
    start_ms: int
    end_ms: int
    params: StrategyParams
    costs: TradingCosts = field(default_factory=TradingCosts)
    cash_usdt: float = 10_000.0
    direction: Direction = "both"
    seed: int = 7

    def __post_init__(self) -> None:
        """Refuse what cannot be tested."""
        if self.start_ms % DAY_MS or self.end_ms % DAY_MS:
            raise BadInputError(f"a backtest covers whole days (UTC), got {iso(self.start_ms)} to {iso(self.end_ms)}")
        if self.end_ms <= self.start_ms:
            raise BadInputError(
                f"end_date must lie after start_date, got {self.start_date} to {self.end_date}; "
                "end_date is the first day after the period"
            )
        if not 0 < self.cash_usdt < math.inf:
            raise BadInputError(f"initial_cash_usdt must be a number above 0, got {self.cash_usdt}")
        if self.direction not in get_args(Direction):
            raise BadInputError(f"direction must be one of: {', '.join(get_args(Direction))}, got {self.direction!r}")

    @property
    def days(self) -> int:
        """Days of the period."""
        return (self.end_ms - self.start_ms) // DAY_MS

    @property
    def start_date(self) -> str:
        """First day, as 2024-05-22."""
        return iso(self.start_ms)[:10]

    @property
    def end_date(self) -> str:
        """The first day after the period."""
        return iso(self.end_ms)[:10]

    def to_dict(self) -> dict[str, Any]:
        """Return the request as a JSON-able mapping."""
        return {
            "strategy": self.strategy,
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "start_date": self.start_date,
            "end_date": self.end_date,
            "parameters": self.params.model_dump(),
            "costs": self.costs.to_dict(),
            "initial_cash_usdt": self.cash_usdt,
            "direction": self.direction,
            "seed": self.seed,
        }


def warm_up_bars(definition: StrategyDefinition[Any], params: StrategyParams) -> int:
    """Return how many candles before the period a run should be given, so that its first decisions are settled."""
    return RUN_IN * definition.lookback(params)
