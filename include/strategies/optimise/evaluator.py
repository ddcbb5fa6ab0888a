"""One variation on one segment: positions, run, figures, daily returns. The same as a backtest of these parameters."""

from __future__ import annotations

from dataclasses import dataclass

from include.market.candles import Candles
from include.strategies.costs import TradingCosts
from include.strategies.daily import daily_equity
from include.strategies.definition import StrategyParams
from include.strategies.figures import measure
from include.strategies.optimise.quick_run import QuickRuns
from include.strategies.optimise.variation import Segment, Variation
from include.strategies.positions import wanted_positions
from include.strategies.registry import get_strategy
from include.strategies.request import Direction, warm_up_bars


@dataclass(frozen=True)
class Terms:
    """What all variations of an optimisation have in common."""

    strategy: str
    costs: TradingCosts
    cash_usdt: float
    direction: Direction


class Evaluator:
    """Evaluates variations; keeps what the runs of the latest segment share.

    :param candles: of the whole period, with those before it.
    """

    def __init__(self, terms: Terms, candles: Candles) -> None:
        self._terms, self._candles = terms, candles
        self._definition = get_strategy(terms.strategy)
        self._prepared: tuple[Segment, QuickRuns] | None = None

    def evaluate(self, segment: Segment, key: str, params: StrategyParams) -> Variation:
        """Run the parameters on the segment: begun flat, closed at the end, all costs paid.

        The candles are cut as :func:`include.strategies.backtest.run_backtest` cuts them, so that a backtest of the
        same parameters over the segment gives the same figures.
        """
        terms = self._terms
        period = self._candles.between(segment.start_ms, segment.end_ms)
        warm_up = self._candles.between(None, segment.start_ms).tail(warm_up_bars(self._definition, params))
        known = self._candles.between(None, segment.end_ms).tail(len(warm_up) + len(period))
        positions = wanted_positions(self._definition, params, known, terms.direction)
        first = max(len(warm_up) - 1, 0)
        runs = self._runs(segment, known.tail(len(known) - first))
        simulation = runs.run(positions[first:], known.between(None, int(known.open_time[first])))
        daily = daily_equity(
            simulation.candles.open_time, simulation.equity_usdt, terms.cash_usdt, segment.start_ms, segment.end_ms
        )
        figures = measure(simulation, segment.start_ms, segment.end_ms, daily)
        return Variation(key, params.model_dump(), figures.to_dict(), daily.returns)

    def _runs(self, segment: Segment, candles: Candles) -> QuickRuns:
        if self._prepared is None or self._prepared[0] != segment:
            self._prepared = segment, QuickRuns(candles, self._terms.costs, self._terms.cash_usdt)
        return self._prepared[1]
