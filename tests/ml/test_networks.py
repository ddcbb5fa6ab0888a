"""What the networks promise before and whatever they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from include.ml.config import MODEL_TYPES, ModelType, TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.labels import trend_baseline
from tests.ml.series import random_walk

CANDLES = random_walk(720 + 227, seed=3)
CONFIG = TrainingConfig("lstm", size="small")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build_dataset(CANDLES, CONFIG, bars=720)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_untrained_network_is_the_baseline_with_normal_quantiles(model_type: ModelType, dataset: Dataset) -> None:
    from include.ml.networks import build_network

    model = build_network(replace(CONFIG, model_type=model_type), dataset.spec)
    output = model(dataset.windows(dataset.inner), training=False)
    probability = np.asarray(output["probability"])
    assert probability.shape == (len(dataset.inner), 1)
    np.testing.assert_array_equal(probability[:, 0] > 0.5, trend_baseline(CANDLES.close)[dataset.inner] == 1.0)
    quantiles = np.asarray(output["quantiles"])
    assert quantiles.shape == (len(dataset.inner), 8, 3)
    np.testing.assert_allclose(quantiles.mean(axis=(0, 1)), [-1.28, 0.0, 1.28], atol=0.15)


def test_for_the_return_label_an_untrained_network_knows_nothing(dataset: Dataset) -> None:
    from include.ml.networks import build_network

    model = build_network(replace(CONFIG, target="return"), dataset.spec)
    assert (np.asarray(model(dataset.windows(dataset.inner))["probability"]) == 0.5).all()


@pytest.mark.parametrize("size", ["small", "standard"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_quantiles_are_sorted_whatever_the_weights(model_type: ModelType, size: str, dataset: Dataset) -> None:
    from include.ml.networks import build_network

    config = TrainingConfig.from_dict({**CONFIG.to_dict(), "model_type": model_type, "size": size})
    model = build_network(config, dataset.spec)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(2.0 * rng.standard_normal(variable.shape).astype(np.float32))
    quantiles = np.asarray(model(dataset.windows(dataset.inner), training=False)["quantiles"])
    assert (np.diff(quantiles, axis=2) >= 0).all()
    assert np.isfinite(quantiles).all()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_order_of_the_bars_in_the_window_matters(model_type: ModelType, dataset: Dataset) -> None:
    from include.ml.networks import build_network

    model = build_network(replace(CONFIG, model_type=model_type), dataset.spec)
    windows = dataset.windows(dataset.inner)
    reversed_past = np.concatenate([windows[:, -2::-1], windows[:, -1:]], axis=1)
    one = np.asarray(model(windows, training=False)["quantiles"])
    other = np.asarray(model(reversed_past, training=False)["quantiles"])
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(("model_type", "layers"), [("lstm", "lstm"), ("gru", "gru"), ("transformer", "attention")])
def test_tc_async_016_017_each_type_is_what_its_name_says(model_type: ModelType, layers: str, dataset: Dataset) -> None:
    from include.ml.networks import build_network

    config = TrainingConfig(model_type)
    names = [layer.name for layer in build_network(config, dataset.spec).layers]
    assert {f"{layers}_1", f"{layers}_2"} <= set(names)
    assert ("position" in names) == (model_type == "transformer")


def test_the_seed_decides_the_weights(dataset: Dataset) -> None:
    from include.ml.networks import build_network

    def weights(seed: int) -> np.ndarray:
        model = build_network(replace(CONFIG, seed=seed), dataset.spec)
        return np.concatenate([np.ravel(variable) for variable in model.trainable_variables])

    np.testing.assert_array_equal(weights(1), weights(1))
    assert np.abs(weights(1) - weights(2)).max() > 0.01


def test_the_pinball_loss_is_smallest_at_the_true_quantiles() -> None:
    from include.ml.losses import pinball

    draws = np.random.default_rng(1).standard_normal((20_000, 1)).astype(np.float32)
    mask = np.ones_like(draws)

    def loss(quantiles: list[float]) -> float:
        return float(np.mean(pinball(draws, mask, np.tile(np.array(quantiles, np.float32), (len(draws), 1, 1)))))

    best = loss([-1.2816, 0.0, 1.2816])
    for other in ([-1.0, 0.0, 1.0], [-1.6, 0.0, 1.6], [-1.28, 0.3, 1.28], [-1.28, 0.0, 2.0]):
        assert loss(other) > best
    assert not np.asarray(pinball(draws, np.zeros_like(draws), np.zeros((len(draws), 1, 3), np.float32))).any()
