"""The compiled forward pass says what the network says, follows its weights, and does not keep it alive."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import pytest

from include.ml import forward_pass
from include.ml.config import MODEL_TYPES, ModelType, TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.networks import build_network
from tests.ml.series import random_walk

DATA = build_dataset(random_walk(500 + 175, seed=3), TrainingConfig("lstm", epochs=1, window=8), bars=500)


def network(model_type: ModelType, data: Dataset = DATA) -> keras.Model:
    config = TrainingConfig(model_type, epochs=1, size="small", window=8)
    made = build_network(config, data.spec, data.quantile_prior)
    rng = np.random.default_rng(5)
    made.set_weights([0.3 * rng.standard_normal(array.shape) for array in made.get_weights()])
    return made


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_it_says_what_the_network_says_batch_by_batch(model_type: ModelType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_pass, "BATCH", 64)
    model = network(model_type)
    rows = DATA.holdout[:130]
    compiled = forward_pass.outputs_at(model, DATA.features, rows)
    eager = model(DATA.windows(rows), training=False)
    assert set(compiled) == set(eager)
    assert np.ptp(compiled["probability"]) > 0.1, "the windows differ, and so do the forecasts"
    for name, values in eager.items():
        np.testing.assert_allclose(compiled[name], np.asarray(values), rtol=1e-5, atol=1e-5)


def test_changed_weights_are_seen() -> None:
    model = network("gru")
    before = forward_pass.outputs_at(model, DATA.features, DATA.holdout)["logit"]
    bias = model.get_layer("skip").bias
    bias.assign(bias + 1.0)
    after = forward_pass.outputs_at(model, DATA.features, DATA.holdout)["logit"]
    np.testing.assert_allclose(after, before + 1.0, rtol=1e-5, atol=1e-5)


def test_a_network_that_nobody_uses_any_more_is_freed() -> None:
    model = network("lstm")
    forward_pass.outputs_at(model, DATA.features, DATA.holdout)
    known = weakref.ref(model)
    del model
    gc.collect()
    assert known() is None
