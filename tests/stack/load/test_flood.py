"""500 backtests at once: an emergency stop and the health check do not wait for them."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from include.store.collections import BACKTEST_RESULTS
from tests.chain.strategy_lab import FIRST
from tests.stack.figures import note
from tests.stack.load.measuring import await_ended, metadata_database, times, trigger
from tests.stack.stack import Run, Stack

BACKTEST, EMERGENCY, HEALTH = "backtest_strategy", "emergency_strategy_disable", "system_health_check"
STRATEGIES = ("rsi", "macd", "bollinger", "volume")
DAYS = 7
EVERY_S = 10.0
AT_REST = 5
START_LIMIT_S = 5.0
RUNS_OVER = "SELECT count(*) FROM dag_run WHERE dag_id = %s AND run_id LIKE 'load__%%' AND state = 'success'"


def backtest(stack: Stack) -> dict[str, Any]:
    """Return a small backtest's conf."""
    first = FIRST + timedelta(weeks=stack.control.data()["shift_weeks"])
    last = first + timedelta(days=DAYS)
    return {"strategy_name": "rsi", "symbol": "BTCUSDT", "start_date": str(first), "end_date": str(last)}


def watchmen(stack: Stack, number: int) -> dict[str, float]:
    """Run one emergency stop and one health check; return the seconds from each one's trigger to its task's start."""
    confs: dict[str, dict[str, Any]] = {
        EMERGENCY: {"strategy_name": STRATEGIES[number % len(STRATEGIES)], "reason": f"load test, number {number}"},
        HEALTH: {},
    }
    since: dict[str, float] = {}
    runs: dict[str, Run] = {}
    for dag_id, conf in confs.items():
        since[dag_id] = time.time()
        runs[dag_id] = stack.start(dag_id, conf)
    await_ended(stack, list(runs.values()), 120.0)
    seconds = {}
    for dag_id, run in runs.items():
        (task,) = times(stack, [run])
        assert (task.run_state, task.try_number) == ("success", 1), f"{run}: {task}"
        seconds[dag_id] = task.started - since[dag_id]
    return seconds


def over(stack: Stack) -> int:
    """Return how many of the backtests have succeeded."""
    with metadata_database(stack) as database:
        return int(database.execute(RUNS_OVER, (BACKTEST,)).fetchone()[0])  # type: ignore[index]


@pytest.mark.timeout(7200)
def test_the_watchmen_do_not_wait_for_a_flood_of_backtests(stack: Stack, full: bool) -> None:
    count = 500 if full else 40
    stack.finish_all([stack.start(BACKTEST, backtest(stack))], 240.0)  # fetches the candles
    at_rest = [watchmen(stack, number) for number in range(AT_REST)]
    began, flooded = time.monotonic(), []
    with ThreadPoolExecutor(1) as thread:
        flood = thread.submit(trigger, stack, BACKTEST, [backtest(stack)] * count)
        while not flood.done() or over(stack) < count:
            next_one = time.monotonic() + EVERY_S
            flooded.append(watchmen(stack, len(flooded)))
            assert time.monotonic() < began + 7000.0, f"{over(stack)} of {count} backtests are done"
            while time.monotonic() < next_one and (not flood.done() or over(stack) < count):
                time.sleep(0.5)
        runs = flood.result()
    took_s = time.monotonic() - began
    note(f"flood: backtests done ({took_s:.0f} s, load {os.getloadavg()[0]:.1f})", over(stack), count)
    for dag_id in (EMERGENCY, HEALTH):
        rest, flood_s = ([one[dag_id] for one in some] for some in (at_rest, flooded))
        note(f"{dag_id}: trigger to task start at rest, median of {len(rest)}, s", statistics.median(rest))
        note(f"{dag_id}: in the flood, median of {len(flood_s)}, s", statistics.median(flood_s))
        note(f"{dag_id}: in the flood, longest, s", max(flood_s), START_LIMIT_S)
    tasks = times(stack, runs)
    assert {(task.run_state, task.state) for task in tasks} == {("success", "success")}
    ids = [run_id for _, run_id in runs]
    assert stack.db[BACKTEST_RESULTS].count_documents({"_id": {"$in": ids}}) == count
    if full:
        assert max(one[EMERGENCY] for one in flooded) < START_LIMIT_S
        assert max(one[HEALTH] for one in flooded) < START_LIMIT_S
