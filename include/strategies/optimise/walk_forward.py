"""Walk-forward: in every window the same search on the train part, its choice run fresh on the test part.

Source: R. Pardo, "The Evaluation and Optimization of Trading Strategies", 2nd edition, 2008.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.market.binance_wire import iso
from include.market.timeframes import DAY_MS
from include.strategies.definition import FloatArray
from include.strategies.optimise.searching import Searcher
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment, Variation
from include.strategies.optimise.windows import Window
from include.strategies.ratios import DAYS_PER_YEAR, sharpe_ratio


@dataclass(frozen=True, eq=False)
class WalkedWindow:
    """What a window chose and what came of it; both None where no variation traded in the train part.

    A window without a choice stays out of the market: its out-of-sample returns are 0.
    """

    window: Window
    chosen: Variation | None
    tested: Variation | None

    @property
    def returns(self) -> FloatArray:
        """Daily returns of the test part, shape `(days,)`."""
        return np.zeros(self.window.test.days) if self.tested is None else self.tested.daily_returns

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""

        def part(segment: Segment, run: Variation | None) -> dict[str, Any]:
            shown = ("total_trades", "total_return", "sharpe_ratio", "max_drawdown", "win_rate")
            figures = {name: run.figures[name] for name in shown} if run else None
            return {"start_date": iso(segment.start_ms)[:10], "end_date": iso(segment.end_ms)[:10], "figures": figures}

        return {
            "train": part(self.window.train, self.chosen),
            "test": part(self.window.test, self.tested),
            "parameters": self.chosen.parameters if self.chosen else None,
        }


def walk(windows: Sequence[Window], searcher: Searcher, on_window: Callable[[int], None]) -> tuple[WalkedWindow, ...]:
    """Walk through the windows, oldest first.

    :param on_window: called with the number of each window, from 1, before it is searched.
    """
    walked = []
    for number, window in enumerate(windows, start=1):
        on_window(number)
        best = searcher.search(window.train).best
        walked.append(WalkedWindow(window, best, searcher.run(window.test, best) if best else None))
    return tuple(walked)


@dataclass(frozen=True, eq=False)
class Stitched:
    """The test parts of all windows end to end: what one would have earned who trusted the search each time.

    :param day_ms: starts of the days, shape `(days,)`.
    :param returns: of each day.
    :param trades: closed in all test parts.
    """

    day_ms: NDArray[np.int64]
    returns: FloatArray
    trades: int

    @classmethod
    def of(cls, walked: Sequence[WalkedWindow]) -> Stitched:
        """Join the windows."""
        days = [np.arange(w.window.test.start_ms, w.window.test.end_ms, DAY_MS, dtype=np.int64) for w in walked]
        trades = sum(w.tested.figures["total_trades"] for w in walked if w.tested)
        return cls(np.concatenate(days), np.concatenate([w.returns for w in walked]), trades)

    def equity(self, cash_usdt: float) -> FloatArray:
        """Return the equity at the end of each day, all of it reinvested."""
        return cash_usdt * np.cumprod(1 + self.returns, dtype=np.float64)

    @property
    def sharpe(self) -> float | None:
        """Annualised Sharpe ratio."""
        return sharpe_ratio(self.returns)

    @property
    def total_return_pct(self) -> float:
        """Return over all days."""
        return float(100 * (np.prod(1 + self.returns) - 1))

    @property
    def max_drawdown_pct(self) -> float:
        """Deepest fall below the highest equity so far, at days' ends."""
        equity = self.equity(1.0)
        peak = np.maximum(np.maximum.accumulate(equity), 1.0)
        return float(100 * np.max(1 - equity / peak))


def efficiency(walked: Sequence[WalkedWindow]) -> tuple[float | None, str | None]:
    """Return the walk-forward efficiency, or why it has no meaning.

    That is the yearly return out of sample over the yearly return that the chosen variations had in sample: 1 when
    all that was found was true. Yearly is the mean daily return of all windows, times 365, without compounding.
    """
    inside = [w.chosen.daily_returns for w in walked if w.chosen]
    if not inside:
        return None, "no variation traded in any window"
    earned_inside = float(np.concatenate(inside).mean()) * DAYS_PER_YEAR
    if earned_inside <= 0:
        return None, "the chosen variations earned nothing in sample, so there is nothing to keep"
    earned_outside = float(np.concatenate([w.returns for w in walked]).mean()) * DAYS_PER_YEAR
    return earned_outside / earned_inside, None


def stability(walked: Sequence[WalkedWindow], space: SearchSpace) -> dict[str, Any]:
    """Return, for each varied parameter, the values chosen over the windows and their spread.

    The spread is the distance between the largest and the smallest one, relative to the whole range: 0 when every
    window chose the same, 1 when the choice went from one end to the other.
    """
    found = {}
    for name, values in zip(space.names, space.values, strict=True):
        chosen = [w.chosen.parameters[name] for w in walked if w.chosen]
        width = values[-1] - values[0]
        spread = (max(chosen) - min(chosen)) / width if chosen and width else 0.0
        found[name] = {"values": chosen, "low": values[0], "high": values[-1], "spread": round(spread, 6)}
    return found
