"""What LSTM, GRU and attention find in a window, for many networks at once, in NumPy.

Every function takes windows `(W, steps, F)` and weights with a leading axis of `W` networks, or of 1 when one network
reads all windows. Nothing is ever summed over that axis: a network of broken weights disturbs no neighbour. The
formulas are those of Keras 3 (keras/src/layers/rnn/lstm.py, gru.py, attention/multi_head_attention.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.ml.light.layout import PROJECTIONS, Arrays, blocks

Float32Array = NDArray[np.float32]

LAYER_NORM_EPSILON = 1e-3
"""Keras's default."""
LONGEST_WAVE = 1000.0
"""Base of the position's wave lengths, as in `include.ml.layers.SinusoidalPosition`."""


def sigmoid(x: Float32Array) -> Float32Array:
    """Return the logistic function; through tanh, which overflows nowhere."""
    return np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)


def trunk(model_type: str, weights: Arrays, windows: Float32Array) -> Float32Array:
    """Return what the network's body makes of the windows, `(W, width)`."""
    if model_type == "transformer":
        return _transformer(weights, windows)
    layer = _lstm if model_type == "lstm" else _gru
    x = windows
    for number in range(1, blocks(model_type, weights) + 1):
        x = layer(
            weights[f"{model_type}_{number}/kernel"],
            weights[f"{model_type}_{number}/recurrent_kernel"],
            weights[f"{model_type}_{number}/bias"],
            x,
        )
    return x[:, -1]


def _lstm(kernel: Float32Array, recurrent: Float32Array, bias: Float32Array, x: Float32Array) -> Float32Array:
    """Return the layer's state after every step, `(W, steps, units)`."""
    units = recurrent.shape[1]
    from_input = _by_step(x @ kernel + bias[:, None])
    states = np.empty((len(x), x.shape[1], units), np.float32)
    h = np.zeros((len(x), 1, units), np.float32)
    c = np.zeros((len(x), units), np.float32)
    for step, given in enumerate(from_input):
        z = given + (h @ recurrent)[:, 0]
        gates = sigmoid(z)  # one call for all four blocks: the candidate's share of it is not used
        candidate = np.tanh(z[:, 2 * units : 3 * units])
        c = gates[:, units : 2 * units] * c + gates[:, :units] * candidate
        h = (gates[:, 3 * units :] * np.tanh(c))[:, None]
        states[:, step] = h[:, 0]
    return states


def _gru(kernel: Float32Array, recurrent: Float32Array, bias: Float32Array, x: Float32Array) -> Float32Array:
    """Return the layer's state after every step, `(W, steps, units)`; with `reset_after`, Keras's default."""
    units = recurrent.shape[1]
    from_input = _by_step(x @ kernel + bias[:, :1])
    states = np.empty((len(x), x.shape[1], units), np.float32)
    h = np.zeros((len(x), units), np.float32)
    for step, given in enumerate(from_input):
        inner = (h[:, None] @ recurrent)[:, 0] + bias[:, 1]
        gates = sigmoid(given[:, : 2 * units] + inner[:, : 2 * units])
        update, reset = gates[:, :units], gates[:, units:]
        candidate = np.tanh(given[:, 2 * units :] + reset * inner[:, 2 * units :])
        h = update * h + (np.float32(1.0) - update) * candidate
        states[:, step] = h
    return states


def _by_step(x: Float32Array) -> Float32Array:
    """Return `(steps, W, columns)`, each step's numbers side by side in memory."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def _transformer(weights: Arrays, windows: Float32Array) -> Float32Array:
    x = _dense(weights, "projection", windows)
    x = x + _positions(x.shape[1], x.shape[2])
    count = blocks("transformer", weights)
    for number in range(1, count + 1):
        normed = _layer_norm(weights, f"attention_norm_{number}", x)
        if number == count:  # only the newest bar is read after the last block
            x = x[:, -1:]
        x = x + _attention(weights, f"attention_{number}", normed[:, -x.shape[1] :], normed)
        hidden = _dense(weights, f"mlp_in_{number}", _layer_norm(weights, f"mlp_norm_{number}", x))
        x = x + _dense(weights, f"mlp_out_{number}", np.maximum(hidden, np.float32(0.0)))
    return _layer_norm(weights, "final_norm", x)[:, -1]


def _positions(steps: int, width: int) -> Float32Array:
    """Return the waves that tell the bars of a window apart, `(steps, width)`, counted back from the newest bar."""
    age = np.arange(steps - 1, -1, -1, dtype=np.float32)[:, None]
    rate = np.exp(-np.log(LONGEST_WAVE) * np.arange(0, width, 2, dtype=np.float32) / width)
    return np.concatenate([np.sin(age * rate), np.cos(age * rate)], axis=1)[:, :width].astype(np.float32)


def _attention(weights: Arrays, name: str, asking: Float32Array, asked: Float32Array) -> Float32Array:
    heads, size = weights[f"{name}/query/bias"].shape[1:]
    query, key, value = (
        _heads(weights, f"{name}/{part}", x) for part, x in zip(PROJECTIONS, (asking, asked, asked), strict=True)
    )
    scores = (query @ key.swapaxes(-1, -2)) * np.float32(size**-0.5)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    seen = (shares @ value).swapaxes(1, 2).reshape(len(asking), asking.shape[1], heads * size)
    kernel = weights[f"{name}/attention_output/kernel"]
    output: Float32Array = seen @ kernel.reshape(len(kernel), heads * size, -1)
    return output + weights[f"{name}/attention_output/bias"][:, None]


def _heads(weights: Arrays, name: str, x: Float32Array) -> Float32Array:
    """Return the projection of every head, `(W, heads, steps, size)`."""
    kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
    heads, size = bias.shape[1:]
    projected = x @ kernel.reshape(len(kernel), kernel.shape[1], heads * size)
    projected += bias.reshape(len(bias), 1, heads * size)
    return projected.reshape(len(x), x.shape[1], heads, size).swapaxes(1, 2)


def _layer_norm(weights: Arrays, name: str, x: Float32Array) -> Float32Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    scale = weights[f"{name}/gamma"][:, None] / np.sqrt(variance + np.float32(LAYER_NORM_EPSILON))
    return centred * scale + weights[f"{name}/beta"][:, None]


def _dense(weights: Arrays, name: str, x: Float32Array) -> Float32Array:
    output: Float32Array = x @ weights[f"{name}/kernel"]
    return output + weights[f"{name}/bias"][:, None]
