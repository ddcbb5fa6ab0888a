"""One honesty trial: train a small network on a synthetic series and judge it on the series' hold-out."""

from __future__ import annotations

from dataclasses import dataclass

from include.ml.config import ModelType, Target, TrainingConfig
from include.ml.dataset import build_dataset
from include.ml.evaluation import Evaluation
from include.ml.predictor import score
from include.ml.spec import history_bars
from include.ml.training import train
from tests.ml.series import planted, random_walk

WINDOW = 16


@dataclass(frozen=True)
class Trial:
    """What is trained on what: `bars` labelled bars of which two fifths are held out."""

    model_type: ModelType
    target: Target
    signal: bool
    seed: int
    bars: int
    epochs: int


def run_trial(trial: Trial) -> Evaluation:
    """Return the evaluation on the hold-out; the network, its window and its epochs are small to allow for hundreds."""
    import keras

    series = planted if trial.signal else random_walk
    candles = series(trial.bars + 8 + history_bars(WINDOW) - 1, trial.seed)
    config = TrainingConfig(
        trial.model_type,
        epochs=trial.epochs,
        batch_size=128,
        learning_rate=0.005,
        validation_split=0.4,
        target=trial.target,
        seed=trial.seed,
        window=WINDOW,
        size="small",
    )
    dataset = build_dataset(candles, config, bars=trial.bars + 8)
    model = train(dataset, config).model
    evaluation = score(model, dataset.spec, candles, start_ms=dataset.spec.split_ms)
    keras.backend.clear_session()
    return evaluation
