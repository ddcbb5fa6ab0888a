"""What progress, checkpoints, the choice of the epoch and encryption cost beside a bare `model.fit`.

Both sides train the same network on the same samples, with the same batch size and number of epochs, in turns, in
one process. Ours gathers windows from the feature matrix, evaluates the inner slice, writes a checkpoint and reports
after every epoch, and ends with the encrypted model file; Keras gets the materialised windows and does nothing
else. Both times include the compilation. Prints a Markdown table with times and throughput; exits with 1 when ours
takes more than 5 % longer.

usage: python benchmarks/bench_training.py [--types lstm,gru,transformer] [--bars 1440] [--epochs 30] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from include.ml.checkpoints import CheckpointStore, checkpoint_name
from include.ml.config import TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.encryption import encrypt
from include.ml.predictor import save_model_bytes
from include.ml.spec import history_bars
from include.ml.threads import configure_tensorflow
from include.ml.training import Progress, train
from tests.ml.series import random_walk

LIMIT = 1.05


def ours(dataset: Dataset, config: TrainingConfig) -> float:
    """Return the seconds of a training as the bundle does it."""
    heard: list[Progress] = []
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder), checkpoint_name(config.model_type, "TESTUSDT", "1h", "bench"))
        started = time.perf_counter()
        trained = train(dataset, config, checkpoints=store, on_epoch=heard.append, should_stop=lambda: False)
        (Path(folder) / "model.enc").write_bytes(encrypt(save_model_bytes(trained.model), bytes(32), "model.keras"))
        store.remove()
        seconds = time.perf_counter() - started
    assert len(heard) == config.epochs
    return seconds


def bare(dataset: Dataset, config: TrainingConfig, arrays: dict[str, Any]) -> float:
    """Return the seconds of Keras's own loop on the same samples."""
    import keras

    from include.ml.losses import QUANTILE_WEIGHT, pinball
    from include.ml.networks import build_network

    def quantile_loss(target: Any, quantiles: Any) -> Any:
        return QUANTILE_WEIGHT * pinball(target[:, 0], target[:, 1], quantiles)

    started = time.perf_counter()
    model = build_network(config, dataset.spec, dataset.quantile_prior)
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss={"logit": keras.losses.BinaryCrossentropy(from_logits=True), "quantiles": quantile_loss},
    )
    model.fit(
        arrays["windows"],
        {"logit": arrays["label"], "quantiles": arrays["quantiles"]},
        batch_size=config.batch_size,
        epochs=config.epochs,
        verbose=0,
    )
    return time.perf_counter() - started


def compare(config: TrainingConfig, bars: int, rounds: int) -> tuple[float, float, float, int]:
    """Return the medians of both sides in seconds, the median of the rounds' ratios, and the samples of an epoch."""
    import keras
    import numpy as np

    dataset = build_dataset(random_walk(bars + history_bars(config.window) - 1, seed=1), config, bars=bars)
    arrays = {
        "windows": dataset.windows(dataset.fit),
        "label": dataset.label[dataset.fit][:, None],
        "quantiles": np.stack([dataset.quantile_target[dataset.fit], dataset.quantile_mask[dataset.fit]], axis=1),
    }
    pairs = []
    for number in range(rounds):
        pair = {}
        for side in ("ours", "bare") if number % 2 == 0 else ("bare", "ours"):
            pair[side] = ours(dataset, config) if side == "ours" else bare(dataset, config, arrays)
            keras.backend.clear_session()
        pairs.append((pair["ours"], pair["bare"]))
        print(
            f"  {config.model_type} round {number + 1}: ours {pair['ours']:.1f} s, bare {pair['bare']:.1f} s",
            flush=True,
        )
    mine, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(mine), statistics.median(theirs), ratio, len(dataset.fit)


def main() -> int:
    """Measure every type and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", default="lstm,gru,transformer")
    parser.add_argument("--bars", type=int, default=1440)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows, worst = [], 0.0
    for model_type in options.types.split(","):
        config = TrainingConfig.from_dict({"model_type": model_type, "epochs": options.epochs})
        configure_tensorflow(config)
        mine, theirs, ratio, samples = compare(config, options.bars, options.rounds)
        worst = max(worst, ratio)
        read = samples * options.epochs
        rows.append(
            f"| {model_type} | {mine:.1f} | {theirs:.1f} | {ratio:.2f} | {read / mine:,.0f} | {read / theirs:,.0f} |"
        )
    print(
        f"\nTraining, {options.bars} bars of 1h, {options.epochs} epochs, batch {config.batch_size}, "
        f"{os.cpu_count()} cores:\n"
    )
    print(
        "| network | ours, s (checkpoints, progress, encryption) | bare `model.fit`, s | ratio | ours, samples/s "
        "| bare, samples/s |\n|---|---|---|---|---|---|"
    )
    print("\n".join(rows))
    print(f"\nLimit of the ratio: {LIMIT}. {'Kept.' if worst <= LIMIT else 'EXCEEDED.'}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
