"""The full honesty check: no edge where there is none, an edge where there is one.

For every network type, both labels, on 40 fixed random walks with 1,760 bars held out: the lower limit of the
skill's 95 % interval is above zero in at most 5 (an honest interval: in 1). On 20 series whose volume
announces the drift of the coming bars, which no baseline sees: in at least 19. To allow for 300 trainings the
networks are small (16 units, windows of 16 bars) and train 5 epochs; features, labels, splits, loop, choice
of the epoch and evaluation are the ones that every training uses.

Prints a Markdown table and exits with 1 when a limit is broken.

usage: python benchmarks/bench_honesty.py [--types lstm,gru,transformer] [--walks 40] [--signals 20] [--processes N]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from include.ml.evaluation import Evaluation
from tests.ml.trials import WINDOW, Trial, run_trial

BARS = 4400
EPOCHS = 5
WALKS, MOST_ON_WALKS = 40, 5
SIGNALS, FEWEST_ON_SIGNALS = 20, 19


def limit_threads() -> None:
    """Give a worker process one thread: the processes share the machine."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def row(trials: list[Trial], results: list[Evaluation]) -> tuple[str, bool]:
    """Return one line of the table, and whether its limit is kept."""
    first, count, edges = trials[0], len(trials), sum(result.edge for result in results)
    if first.signal:
        least = -(-count * FEWEST_ON_SIGNALS // SIGNALS)
        kept, limit, series = edges >= least, f"at least {least}", "planted signal"
    else:
        most = count * MOST_ON_WALKS // WALKS
        kept, limit, series = edges <= most, f"at most {most}", "random walks"
    skill, accuracy = (statistics.mean(getattr(result, name) for result in results) for name in ("skill", "accuracy"))
    bars = min(result.bars for result in results)
    return (
        f"| {first.model_type} | {first.target} | {count} {series} | {bars} | {accuracy:.3f} | {skill:+.4f} "
        f"| {edges} | {limit} | {'kept' if kept else 'BROKEN'} |"
    ), kept


def main() -> int:
    """Run all trials in processes of one thread each and judge them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", default="lstm,gru,transformer")
    parser.add_argument("--walks", type=int, default=WALKS)
    parser.add_argument("--signals", type=int, default=SIGNALS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    groups = []
    for model_type in options.types.split(","):
        for target in ("return", "trend"):
            groups.append([Trial(model_type, target, False, seed, BARS, EPOCHS) for seed in range(options.walks)])
        groups.append([Trial(model_type, "return", True, seed, BARS, EPOCHS) for seed in range(options.signals)])
    print(
        f"{sum(map(len, groups))} trainings: small networks (16 units, window {WINDOW}), {EPOCHS} epochs, {BARS} bars"
    )
    started, lines, all_kept = time.monotonic(), [], True
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context, initializer=limit_threads) as pool:
        for trials in groups:
            line, kept = row(trials, list(pool.map(run_trial, trials)))
            print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)
            lines.append(line)
            all_kept = all_kept and kept
    print("\n| network | label | series | bars held out | accuracy | mean skill | lower limit > 0 | allowed | |")
    print("|---|---|---|---|---|---|---|---|---|\n" + "\n".join(lines))
    print(f"\n{'All limits kept' if all_kept else 'A LIMIT IS BROKEN'} ({time.monotonic() - started:.0f} s).")
    return 0 if all_kept else 1


if __name__ == "__main__":
    sys.exit(main())
