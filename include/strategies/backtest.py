"""A whole backtest: check, play, measure, doubt, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from include.market.binance_wire import iso
from include.market.candles import Candles, check_candles
from include.strategies.daily import daily_equity
from include.strategies.definition import Indicator
from include.strategies.figures import measure
from include.strategies.look_ahead import check_look_ahead
from include.strategies.monte_carlo import monte_carlo
from include.strategies.monthly import monthly_table
from include.strategies.positions import require_bars, wanted_positions
from include.strategies.provenance import provenance
from include.strategies.registry import get_strategy
from include.strategies.report_page import report_page
from include.strategies.request import BacktestRequest, warm_up_bars
from include.strategies.simulation import TradeRecord, simulate

OnProgress = Callable[[int, Mapping[str, Any]], None]

STAGES = {"checked": 10, "played": 60, "cut": 70, "doubted": 80, "measured": 90, "reported": 100}
"""Percent at the end of each stage."""


@dataclass(frozen=True, eq=False)
class BacktestOutcome:
    """The parts of the stored result, and the report's page.

    :param results: the figures under the specification's names and ours.
    :param equity_curve: one point per day, `date` and `equity_usdt`.
    """

    request: BacktestRequest
    results: dict[str, Any]
    equity_curve: list[dict[str, object]]
    trades: list[dict[str, Any]]
    monthly: list[dict[str, Any]]
    monte_carlo: dict[str, Any]
    look_ahead: dict[str, Any]
    data: dict[str, Any]
    report_html: str = field(repr=False)

    def document(self) -> dict[str, Any]:
        """Return everything but the page as a JSON-able mapping."""
        return {
            "status": "success",
            "request": self.request.to_dict(),
            "results": self.results,
            "equity_curve": self.equity_curve,
            "trades": self.trades,
            "monthly": self.monthly,
            "monte_carlo": self.monte_carlo,
            "look_ahead": self.look_ahead,
            "data": self.data,
        }


def run_backtest(request: BacktestRequest, candles: Candles, on_progress: OnProgress) -> BacktestOutcome:
    """Test a strategy on candles.

    :param candles: of the period and from before it. Of those before, only as many as the indicators need to settle
        are used (:func:`include.strategies.request.warm_up_bars`), so that the answer does not depend on how many
        there happen to be; later ones are not looked at.
    :param on_progress: percent (at least every 10) and details.
    :raises BadInputError: for corrupt candles, a series shorter than the longest indicator, or a strategy that looks
        ahead.
    """
    definition = get_strategy(request.strategy)
    period = candles.between(request.start_ms, request.end_ms)
    warm_up = candles.between(None, request.start_ms).tail(warm_up_bars(definition, request.params))
    known = candles.between(None, request.end_ms).tail(len(warm_up) + len(period))
    check_candles(known)
    require_bars(definition, request.params, len(period))
    on_progress(STAGES["checked"], {"stage": "checked", "candles": len(period)})

    positions = wanted_positions(definition, request.params, known, request.direction)
    # The account is opened on the bar before the period, so that the first open of the period can be traded.
    first = max(len(known) - len(period) - 1, 0)
    shown = [
        Indicator(indicator.name, indicator.values[first:], indicator.overlay)
        for indicator in definition.indicators(known, request.params)
    ]
    simulation = simulate(
        known.tail(len(known) - first),
        positions[first:],
        request.costs,
        request.cash_usdt,
        warm_up=known.between(None, int(known.open_time[first])),
        shown=shown,
        on_bar=_reporter(on_progress, len(known) - first),
    )
    on_progress(STAGES["played"], {"stage": "played", "trades": len(simulation.trades)})

    look_ahead = check_look_ahead(known, lambda cut: definition.positions(cut, request.params))
    on_progress(STAGES["cut"], {"stage": "cut", "cuts": look_ahead.cuts})
    chances = monte_carlo(simulation.trades, request.cash_usdt, request.seed)
    on_progress(STAGES["doubted"], {"stage": "doubted"})

    daily = daily_equity(
        simulation.candles.open_time, simulation.equity_usdt, request.cash_usdt, request.start_ms, request.end_ms
    )
    figures = measure(simulation, request.start_ms, request.end_ms, daily).to_dict()
    on_progress(STAGES["measured"], {"stage": "measured"})

    page = report_page(simulation, f"{definition.title} on {request.symbol} {request.timeframe}")
    on_progress(STAGES["reported"], {"stage": "reported"})
    return BacktestOutcome(
        request=request,
        results={
            "strategy": request.strategy,
            "symbol": request.symbol,
            "timeframe": request.timeframe,
            "period": f"{request.start_date} to {request.end_date}",
            **figures,
            "parameters_used": request.params.model_dump(),
        },
        equity_curve=daily.to_list(),
        trades=[_trade(trade) for trade in simulation.trades],
        monthly=monthly_table(daily, simulation.trades),
        monte_carlo=chances,
        look_ahead=look_ahead.to_dict(),
        data={**provenance(known, request.start_ms, request.end_ms), "ended_by_ruin": simulation.ruined},
        report_html=page,
    )


def _reporter(on_progress: OnProgress, bars: int) -> Callable[[int], None]:
    """Return what says every tenth of the bars, between the stages `checked` and `played`."""
    tenth = max(1, bars // 10)
    low, high = STAGES["checked"], STAGES["played"]

    def on_bar(i: int) -> None:
        if i % tenth == 0:
            on_progress(low + (high - low) * i // bars, {"stage": "playing", "bars": i, "of_bars": bars})

    return on_bar


def _trade(trade: TradeRecord) -> dict[str, Any]:
    row = asdict(trade)
    return {
        "entry_time": iso(row.pop("entry_time_ms")),
        "exit_time": iso(row.pop("exit_time_ms")),
        "side": "long" if trade.size > 0 else "short",
        **row,
    }
