"""The broker of every backtest: backtesting.py's, with the costs and refusals of a real exchange.

What it adds to the library's broker, in the order in which it happens within a bar:

1. A short position pays funding at 00:00, 08:00 and 16:00 UTC: at the bar's open, of its value there, as often as those
   hours were passed since the bar before (gaps included).
2. Orders fill at the open, first what closes a position, then what opens the next one. Each fill loses half the spread
   and the slippage of its bar: a purchase is dearer, a sale cheaper. A bar without volume fills nothing: the order
   waits for the next bar that was traded.
3. A new position has the size `equity * share / (price paid * (1 / leverage + fee))`, rounded down to whole units: its
   margin and its fee come out of the account.
4. An account whose equity, the exit's fee included, would be gone at the bar's worst price is liquidated, and the run
   ends. It is closed at the price that leaves nothing after the fee; so is an exit that would leave less than nothing,
   as after a gap. What lies beyond that price is the exchange's loss, as an account cannot owe.
5. What is still open at the end is closed at the last close, with the costs of a fill.

It works on the library's whole units; :class:`~include.strategies.playback.CostBacktest` makes them small fractions
of a coin. One position at a time is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from backtesting.backtesting import Trade, _Broker, _OutOfMoneyError
from numpy.typing import NDArray

ExitReason = Literal["signal", "end", "liquidation"]


@dataclass(frozen=True, eq=False)
class BarConditions:
    """What the broker needs to know of each bar beside its prices; lists, because they are read one by one.

    :param lost: share of the price that a fill in that bar loses: half the spread and the slippage.
    :param traded: whether the bar had any volume.
    :param funding: funding charges since the bar before, as share of the position's value.
    """

    lost: list[float]
    traded: list[bool]
    funding: list[float]


@dataclass(frozen=True)
class Fill:
    """A closed trade in the broker's units; `lost` are spread and slippage of both fills, in cash."""

    size: int
    entry_bar: int
    exit_bar: int
    entry_price: float
    exit_price: float
    fees: float
    funding: float
    lost: float
    reason: ExitReason


class CostBroker(_Broker):
    """See the module's text.

    :param conditions: of the bars of `data`.
    :param kwargs: the library's own; `spread` must be 0, the conditions have it.
    """

    def __init__(self, *, conditions: BarConditions, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._cash: float
        self._conditions = conditions
        self._i = 0
        self._equity[0] = self._cash
        self._last_bar = len(conditions.lost) - 1
        self._reason: ExitReason = "signal"
        self._open_funding = 0.0
        self._open_lost = 0.0
        self.fills: list[Fill] = []

    def next(self) -> None:
        """Play one bar: funding, waiting orders, liquidation, and at the end the closing of what is open."""
        i = len(self._data) - 1
        if self.trades:
            self._pay_funding(i)
        super().next()
        if self.trades and i == self._last_bar:
            self._close_all(self.last_price, i, "end")
            self._equity[i] = max(self._cash, 0.0)

    def _process_orders(self) -> None:
        if self.orders and self._conditions.traded[self._i]:
            super()._process_orders()
        if self.trades:
            self._liquidate_if_gone(self._i)

    def _adjusted_price(self, size: float | None = None, price: float | None = None) -> float:
        lost = self._conditions.lost[self._i]
        assert size is not None
        return (price or self.last_price) * (1 + lost if size > 0 else 1 - lost)

    def _commission_func(self, order_size: float, price: float) -> float:
        if abs(order_size) < 1:
            # An order that is yet to be sized. The library would take the fee of the bar's price, not of the one paid,
            # and find room for it in the leveraged value, not in the account.
            price = self._adjusted_price(order_size, price) * self._leverage
        return abs(order_size) * price * self._commission_relative

    def _open_trade(self, price: float, size: int, sl: Any, tp: Any, time_index: int, tag: Any) -> None:
        super()._open_trade(price, size, sl, tp, time_index, tag)
        lost = self._conditions.lost[time_index]
        self._open_lost = abs(size) * price * lost / (1 + lost if size > 0 else 1 - lost)
        self._open_funding = 0.0

    def _close_trade(self, trade: Trade, price: float, time_index: int) -> None:
        reason, lost = self._reason, self._conditions.lost[time_index]
        paid = price * (1 - lost if trade.size > 0 else 1 + lost)
        if self._left(trade.size, trade.size * trade.entry_price, paid) <= 0:
            reason, lost = "liquidation", 0.0
            paid = price = self._ruinous_price(trade.size, trade.size * trade.entry_price)
        super()._close_trade(trade, paid, time_index)
        if reason == "liquidation":
            self._cash = 0.0
        closed = self.closed_trades[-1]
        self.fills.append(
            Fill(
                closed.size, closed.entry_bar, time_index,
                float(closed.entry_price), float(closed.exit_price or 0.0),
                float(closed._commissions), float(self._open_funding),
                float(self._open_lost + abs(closed.size) * price * lost), reason,
            )
        )  # fmt: skip

    def _pay_funding(self, i: int) -> None:
        rate = self._conditions.funding[i]
        if rate:
            price = self._data._current_value("Open")
            charge = sum(-trade.size for trade in self.trades if trade.size < 0) * price * rate
            self._cash -= charge
            self._open_funding += charge

    def _liquidate_if_gone(self, i: int) -> None:
        """End the run where a short or leveraged position has lost the whole account within the bar."""
        size = sum(trade.size for trade in self.trades)
        if size > 0 and self._leverage <= 1:
            return
        worst = self._data._current_value("Low" if size > 0 else "High")
        if self._left(size, sum(trade.size * trade.entry_price for trade in self.trades), worst) > 0:
            return
        self._close_all(worst, i, "liquidation")
        self._equity[i:] = 0.0
        raise _OutOfMoneyError

    def _left(self, size: float, value_at_entry: float, price: float) -> float:
        """Return the cash after an exit at a price, the fee paid."""
        return float(self._cash - value_at_entry + self._kept(size) * price)

    def _ruinous_price(self, size: float, value_at_entry: float) -> float:
        """Return the exit price that leaves nothing."""
        return float((value_at_entry - self._cash) / self._kept(size))

    def _kept(self, size: float) -> float:
        return size - self._commission_relative * abs(size)

    def _close_all(self, price: float, i: int, reason: ExitReason) -> None:
        self._reason = reason
        for trade in list(self.trades):
            self._close_trade(trade, price, i)


def funding_times(open_time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of 00:00, 08:00 and 16:00 UTC lie in `(open_time[t - 1], open_time[t]]`; 0 for the first bar."""
    period = open_time_ms // (8 * 3_600_000)
    return np.diff(period, prepend=period[:1])
