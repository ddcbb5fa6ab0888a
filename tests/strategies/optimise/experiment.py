"""The honesty experiment, one series at a time: an optimisation of prices whose truth is known.

The test runs a small form of it, `benchmarks/bench_edge.py` the full one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from include.strategies.optimise.objective import Objective
from include.strategies.optimise.verdict import Word
from tests.strategies.optimise.prices import martingale, mean_reverting
from tests.strategies.optimise.scenes import optimised, request

WARM_UP_DAYS = 30


@dataclass(frozen=True)
class Trial:
    """A series and a search on it.

    :param planted: whether there is an edge to find; else the prices are a martingale.
    """

    seed: int
    planted: bool
    days: int
    variations: int
    strategy: str = "rsi"
    windows: int = 4
    objective: Objective = "sharpe_ratio"


@dataclass(frozen=True)
class Finding:
    """What came of it.

    :param gross_return: of the walk-forward's test parts, each begun with the same cash, with the costs added back;
        as a share of that cash.
    """

    trial: Trial
    verdict: Word
    pbo: float | None
    gross_return: float
    sharpe: float | None
    trades: int
    reasons: tuple[str, ...]


def examine(trial: Trial) -> Finding:
    """Optimise on the trial's series, with the usual costs."""
    make = mean_reverting if trial.planted else martingale
    order = request(
        trial.days, strategy=trial.strategy, variations=trial.variations, windows=trial.windows, seed=trial.seed,
        objective=trial.objective,
    )  # fmt: skip
    found = optimised(make(trial.seed, trial.days, WARM_UP_DAYS), order).document()
    outside = found["walk_forward"]["out_of_sample"]
    return Finding(
        trial=trial,
        verdict=found["verdict"],
        pbo=found["robustness"]["pbo"],
        gross_return=outside["gross_pnl_usdt"] / order.cash_usdt,
        sharpe=outside["sharpe_ratio"],
        trades=outside["total_trades"],
        reasons=tuple(found["verdict_reasons"]),
    )


def gross_z(findings: Sequence[Finding]) -> float:
    """Return how many standard errors the mean return before costs lies above zero."""
    returns = np.array([finding.gross_return for finding in findings])
    return float(returns.mean() / returns.std(ddof=1) * math.sqrt(len(returns)))


def mean_pbo(findings: Sequence[Finding]) -> float:
    """Return the mean probability of overfitting of those that have one."""
    return float(np.mean([finding.pbo for finding in findings if finding.pbo is not None]))
