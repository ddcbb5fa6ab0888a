"""The plain pass of a backtest against bare `Backtest.run()` of the same signals, on a year of hourly bars.

Both get the positions that the strategy wants; ours adds slippage with the volatility, funding, liquidation, waiting
for bars with volume, and the records of all trades. In the same process, in turn, the median of several rounds. What a
backtest does beside the pass (look-ahead check, Monte Carlo, figures, report) is timed and printed.

Exits with 1 when the pass takes more than 1.3 times the bare one, over the strategies together.

usage: python -m benchmarks.bench_backtest [--rounds 7]   (under a minute; needs the real candles)
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from backtesting import Backtest, Strategy

from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.strategies.costs import TradingCosts
from include.strategies.figures import measure
from include.strategies.look_ahead import check_look_ahead
from include.strategies.monte_carlo import monte_carlo
from include.strategies.registry import get_strategy, strategy_names
from include.strategies.report_page import report_page
from include.strategies.simulation import simulate
from tests.ml.real_candles import at_ms, real_candles

REPOSITORY = Path(__file__).resolve().parent.parent
MOST = 1.3
CASH = 10_000.0
UNIT = 1e-8
UNTIL, DAYS = "2024-11-22", 365


class Bare(Strategy):
    """The least that follows wanted positions."""

    targets: list[int] = []  # noqa: RUF012

    def init(self) -> None:
        """Nothing: the signals are given."""

    def next(self) -> None:
        """Turn where the wanted side is another one."""
        target, size = self.targets[len(self.data) - 1], self.position.size
        if (target > 0) == (size > 0) and (target < 0) == (size < 0):
            return
        self.position.close()
        if target > 0:
            self.buy()
        elif target < 0:
            self.sell()


def bare_frame(candles: Candles) -> pd.DataFrame:
    """Return the candles as backtesting.py wants them, in units that are small enough for the cash."""
    prices = {name.title(): getattr(candles, name) * UNIT for name in ("open", "high", "low", "close")}
    index = pd.DatetimeIndex(candles.open_time.astype("datetime64[ms]"))
    return pd.DataFrame({**prices, "Volume": candles.volume / UNIT}, index=index)


def bare_run(candles: Candles, targets: list[int], costs: TradingCosts) -> pd.Series:
    """Run the library's own backtest with its own fee and spread."""
    test = Backtest(
        bare_frame(candles), Bare, cash=CASH, commission=costs.fee_pct / 100, spread=costs.spread_pct / 200,
        finalize_trades=True,
    )  # fmt: skip
    return test.run(targets=targets)


def seconds(work: Callable[[], Any]) -> float:
    """Return how long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description="the plain pass against bare Backtest.run()")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    folder = Path(os.environ.get("MARKET_DATA_DIR", REPOSITORY.parent / "shared" / "data" / "klines"))
    candles, costs = real_candles(folder, "BTCUSDT", UNTIL, DAYS), TradingCosts()
    start_ms, end_ms = at_ms(UNTIL) - DAYS * DAY_MS, at_ms(UNTIL)
    print(f"{len(candles)} hourly bars of BTCUSDT, ms, median of {rounds} rounds in turn")
    print("| strategy | trades | bare run | ours | ratio | look-ahead | Monte Carlo | figures | report |")
    print("|---|---|---|---|---|---|---|---|---|")
    total_bare = total_ours = 0.0
    for name in strategy_names():
        definition = get_strategy(name)
        params = definition.params_model()
        positions = definition.positions(candles, params)
        targets = positions.tolist()
        run = simulate(candles, positions, costs, CASH)
        bare_run(candles, targets, costs)
        pairs = [
            (
                seconds(lambda: bare_run(candles, targets, costs)),  # noqa: B023 - called at once
                seconds(lambda: simulate(candles, positions, costs, CASH)),  # noqa: B023
            )
            for _ in range(rounds)
        ]
        bare, ours = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
        total_bare, total_ours = total_bare + bare, total_ours + ours
        beside = [
            seconds(lambda: check_look_ahead(candles, lambda cut: definition.positions(cut, params))),  # noqa: B023
            seconds(lambda: monte_carlo(run.trades, CASH, 7)),  # noqa: B023
            seconds(lambda: measure(run, start_ms, end_ms)),  # noqa: B023
            seconds(lambda: report_page(run, name)),  # noqa: B023
        ]
        shown = " | ".join(f"{1000 * value:.0f}" for value in beside)
        print(f"| {name} | {len(run.trades)} | {1000 * bare:.0f} | {1000 * ours:.0f} | {ours / bare:.2f} | {shown} |")
    ratio = total_ours / total_bare
    print(f"together {ratio:.2f} times the bare run (at most {MOST}) {'kept' if ratio <= MOST else 'BROKEN'}")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
