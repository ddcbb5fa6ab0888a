"""No edge from nothing, and an edge where there is one: the strategy laboratory on prices whose truth is known.

Hourly bars, 240 days, the usual costs, `rsi`, 50 variations, four walk-forward windows: on 200 seeded price martingales
(log drift -sigma^2/2, sigma 1 % an hour) and on 20 series of about the same volatility in which a part of the price
(standard deviation 3 %) fades with a half-life of 10 hours.

Limits: the mean return of the walk-forward with the costs added back lies within 3 standard errors of zero; the mean
probability of overfitting lies in 0.35-0.60; at most 10 of the 200 are called `robust` (the rule is built for 2 in
100), and at least 18 of the 20. The seeds are those of the series' numbers, 0 upwards; the rule of the verdict was
fixed on others, from 10,000.

The probability of overfitting compares variations after costs. A strategy whose variations trade very differently
often has a winner that lasts even on a martingale: the one that pays least. So `--strategy macd` breaks that limit.

Prints a table and exits with 1 when a limit is broken.

usage: python -m benchmarks.bench_edge [--martingales 200] [--planted 20] [--strategy rsi]
(about 3 minutes on two free cores)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

# One thread a process: the processes share the machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.strategies.optimise.experiment import Finding, Trial, examine, gross_z, mean_pbo

DAYS, VARIATIONS = 240, 50
MARTINGALES, MOST_ROBUST = 200, 10
PLANTED, FEWEST_ROBUST = 20, 18
MOST_Z = 3.0
PBO_FROM, PBO_TO = 0.35, 0.60


def main() -> int:
    """Examine all series on all cores and judge."""
    parser = argparse.ArgumentParser(description="the strategy laboratory on prices whose truth is known")
    parser.add_argument("--martingales", type=int, default=MARTINGALES)
    parser.add_argument("--planted", type=int, default=PLANTED)
    parser.add_argument("--strategy", default="rsi")
    options = parser.parse_args()
    trials = [Trial(seed, False, DAYS, VARIATIONS, options.strategy) for seed in range(options.martingales)]
    trials += [Trial(seed, True, DAYS, VARIATIONS) for seed in range(options.planted)]
    started, findings = time.monotonic(), []
    with ProcessPoolExecutor() as pool:
        for finding in pool.map(examine, trials):
            findings.append(finding)
            if len(findings) % 20 == 0:
                print(f"  {len(findings)} of {len(trials)} series, {time.monotonic() - started:.0f} s", flush=True)
    kept = [
        *without_edge([finding for finding in findings if not finding.trial.planted]),
        *with_edge([finding for finding in findings if finding.trial.planted]),
    ]
    print(f"{'all limits kept' if all(kept) else 'A LIMIT IS BROKEN'} ({time.monotonic() - started:.0f} s)")
    return 0 if all(kept) else 1


def without_edge(findings: Sequence[Finding]) -> list[bool]:
    """Print what came of the martingales; return whether each limit is kept."""
    if len(findings) < 2:
        return []
    z, pbo, robust = gross_z(findings), mean_pbo(findings), sum(found.verdict == "robust" for found in findings)
    gross = 100 * sum(found.gross_return for found in findings) / len(findings)
    most = max(1, len(findings) * MOST_ROBUST // MARTINGALES)
    kept = [abs(z) < MOST_Z, PBO_FROM <= pbo <= PBO_TO, robust <= most]
    print(f"{len(findings)} martingales, {words(findings)}, {mean_trades(findings):.0f} trades out of sample")
    print(f"  mean return before costs   {gross:+.2f} %, z {z:+.2f}   (|z| < {MOST_Z:g}) {said(kept[0])}")
    print(f"  mean PBO                   {pbo:.3f}   ({PBO_FROM:.2f} to {PBO_TO:.2f}) {said(kept[1])}")
    print(f"  called robust              {robust}   (at most {most}) {said(kept[2])}")
    return kept


def with_edge(findings: Sequence[Finding]) -> list[bool]:
    """Print what came of the planted series; return whether the limit is kept."""
    if not findings:
        return []
    robust = sum(found.verdict == "robust" for found in findings)
    least = -(-len(findings) * FEWEST_ROBUST // PLANTED)
    sharpe = sorted(found.sharpe or 0.0 for found in findings)
    print(f"{len(findings)} planted, {words(findings)}, {mean_trades(findings):.0f} trades out of sample")
    print(f"  Sharpe ratio out of sample {sharpe[0]:.1f} to {sharpe[-1]:.1f}; mean PBO {mean_pbo(findings):.3f}")
    print(f"  called robust              {robust}   (at least {least}) {said(robust >= least)}")
    for found in findings:
        if found.verdict != "robust":
            print(f"    seed {found.trial.seed} is {found.verdict}: {'; '.join(found.reasons)}")
    return [robust >= least]


def words(findings: Sequence[Finding]) -> str:
    """Return how often each verdict was spoken."""
    counts = Counter(found.verdict for found in findings)
    return ", ".join(f"{counts[word]} {word}" for word in ("robust", "weak", "overfit"))


def mean_trades(findings: Sequence[Finding]) -> float:
    """Return the mean number of trades."""
    return sum(found.trades for found in findings) / len(findings)


def said(kept: bool) -> str:
    """Return a word for a limit."""
    return "kept" if kept else "BROKEN"


if __name__ == "__main__":
    sys.exit(main())
