"""What one optimisation is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.errors import BadInputError
from include.strategies.costs import TradingCosts
from include.strategies.optimise.methods import METHODS, Method
from include.strategies.optimise.objective import OBJECTIVES, Objective
from include.strategies.registry import get_strategy
from include.strategies.request import BacktestRequest, Direction

FEWEST_VARIATIONS, MOST_VARIATIONS = 10, 500
FEWEST_WINDOWS, MOST_WINDOWS = 2, 24
LEAST_TRAIN_SHARE, MOST_TRAIN_SHARE = 0.5, 0.9
MOST_EMBARGO_DAYS = 90


@dataclass(frozen=True)
class OptimisationRequest:
    """A strategy, the candles `[start_ms, end_ms)`, how to search, how to cut the period, and the terms of trading.

    :param variations: distinct combinations of parameters to try in each search, or the whole space if it is smaller.
    :param windows: of the walk-forward.
    :param anchored: its train parts all begin with the period; else they roll along with constant length.
    :param train_share: of the days, in the final split and in each window.
    :param embargo_days: between train and test part, raised to the longest lookback where that is longer.
    :raises BadInputError: naming the parameter, its value, and what is allowed.
    """

    strategy: str
    symbol: str
    timeframe: str
    start_ms: int
    end_ms: int
    method: Method = "grid"
    variations: int = 50
    objective: Objective = "sharpe_ratio"
    costs: TradingCosts = TradingCosts()  # noqa: RUF009 - it is frozen
    cash_usdt: float = 10_000.0
    direction: Direction = "both"
    seed: int = 7
    windows: int = 4
    anchored: bool = False
    train_share: float = 0.7
    embargo_days: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be optimised."""
        _one_of("method", self.method, METHODS)
        _one_of("objective", self.objective, OBJECTIVES)
        _within("parameter_variations", self.variations, FEWEST_VARIATIONS, MOST_VARIATIONS)
        _within("windows", self.windows, FEWEST_WINDOWS, MOST_WINDOWS)
        _within("train_share", self.train_share, LEAST_TRAIN_SHARE, MOST_TRAIN_SHARE)
        _within("embargo_days", self.embargo_days, 0, MOST_EMBARGO_DAYS)
        self._backtest()

    @property
    def days(self) -> int:
        """Days of the period."""
        return self._backtest().days

    def to_dict(self) -> dict[str, Any]:
        """Return the request as a JSON-able mapping."""
        shared = self._backtest().to_dict()
        del shared["parameters"]
        own = ("method", "objective", "windows", "anchored", "train_share", "embargo_days")
        return {**shared, "parameter_variations": self.variations, **{name: getattr(self, name) for name in own}}

    def _backtest(self) -> BacktestRequest:
        """Return the backtest over the same period, which refuses what no backtest could be."""
        return BacktestRequest(
            self.strategy, self.symbol, self.timeframe, self.start_ms, self.end_ms,
            get_strategy(self.strategy).params_model(), self.costs, self.cash_usdt, self.direction, self.seed,
        )  # fmt: skip


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInputError(f"{name} must be one of: {', '.join(allowed)}, got {value!r}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInputError(f"{name} must be between {low} and {high}, got {value}")
