"""A deployed model made by hand, so that `predict_price` has somebody to ask: no training, no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from include.market.timeframes import DAY_MS
from include.ml.drift import feature_distribution
from include.ml.encryption import model_key
from include.ml.features import WARMUP_BARS, compute_features
from include.ml.labels import QUANTILE_HORIZONS, QUANTILES
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore
from include.ml.prediction.market import HOUR_MS
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from include.settings import Settings
from tests.ml.plain_models import deploy, plain_weights
from tests.ml.series import random_walk
from tests.stack.stack import Stack

UNITS = 64
"""As in the networks that are trained: a cached answer reads and decrypts the weights, too."""


def deploy_champion(stack: Stack, symbol: str, folder: Path) -> str:
    """Make a model of hourly candles the champion of its place and return its id; its data end a day ago."""
    secret = SecretStr(stack.twin.said("scheduler")["TRADING_OPS_MODEL_ENCRYPTION_KEY"])
    key = model_key(Settings(model_encryption_key=secret))
    names, features = compute_features(random_walk(1200, seed=1))
    end = stack.control.data()["now_ms"] // HOUR_MS * HOUR_MS - DAY_MS
    zeros, ones = (0.0,) * len(names), (1.0,) * len(names)
    spec = ModelSpec(
        "lstm", symbol, "1h", "trend", 8, 60, names, zeros, ones, QUANTILE_HORIZONS, QUANTILES, end - 50 * DAY_MS,
        end - 8 * DAY_MS, end - 7 * DAY_MS, end, 1, 900, 200, 200, "0" * 64,
    )  # fmt: skip
    record = deploy(
        ModelRegistry(stack.db),
        ModelFileStore(stack.db, key, folder),
        WeightStore(stack.db, key),
        spec,
        plain_weights(len(names), units=UNITS),
        task_id=f"load {symbol}",
        distribution=feature_distribution(names, features[WARMUP_BARS:]),
    )
    return record.id
