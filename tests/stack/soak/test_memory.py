"""Hours of mixed work: the processes that stay do not grow."""

from __future__ import annotations

import csv
import itertools
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.chain.strategy_lab import FIRST, HALF_A_YEAR
from tests.stack.figures import note
from tests.stack.soak.memory import Series, look, tensorflow_alone_mib
from tests.stack.stack import Run, Stack

FULL_S, QUICK_S = 2 * 3600.0, 150.0
WARM_UP_SHARE = 0.25
BLOCK_S = 300.0
EVERY_S, EVERY_S_AT_FIRST = 15.0, 4.0
"""Between two runs; during the warm-up they come faster. Caches fill with work, not with time: at one run every 15 s
the scheduler's were full after some 350 runs."""
GROWTH_LIMIT_PCT = 1.0
WORKER_LIMIT_MIB = 1536.0
TRAINS = "worker-ml"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def mixed_work(stack: Stack) -> Iterator[Run]:
    """Start one run at a time of what people and schedules start, for ever: short ones often, trainings seldom."""
    first = FIRST + timedelta(weeks=stack.control.data()["shift_weeks"])
    for number in itertools.count():
        symbol = SYMBOLS[number % len(SYMBOLS)]
        days = {"start_date": str(first), "end_date": str(first + timedelta(days=30 + number % 60))}
        wanted: list[tuple[str, dict[str, Any]]] = [
            ("predict_price", {"symbol": "BTCUSDT", "model_type": "gru"}),
            ("backtest_strategy", {"strategy_name": ("rsi", "macd")[number % 2], "symbol": symbol, **days}),
            ("bulk_analysis", {"symbols": ["BTCUSDT"], "model_type": "gru"}),
        ]
        if number % 4 == 1:
            half_a_year = days | {"end_date": str(first + timedelta(days=HALF_A_YEAR))}
            search = {"strategy_name": "rsi", "symbol": symbol, "parameter_variations": 10, **half_a_year}
            wanted.append(("optimize_strategy", search))
        if number % 8 == 3:
            wanted.append(("train_model", {"model_type": "gru", "symbol": symbol, "epochs": 5, "deploy": False}))
        for dag_id, conf in wanted:
            yield stack.start(dag_id, conf)


@pytest.mark.timeout(3 * 3600)
def test_nothing_that_stays_grows(stack: Stack, full: bool, tmp_path: Path) -> None:
    first = stack.run("train_model", {"model_type": "gru", "symbol": "BTCUSDT", "epochs": 20}, 400.0)
    assert first.state == "success", first.story
    lasts_s = FULL_S if full else QUICK_S
    watched = [name for name in stack.twin.components() if name.startswith("worker-")]
    pooled = (*watched, "scheduler", "triggerer")
    series = {name: Series(name, name in pooled) for name in (*pooled, "api-server", "dag-processor")}
    work, runs = mixed_work(stack), []
    began = time.monotonic()
    with (tmp_path / "memory.csv").open("w") as file:
        written = csv.writer(file)
        while (at_s := time.monotonic() - began) < lasts_s:
            runs.append(next(work))
            for name, sample in look(stack.folder, series, at_s).items():
                series[name].samples.append(sample)
                written.writerow([f"{at_s:.0f}", name, sample.first, sample.pool, sample.whole, sample.tasks])
            file.flush()
            time.sleep(EVERY_S_AT_FIRST if at_s < WARM_UP_SHARE * lasts_s else EVERY_S)
    states = stack.finish_all(runs, 900.0)
    failed = {run: state for run, state in states.items() if state != "success"}
    note("mixed work", f"{len(runs)} runs in {lasts_s / 60:.0f} min, {len(failed)} failed", "0 failed")
    tensorflow_mib = tensorflow_alone_mib()
    note("TensorFlow alone holds (MiB)", tensorflow_mib)
    most: dict[str, float] = {}
    too_fast: list[str] = []
    for name, one in series.items():
        if name in watched:
            trains = stack.twin.components()[name] == TRAINS
            most[name] = max(sample.whole - tensorflow_mib * sample.tasks * trains for sample in one.samples)
            note(f"{name}: most memory, beside TensorFlow's own (MiB)", most[name], WORKER_LIMIT_MIB)
        for kind, growth in one.growths(WARM_UP_SHARE * lasts_s, BLOCK_S if full else QUICK_S / 8).items():
            slope = f"{growth.pct_per_h:+.2f} % per hour, at most {growth.upper_pct_per_h:+.2f} % (95 %)"
            limit = f"< {GROWTH_LIMIT_PCT} %" if full else ""
            note(f"{name}, {kind}: {growth.mean_mib:.0f} MiB a process", slope, limit)
            if growth.upper_pct_per_h >= GROWTH_LIMIT_PCT:
                too_fast.append(f"{name}, {kind}: {slope}")
    assert not failed
    assert max(most.values()) < WORKER_LIMIT_MIB
    if full:
        assert too_fast == []
