"""Takes the weights out of a Keras network, as plain arrays with names. Called once per training, with TensorFlow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.errors import IntegrityError
from include.ml.light.bodies import LAYER_NORM_EPSILON
from include.ml.light.layout import PROJECTIONS, check_layout

if TYPE_CHECKING:
    import keras

_LAYERS = {
    "LSTM": r"lstm_\d+",
    "GRU": r"gru_\d+",
    "MultiHeadAttention": r"attention_\d+",
    "LayerNormalization": r"attention_norm_\d+|mlp_norm_\d+|final_norm",
    "Dense": r"projection|mlp_in_\d+|mlp_out_\d+|skip|trunk|baseline",
    "QuantileHead": r"quantiles",
    "InputLayer": r"window",
    "SpatialDropout1D": r"input_dropout",
    "Dropout": r"trunk_dropout",
    "Add": r"deviation|logit|attention_sum_\d+|mlp_sum_\d+",
    "Activation": r"probability",
    "SinusoidalPosition": r"position",
}
"""The layers that the forward pass knows: which kind stands under which names."""

_RECURRENT = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "go_backwards": False}
_SETTINGS: dict[str, dict[str, Any]] = {
    "LSTM": _RECURRENT,
    "GRU": {**_RECURRENT, "reset_after": True},
    "LayerNormalization": {"axis": -1, "epsilon": LAYER_NORM_EPSILON, "rms_scaling": False},
    "Activation": {"activation": "sigmoid"},
}
"""What the forward pass takes for granted of the layers that could be set up otherwise."""


def export_arrays(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a network of `include.ml.networks`, float32, named `layer/variable`.

    :raises IntegrityError: for a network with layers, settings or weights that `include.ml.light.forward` does not
        know; the message names them.
    """
    arrays: dict[str, NDArray[np.float32]] = {}
    for layer in model.layers:
        _require_known(layer, model.name)
        for variable in layer.weights:
            name = f"{layer.name}/{_variable(layer, variable.path)}"
            if name in arrays:
                raise IntegrityError(
                    f"Layer {layer.name} of network {model.name} has two weights named {name}: teach them to "
                    "include/ml/light"
                )
            arrays[name] = np.asarray(variable.numpy(), np.float32)
    check_layout(model_type_of(model), arrays)
    return arrays


def model_type_of(model: keras.Model) -> str:
    """Return the type of a network of `include.ml.networks`, which its name begins with."""
    return str(model.name).split("_", maxsplit=1)[0]


def _require_known(layer: Any, network: str) -> None:
    kind = type(layer).__name__
    if kind not in _LAYERS or not re.fullmatch(_LAYERS[kind], layer.name):
        raise IntegrityError(
            f"Network {network} has a layer that the light forward pass does not know: {layer.name} ({kind}); teach it "
            "to include/ml/light before such networks are trained"
        )
    config = layer.get_config()
    wanted = dict(_SETTINGS.get(kind, {}))
    if kind == "Dense":
        wanted["activation"] = "relu" if layer.name.startswith("mlp_in_") else "linear"
    for setting, value in wanted.items():
        # Keras keeps an axis as the list or the number that it was given as.
        found = config[setting][0] if isinstance(config[setting], list) else config[setting]
        if found != value and not (setting == "axis" and found == len(layer.input.shape) - 1):
            raise IntegrityError(
                f"Layer {layer.name} of network {network} has {setting} {found!r}, the light forward pass computes "
                f"{value!r}: teach it to include/ml/light before such networks are trained"
            )


def _variable(layer: Any, path: str) -> str:
    """Return the variable's name inside its layer: `kernel`, or `query/kernel` of an attention."""
    owner, name = path.split("/")[-2:]
    parts = (*PROJECTIONS, "attention_output")
    return f"{owner}/{name}" if type(layer).__name__ == "MultiHeadAttention" and owner in parts else name
