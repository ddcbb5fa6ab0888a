"""What is taken out of a Keras network, and which networks are refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from include.errors import IntegrityError
from include.ml.config import MODEL_TYPES
from include.ml.light.export import export_arrays
from include.ml.predictor import load_model_bytes, save_model_bytes
from tests.ml.light.networks import perturbed


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_reloaded_network_has_the_same_arrays_under_the_same_names(model_type: str) -> None:
    network = perturbed(model_type, "standard")
    again = export_arrays(load_model_bytes(save_model_bytes(network.model)))
    assert list(again) == list(network.arrays)
    for name, array in again.items():
        np.testing.assert_array_equal(array, network.arrays[name])
        assert array.dtype == np.float32
    assert sum(array.size for array in again.values()) == network.model.count_params()


def rebuilt(model_type: str, change: Any) -> keras.Model:
    """The network again, with the layers that `change` returns for theirs (None: as it was)."""
    return keras.models.clone_model(
        perturbed(model_type).model,
        clone_function=lambda layer: change(layer) or type(layer).from_config(layer.get_config()),
    )


@pytest.mark.parametrize(
    ("model_type", "layer_name", "changes", "complaint"),
    [
        ("gru", "gru_1", {"reset_after": False}, "gru_1 of network gru_small has reset_after False"),
        ("lstm", "lstm_1", {"activation": "relu"}, "lstm_1 of network lstm_small has activation 'relu'"),
        ("transformer", "final_norm", {"epsilon": 1e-6}, "final_norm of network transformer_small has epsilon 1e-06"),
        ("transformer", "mlp_in_1", {"activation": "gelu"}, "mlp_in_1 of network transformer_small has activation"),
        ("lstm", "trunk", {"activation": "tanh"}, "trunk of network lstm_small has activation 'tanh'"),
        ("lstm", "trunk", {"use_bias": True}, r"unknown \['trunk/bias'\]"),
        ("lstm", "lstm_1", {"name": "memory"}, r"does not know: memory \(LSTM\)"),
    ],
)
def test_a_network_that_computes_something_else_is_refused(
    model_type: str, layer_name: str, changes: dict[str, Any], complaint: str
) -> None:
    def change(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        return type(layer).from_config({**layer.get_config(), **changes}) if layer.name == layer_name else None

    with pytest.raises(IntegrityError, match=complaint):
        export_arrays(rebuilt(model_type, change))


def test_a_network_with_a_layer_nobody_knows_is_refused() -> None:
    window = keras.Input((60, 20), name="window")
    hidden = keras.layers.Conv1D(4, 3, name="convolution")(window)
    with pytest.raises(IntegrityError, match=r"does not know: convolution \(Conv1D\)"):
        export_arrays(keras.Model(window, keras.layers.Flatten()(hidden), name="lstm_small"))
