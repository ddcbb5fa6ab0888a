"""The same run as :func:`include.strategies.simulation.simulate`, but faster: only the bars that matter are played.

While a position is merely held (or none), nothing happens but that the equity follows the price, which is computed
for the whole stretch at once. Played one by one, by the same broker and the same orders, are the bars at which the
wanted position changes, an order waits, funding is due, an account could be gone, and the last one. Equity and trades
are identical to the last digit; the library's own statistics, which cost a good part of its time, are not computed.
"""

from __future__ import annotations

import sys
import warnings
from bisect import bisect_right
from typing import Any

import numpy as np
from backtesting.backtesting import _OutOfMoneyError

from include.market.candles import Candles
from include.strategies.broker import CostBroker
from include.strategies.costs import TradingCosts
from include.strategies.definition import FloatArray, Positions
from include.strategies.playback import FULL, UNIT, PositionPlayer, bar_conditions, edge_costs
from include.strategies.simulation import Simulation, trade_record


class QuickRuns:
    """Runs of many variations over the same candles.

    :param candles: as for `simulate`: the first bar is where the account is opened.
    """

    def __init__(self, candles: Candles, costs: TradingCosts, cash_usdt: float) -> None:
        self._candles, self._costs, self._cash = candles, costs, cash_usdt
        self._prices = {
            "Open": candles.open * UNIT, "High": candles.high * UNIT, "Low": candles.low * UNIT,
            "Close": candles.close * UNIT,
        }  # fmt: skip
        self._bars = {name: values.tolist() for name, values in self._prices.items()}

    def run(self, positions: Positions, warm_up: Candles) -> Simulation:
        """Trade the wanted positions, shape `(n,)`.

        :param warm_up: candles before them, for the volatility that the first fills are charged for.
        """
        count = len(self._candles)
        conditions = bar_conditions(self._candles, self._costs, warm_up)
        late = self._costs.latency_bars - 1
        targets = np.concatenate([np.zeros(late, dtype=positions.dtype), positions])[:count]
        share = self._costs.position_pct / 100
        view = _BarView(self._bars)
        broker: Any = CostBroker(
            data=view, conditions=conditions, cash=self._cash, spread=0.0,
            commission=self._costs.fee_pct / 100, margin=1 / self._costs.leverage, trade_on_close=False,
            hedging=False, exclusive_orders=False, index=range(count),
        )  # fmt: skip
        player = PositionPlayer(broker, view, {"targets": targets.tolist(), "share": share if share < 1 else FULL})
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # The broker warns of each order that an empty account cannot pay.
            warnings.simplefilter("ignore")
            changes = (np.flatnonzero(np.diff(targets)) + 1).tolist()
            self._play(broker, player, view, changes, np.flatnonzero(conditions.funding).tolist())
        equity: FloatArray = broker._equity
        trades = tuple(trade_record(fill, self._candles) for fill in broker.fills)
        costs = edge_costs(conditions, self._costs)
        return Simulation(self._candles, self._cash, equity, trades, bool(equity[-1] <= 0), costs)

    def _play(
        self, broker: Any, player: PositionPlayer, view: _BarView, changes: list[int], funding_bars: list[int]
    ) -> None:
        last = len(self._candles) - 1
        i = 1
        while i <= last:
            view.length = i + 1
            try:
                broker.next()
            except _OutOfMoneyError:
                return
            player.next()
            following = i + 1
            if not broker.orders and following < last:
                following = min(_next_after(changes, i), last)
                if broker.trades:
                    if broker.trades[0].size < 0:
                        following = min(following, _next_after(funding_bars, i))
                    following = self._hold(broker, i + 1, following)
                else:
                    broker._equity[i + 1 : following] = broker._cash
            i = following

    def _hold(self, broker: Any, first: int, end: int) -> int:
        """Follow the price over the bars `[first, end)`; return the first bar that must be played after all."""
        size = broker._position_size
        value_at_entry = sum(trade.size * trade.entry_price for trade in broker.trades)
        equity = broker._cash + (self._prices["Close"][first:end] * size - value_at_entry)
        in_danger = equity <= 0
        if size < 0 or broker._leverage > 1:
            worst = self._prices["Low" if size > 0 else "High"][first:end]
            # As the broker's own `_liquidate_if_gone` asks, for the whole stretch.
            kept = size - broker._commission_relative * abs(size)
            in_danger |= broker._cash - value_at_entry + kept * worst <= 0
        if in_danger.any():
            end = first + int(np.argmax(in_danger))
        broker._equity[first:end] = equity[: end - first]
        return end


class _BarView:
    """What the broker asks of the library's data: prices of the current bar, and how many bars there are so far."""

    def __init__(self, bars: dict[str, list[float]]) -> None:
        self._bars = bars
        self.length = len(bars["Close"])

    def __len__(self) -> int:
        return self.length

    def _current_value(self, name: str) -> float:
        return self._bars[name][self.length - 1]

    @property
    def Close(self) -> list[float]:
        """The last two closes."""
        return self._bars["Close"][self.length - 2 : self.length]


def _next_after(bars: list[int], i: int) -> int:
    found = bisect_right(bars, i)
    return bars[found] if found < len(bars) else sys.maxsize
