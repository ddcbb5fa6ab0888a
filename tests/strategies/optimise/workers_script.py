"""Starts workers, says their process ids, and waits to be killed; for `test_workers.py`."""

from __future__ import annotations

import json
import sys
import time

from include.market.timeframes import DAY_MS
from include.strategies.costs import TradingCosts
from include.strategies.optimise.evaluator import Evaluator, Terms
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment
from include.strategies.optimise.workers import Workers
from include.strategies.registry import get_strategy
from tests.strategies.optimise.prices import START_MS, martingale


def main() -> None:
    """Evaluate something, so that the workers exist, then wait."""
    space = SearchSpace.of(get_strategy("rsi"))
    segment = Segment("train", START_MS, START_MS + 20 * DAY_MS)
    jobs = [(space.key(point), space.params(point)) for point in space.points[:8]]
    evaluator = Evaluator(Terms("rsi", TradingCosts(), 10_000.0, "both"), martingale(1, 20))
    with Workers(evaluator, 2) as workers:
        list(workers.evaluate(segment, jobs))
        sys.stdout.write(json.dumps(workers.process_ids) + "\n")
        sys.stdout.flush()
        time.sleep(600)


if __name__ == "__main__":
    main()
