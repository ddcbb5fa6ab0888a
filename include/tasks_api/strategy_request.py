"""From the params of a run to the backtest that it asks for, and what must hold before its work begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from include.errors import BadInputError
from include.market.timeframes import bars_per_day, timeframe_ms
from include.strategies.positions import require_bars
from include.strategies.registry import get_strategy, parse_strategy_params
from include.strategies.request import BacktestRequest, warm_up_bars
from include.tasks_api.params.backtest_strategy import BacktestStrategyParams
from include.tasks_api.params.strategy_lab import FIRST_DAY, StrategyLabParams, day_ms


@dataclass(frozen=True)
class CandleDemand:
    """The candles of a run: those of its period, and those before it that settle the indicators.

    :param start_ms, end_ms: of the period; the end is exclusive.
    :param first_ms: from where on candles are loaded.
    """

    symbol: str
    timeframe: str
    first_ms: int
    start_ms: int
    end_ms: int

    @classmethod
    def of(cls, params: StrategyLabParams, warm_up: int) -> CandleDemand:
        """Return the demand of a run whose indicators need `warm_up` candles before its period."""
        first_ms = params.start_ms - warm_up * timeframe_ms(params.timeframe)
        return cls(
            params.symbol, params.timeframe, max(first_ms, day_ms(str(FIRST_DAY))), params.start_ms, params.end_ms
        )

    @property
    def bars(self) -> int:
        """Candles of the period, none missing."""
        return (self.end_ms - self.start_ms) // timeframe_ms(self.timeframe)


def backtest_request(params: BacktestStrategyParams) -> BacktestRequest:
    """Return what a run of `backtest_strategy` asks for.

    :raises BadInputError: when the period has fewer candles than the longest indicator needs.
    """
    strategy_params = parse_strategy_params(params.strategy_name, params.parameters)
    days = (params.end_ms - params.start_ms) // 86_400_000
    require_bars(get_strategy(params.strategy_name), strategy_params, days * bars_per_day(params.timeframe))
    return BacktestRequest(
        strategy=params.strategy_name,
        symbol=params.symbol,
        timeframe=params.timeframe,
        start_ms=params.start_ms,
        end_ms=params.end_ms,
        params=strategy_params,
        costs=params.costs,
        cash_usdt=params.initial_cash_usdt,
        direction=params.direction,
        seed=params.seed,
    )


def backtest_demand(params: BacktestStrategyParams) -> CandleDemand:
    """Return the candles that a run of `backtest_strategy` needs.

    :raises BadInputError: as :func:`backtest_request`.
    """
    request = backtest_request(params)
    return CandleDemand.of(params, warm_up_bars(get_strategy(request.strategy), request.params))


def require_over(end_ms: int, now_ms: int) -> None:
    """Refuse a period that is not over.

    :param now_ms: the exchange's clock.
    :raises BadInputError: naming the latest day that `end_date` may be.
    """
    if end_ms > now_ms:
        end, today = (datetime.fromtimestamp(time_ms / 1000, UTC).date() for time_ms in (end_ms, now_ms))
        raise BadInputError(
            f"end_date must not lie in the future: by the exchange's clock it is {today} (UTC), got {end}; "
            f"{today} is the latest"
        )
