"""50 and 500 plain variations of `rsi` on a year of hourly bars, against backtesting.py's own `Backtest.optimize`.

Both use all cores, on the same candles and the same 50 or 500 combinations, in the same process one after the other;
theirs computes the same RSI in the strategy's `init`, with its own fee and spread. Ours includes starting the workers
and remembering each variation. Walk-forward, robustness and pages are timed and printed beside, and the peak memory of
this process and its children together (their shared pages counted each time).

Exits with 1 when ours takes more than 1.2 times as long, or the memory exceeds 1.5 GB.

usage: python -m benchmarks.bench_optimisation [--variations 50,500]   (2 to 3 minutes; needs the real candles)
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import psutil
from backtesting import Backtest, Strategy

from benchmarks.bench_backtest import CASH, DAYS, REPOSITORY, UNTIL, bare_frame
from include.market.candles import Candles
from include.market.indicators import rsi
from include.market.timeframes import DAY_MS
from include.strategies.catalogue.rsi import Rsi
from include.strategies.costs import TradingCosts
from include.strategies.definition import SearchRange
from include.strategies.holding import hold
from include.strategies.optimise.evaluator import Evaluator, Terms
from include.strategies.optimise.memory import ProcessMemory
from include.strategies.optimise.progress import Progress
from include.strategies.optimise.request import OptimisationRequest
from include.strategies.optimise.robustness import doubt
from include.strategies.optimise.run import run_optimisation
from include.strategies.optimise.searching import Searcher, SearchOrder
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment
from include.strategies.optimise.walk_forward import Stitched, walk
from include.strategies.optimise.windows import plan
from include.strategies.optimise.workers import Workers
from tests.ml.real_candles import at_ms, real_candles

MOST = 1.2
MOST_MEMORY_MB = 1500
WARM_UP_DAYS = 20
ROUNDS = {50: 3}
"""Rounds in turn, of which the fastest counts; one where none is said."""

RANGES = {
    50: {"rsi_period": (11, 20, 1), "rsi_overbought": (65, 85, 5), "rsi_oversold": (30, 30, 1)},
    500: {"rsi_period": (8, 27, 1), "rsi_overbought": (65, 85, 5), "rsi_oversold": (15, 35, 5)},
}
"""Low, high and step of each parameter; the products are 50 and 500."""


class Wide(Rsi):
    """The strategy with other ranges to search."""

    def __init__(self, count: int) -> None:
        self._count = count

    def search_space(self) -> dict[str, SearchRange]:
        """Return the ranges that hold so many combinations."""
        return {name: SearchRange(*numbers) for name, numbers in RANGES[self._count].items()}


class BareRsi(Strategy):
    """The same rule as a backtesting.py strategy of its own."""

    rsi_period = 14
    rsi_overbought = 70
    rsi_oversold = 30

    def init(self) -> None:
        """Decide all positions at once, as ours does."""
        level = rsi(self.data.Close, self.rsi_period)
        low, high, middle = self.rsi_oversold, self.rsi_overbought, (self.rsi_overbought + self.rsi_oversold) / 2
        with warnings.catch_warnings():
            self.targets = hold(level <= low, level >= middle, level >= high, level <= middle).tolist()

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


class Peak:
    """Watches the memory of this process and its children."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.1):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.mb = max(self.mb, total / 2**20)


def theirs(candles: Candles, count: int, costs: TradingCosts) -> float:
    """Return the seconds of the library's own grid search."""
    space = SearchSpace.of(Wide(count))
    begun = time.perf_counter()
    test = Backtest(
        bare_frame(candles), BareRsi, cash=CASH, commission=costs.fee_pct / 100, spread=costs.spread_pct / 200,
        finalize_trades=True,
    )  # fmt: skip
    values = {name: list(column) for name, column in zip(space.names, space.values, strict=True)}
    _, heatmap = test.optimize(maximize="Sharpe Ratio", return_heatmap=True, **values)
    assert len(heatmap) == count
    return time.perf_counter() - begun


def ours(candles: Candles, count: int, costs: TradingCosts) -> tuple[float, dict[str, float]]:
    """Return the seconds of the plain search over the whole period, and those of what comes on top."""
    start_ms, end_ms = at_ms(UNTIL) - DAYS * DAY_MS, at_ms(UNTIL)
    space, order = SearchSpace.of(Wide(count)), SearchOrder("grid", count, "sharpe_ratio", 7)
    cut = plan(
        start_ms, end_ms, windows=4, anchored=False, train_share=0.7, embargo_days=1,
        lookback_ms=space.longest_lookback * candles.bar_ms,
    )  # fmt: skip
    evaluator = Evaluator(Terms("rsi", costs, CASH, "both"), candles)
    beside = {}
    begun = time.perf_counter()
    with Workers(evaluator, None) as workers:
        searcher = Searcher(space, order, workers, ProcessMemory(), "bench", Progress(1e12, lambda *_: None))
        found = searcher.search(Segment("whole", start_ms, end_ms), shows_best=True)
        plain = time.perf_counter() - begun
        assert len(found.variations) == count
        assert found.best is not None
        begun = time.perf_counter()
        walked = walk(cut.walk, searcher, lambda _: None)
        beside["walk-forward"] = time.perf_counter() - begun
        tested = searcher.run(cut.final.test, found.best)
    begun = time.perf_counter()
    doubt(found, tested, Stitched.of(walked))
    beside["robustness"] = time.perf_counter() - begun
    return plain, beside


def whole(candles: Candles, method: Any) -> float:
    """Return the seconds of everything that the task does with 50 variations, pages included."""
    order = OptimisationRequest(
        "rsi", "BTCUSDT", "1h", at_ms(UNTIL) - DAYS * DAY_MS, at_ms(UNTIL), method=method, variations=50
    )
    begun = time.perf_counter()
    run_optimisation(order, candles, ProcessMemory(), lambda *_: None).document()
    return time.perf_counter() - begun


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description="plain variations against Backtest.optimize")
    parser.add_argument("--variations", default="50,500", help="50, 500 or both")
    counts = [int(count) for count in parser.parse_args().variations.split(",")]
    warnings.simplefilter("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    folder = Path(os.environ.get("MARKET_DATA_DIR", REPOSITORY.parent / "shared" / "data" / "klines"))
    candles, costs = real_candles(folder, "BTCUSDT", UNTIL, DAYS + WARM_UP_DAYS), TradingCosts()
    year = candles.between(at_ms(UNTIL) - DAYS * DAY_MS)
    kept = []
    print(f"{len(year)} hourly bars of BTCUSDT, {len(os.sched_getaffinity(0))} cores, seconds")
    with Peak() as peak:
        whole(candles, "grid")  # imports, and the system's file cache
        for count in counts:
            rounds = [(theirs(year, count, costs), *ours(candles, count, costs)) for _ in range(ROUNDS.get(count, 1))]
            library, plain = min(their for their, _, _ in rounds), min(our for _, our, _ in rounds)
            kept.append(plain <= MOST * library)
            on_top = ", ".join(f"{name} {took:.2f}" for name, took in rounds[-1][2].items())
            ratio = f"ratio {plain / library:.2f} (at most {MOST}) {'kept' if kept[-1] else 'BROKEN'}"
            print(f"  {count:4d} variations: Backtest.optimize {library:.2f}, ours {plain:.2f}, {ratio}")
            print(f"       beside it: {on_top}")
        for method in ("grid", "genetic", "model"):
            print(f"  everything with 50 variations, {method}: {whole(candles, method):.2f}")
    kept.append(peak.mb <= MOST_MEMORY_MB)
    print(f"  peak memory {peak.mb:.0f} MB (at most {MOST_MEMORY_MB}) {'kept' if kept[-1] else 'BROKEN'}")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
