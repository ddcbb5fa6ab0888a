"""From the params of a run to the backtest or optimisation that it asks for: all that can be refused is refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from include.errors import BadInputError
from include.market.timeframes import timeframe_ms
from include.strategies.optimise.request import OptimisationRequest
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.windows import plan
from include.strategies.positions import require_bars
from include.strategies.registry import get_strategy, parse_strategy_params
from include.strategies.request import RUN_IN, BacktestRequest, warm_up_bars
from include.tasks_api.params.backtest_strategy import BacktestStrategyParams
from include.tasks_api.params.optimize_strategy import OptimizeStrategyParams
from include.tasks_api.params.strategy_lab import FIRST_DAY, StrategyLabParams, day_ms


@dataclass(frozen=True)
class CandleDemand:
    """The candles of a run: those of its period, and those before it that settle the indicators.

    :param first_ms: from where on candles are loaded.
    :param start_ms, end_ms: of the period; the end is exclusive.
    :param least: candles of the period without which nothing can be computed.
    """

    symbol: str
    timeframe: str
    first_ms: int
    start_ms: int
    end_ms: int
    least: int

    @property
    def bars(self) -> int:
        """Candles of the period, none missing."""
        return (self.end_ms - self.start_ms) // timeframe_ms(self.timeframe)


def backtest_request(params: BacktestStrategyParams) -> BacktestRequest:
    """Return what a run of `backtest_strategy` asks for.

    :raises BadInputError: for parameters that the strategy does not take.
    """
    return BacktestRequest(
        strategy=params.strategy_name,
        symbol=params.symbol,
        timeframe=params.timeframe,
        start_ms=params.start_ms,
        end_ms=params.end_ms,
        params=parse_strategy_params(params.strategy_name, params.parameters),
        costs=params.costs,
        cash_usdt=params.initial_cash_usdt,
        direction=params.direction,
        seed=params.seed,
    )


def backtest_demand(params: BacktestStrategyParams) -> CandleDemand:
    """Return the candles that a run of `backtest_strategy` needs.

    :raises BadInputError: when the period has fewer than the longest indicator needs.
    """
    request = backtest_request(params)
    definition = get_strategy(request.strategy)
    demand = _demand(params, warm_up_bars(definition, request.params), definition.lookback(request.params) + 2)
    require_bars(definition, request.params, demand.bars)
    return demand


def optimisation_request(params: OptimizeStrategyParams) -> OptimisationRequest:
    """Return what a run of `optimize_strategy` asks for.

    :raises BadInputError: naming the parameter and what is allowed.
    """
    return OptimisationRequest(
        strategy=params.strategy_name,
        symbol=params.symbol,
        timeframe=params.timeframe,
        start_ms=params.start_ms,
        end_ms=params.end_ms,
        method=params.method,
        variations=params.parameter_variations,
        objective=params.objective,
        costs=params.costs,
        cash_usdt=params.initial_cash_usdt,
        direction=params.direction,
        seed=params.seed,
        windows=params.windows,
        anchored=params.anchored,
        train_share=params.train_share,
        embargo_days=params.embargo_days,
    )


def optimisation_demand(params: OptimizeStrategyParams) -> CandleDemand:
    """Return the candles that a run of `optimize_strategy` needs.

    :raises BadInputError: for an empty search space, or a period that is too short for the slowest variation or for
        the windows.
    """
    request = optimisation_request(params)
    space = SearchSpace.of(get_strategy(request.strategy))
    slowest = max((space.params(point) for point in space.points), key=space.definition.lookback)
    demand = _demand(params, RUN_IN * space.longest_lookback, space.longest_lookback + 2)
    require_bars(space.definition, slowest, demand.bars)
    plan(
        request.start_ms, request.end_ms, windows=request.windows, anchored=request.anchored,
        train_share=request.train_share, embargo_days=request.embargo_days,
        lookback_ms=space.longest_lookback * timeframe_ms(request.timeframe),
    )  # fmt: skip
    return demand


def _demand(params: StrategyLabParams, warm_up: int, least: int) -> CandleDemand:
    first_ms = params.start_ms - warm_up * timeframe_ms(params.timeframe)
    oldest_ms = day_ms(str(FIRST_DAY))
    return CandleDemand(
        params.symbol, params.timeframe, max(first_ms, oldest_ms), params.start_ms, params.end_ms, least
    )


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
