"""One year of hourly candles: from MongoDB into arrays, against a bare `find`, and back into MongoDB.

Run: `python -m benchmarks.bench_candles` (starts its own mongod). Prints the median of several rounds and exits
with 1 when loading takes 0.15 s or more.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymongo

from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.store.collections import ensure_indexes
from sandbox.mongod import start_mongod

BARS = 366 * 24
START_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC
LIMIT_S = 0.15
ROUNDS = 15


def one_year(symbol: str = "BTCUSDT") -> Candles:
    """Return 8,784 hourly candles of a random walk."""
    rng = np.random.default_rng(7)
    close = 40_000 * np.exp(np.cumsum(rng.normal(0, 0.004, BARS)))
    open_ = np.concatenate([[40_000.0], close[:-1]])
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    times = START_MS + np.arange(BARS, dtype=np.int64) * 3_600_000
    return Candles(symbol, "1h", times, open_, high, low, close, rng.uniform(0, 900, BARS))


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes, by the wall clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    """Measure and print; return the exit code."""
    candles = one_year()
    with tempfile.TemporaryDirectory() as folder:
        mongod = start_mongod(Path(folder))
        try:
            with pymongo.MongoClient[dict[str, Any]](mongod.uri) as client:
                db = client["bench"]
                ensure_indexes(db)
                store = CandleStore(db)
                for symbol in ("ETHUSDT", "SOLUSDT"):  # neighbours, so that the index has something to skip
                    store.upsert(one_year(symbol))
                new_s = seconds(lambda: store.upsert(candles))
                again_s = statistics.median(seconds(lambda: store.upsert(candles)) for _ in range(3))
                query = {"symbol": "BTCUSDT", "timeframe": "1h"}
                loads, finds = [], []
                for _ in range(ROUNDS):  # interleaved, so that a busy moment hits both
                    loads.append(seconds(lambda: store.load("BTCUSDT", "1h")))
                    finds.append(seconds(lambda: list(db.candles.find(query))))
                if store.load("BTCUSDT", "1h").sha256() != candles.sha256():
                    raise AssertionError("the loaded candles differ from the stored ones")
        finally:
            mongod.stop()
    load_s, find_s = statistics.median(loads), statistics.median(finds)
    print(f"{BARS} candles, median of {ROUNDS} rounds")
    print(f"  load into arrays, checked   {load_s * 1000:7.1f} ms   (limit {LIMIT_S * 1000:.0f} ms)")
    print(f"  bare find into a list       {find_s * 1000:7.1f} ms   ratio {load_s / find_s:.2f}")
    print(f"  upsert, all bars new        {new_s * 1000:7.1f} ms")
    print(f"  upsert, all bars known      {again_s * 1000:7.1f} ms")
    return 0 if load_s < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
