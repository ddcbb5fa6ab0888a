"""The output of a trained network, compiled once per network: eager, every one of the window's steps costs Python."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

FloatArray = NDArray[np.floating[Any]]
Outputs = dict[str, NDArray[np.float32]]

BATCH = 1024
"""Windows at a time: all windows of a long series at once would take 60 times its memory."""

_compiled: weakref.WeakKeyDictionary[keras.Model, Any] = weakref.WeakKeyDictionary()


def outputs_for(model: keras.Model, windows: FloatArray) -> Outputs:
    """Return the network's outputs by name for `windows` `(n, window, F)`, scaled; without dropout.

    The first call for a network compiles it, in the time of one eager pass; its weights may change afterwards.
    """
    run = _compiled.get(model)
    if run is None:
        run = _compiled[model] = _compile(model)
    return {name: np.asarray(output) for name, output in run(np.asarray(windows, np.float32)).items()}


def outputs_at(model: keras.Model, features: FloatArray, rows: NDArray[np.integer[Any]]) -> Outputs:
    """Return the network's outputs by name for the windows that end at `rows` `(n,)`, `n >= 1`, of a series.

    :param features: `(bars, F)`, scaled; each row must have a whole window of them.
    """
    offsets = np.arange(1 - model.input_shape[1], 1)
    parts = [outputs_for(model, features[rows[at : at + BATCH, None] + offsets]) for at in range(0, len(rows), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compile(model: keras.Model) -> Any:
    import tensorflow as tf

    known = weakref.ref(model)  # what is compiled lives as long as the network, not the other way round

    # Without autograph, which would leave a file in the temporary folder when the process ends by os._exit.
    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32)], autograph=False)
    def run(windows: Any) -> Any:
        network = known()
        assert network is not None, "it is alive while it is called"
        return network(windows, training=False)

    return run
