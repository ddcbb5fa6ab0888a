"""Plays a strategy's positions bar by bar on backtesting.py, with the broker of :mod:`include.strategies.broker`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Strategy
from backtesting.lib import FractionalBacktest

from include.market.candles import Candles
from include.market.indicators import atr
from include.strategies.broker import BarConditions, CostBroker, funding_times
from include.strategies.costs import TradingCosts
from include.strategies.definition import Indicator, Positions

ATR_BARS = 14
UNIT = 1e-8
"""The smallest part of a coin that is traded (a satoshi): 10,000 USDT buy a part of a Bitcoin."""
FULL = Strategy._FULL_EQUITY


class PositionPlayer(Strategy):
    """Takes the wanted position of each bar; the market answers at the next open at the earliest.

    A position that is there already is kept as it is. Another one is ordered: first the exit, then the entry. What an
    earlier decision ordered and the market has not filled is cancelled before a new one.
    """

    targets: list[int] = []  # noqa: RUF012 - backtesting.py wants its parameters as class variables
    share: float = FULL
    shown: list[Indicator] = []  # noqa: RUF012
    on_bar: Any = None

    def __init__(self, broker: Any, data: Any, params: dict[str, Any]) -> None:
        super().__init__(broker, data, params)
        # The library asks for the first time after the second bar; the first one's decision is ordered here.
        if self.targets:
            self._order(self.targets[0])

    def init(self) -> None:
        """Show the indicators to the report; they decide nothing here."""
        for indicator in self.shown:
            # The library waits for its indicators' first numbers, which must not delay the run.
            first = indicator.values[np.argmax(~np.isnan(indicator.values))]
            drawn = np.where(np.isnan(indicator.values), first, indicator.values)
            if indicator.overlay:
                drawn = drawn * UNIT
            self.I(lambda values=drawn: values, name=indicator.name, overlay=indicator.overlay)

    def next(self) -> None:
        """Order what brings the position to the wanted one."""
        broker = self._broker
        i = broker._i
        if self.on_bar is not None:
            self.on_bar(i)
        target = self.targets[i]
        trades = broker.trades
        held = 0 if not trades else 1 if trades[0].size > 0 else -1
        if broker.orders:
            broker.orders.clear()
        if target == held:
            return
        for trade in trades:
            trade.close()
        self._order(target)

    def _order(self, target: int) -> None:
        if target > 0:
            self.buy(size=self.share)
        elif target < 0:
            self.sell(size=self.share)


class CostBacktest(FractionalBacktest):
    """One run of wanted positions on candles, in units of :data:`UNIT` coins.

    :param candles: of the period; the account is opened at the first bar's close, so that nothing fills in it.
    :param warm_up: candles before them, for the average true range of the first bars.
    """

    def __init__(self, candles: Candles, costs: TradingCosts, cash_usdt: float, warm_up: Candles | None = None) -> None:
        frame = pd.DataFrame(
            {
                "Open": candles.open,
                "High": candles.high,
                "Low": candles.low,
                "Close": candles.close,
                "Volume": candles.volume,
            },
            index=pd.DatetimeIndex(candles.open_time.astype("datetime64[ms]")),
        )
        super().__init__(frame, PositionPlayer, fractional_unit=UNIT, cash=cash_usdt)
        self._costs = costs
        conditions = bar_conditions(candles, costs, warm_up)
        self.edge_costs = edge_costs(conditions, costs)
        self._broker = partial(
            CostBroker,
            conditions=conditions,
            cash=cash_usdt, spread=0.0, commission=costs.fee_pct / 100, margin=1 / costs.leverage,
            trade_on_close=False, hedging=False, exclusive_orders=False, index=frame.index,
        )  # fmt: skip

    def play(self, positions: Positions, **more: Any) -> pd.Series:
        """Run wanted positions of shape `(n,)`; returns the library's statistics.

        With a latency of `k` bars the position wanted after bar `t` is ordered so that bar `t + k` fills it; so it is
        known `k - 1` bars later. The account has heard of no decision from before its opening.
        """
        late = self._costs.latency_bars - 1
        targets = ([0] * late + positions.tolist())[: len(positions)]
        share = self._costs.position_pct / 100
        return self.run(targets=targets, share=share if share < 1 else FULL, **more)


def edge_costs(conditions: BarConditions, costs: TradingCosts) -> tuple[float, float, float]:
    """Return the shares lost to spread and slippage at the first possible fill and at the last one, and the fee."""
    lost = conditions.lost
    first = next((bar for bar in range(1, len(lost)) if conditions.traded[bar]), 0)
    return lost[first], lost[-1], costs.fee_pct / 100


def bar_conditions(candles: Candles, costs: TradingCosts, warm_up: Candles | None = None) -> BarConditions:
    """Return what fills lose, which bars were traded, and the funding charges of each bar.

    The volatility of a fill is that of the bars before it: the average true range over the close of the bar before; 0
    while there are fewer than 14 bars before.
    """
    high, low, close = candles.high, candles.low, candles.close
    before = 0
    if warm_up is not None and len(warm_up):
        before = len(warm_up)
        high, low, close = (
            np.concatenate([getattr(warm_up, name), getattr(candles, name)]) for name in ("high", "low", "close")
        )
    relative = np.nan_to_num(atr(high, low, close, ATR_BARS) / close)
    known = np.concatenate([[0.0], relative[:-1]])[before:]
    lost = costs.spread_pct / 200 + costs.slippage_pct / 100 + costs.slippage_atr_pct / 100 * known
    # Beyond that a sale would be paid for by the seller: a symbol whose range exceeds its price has died.
    lost = np.minimum(lost, 0.99)
    funding = funding_times(candles.open_time) * costs.short_funding_pct_per_8h / 100
    return BarConditions(lost.tolist(), (candles.volume > 0).tolist(), funding.tolist())
