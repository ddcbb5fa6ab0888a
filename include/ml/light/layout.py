"""Which arrays a network of each type has, and their shapes: the description that export and forward pass share.

An array is named after its layer and its variable, `lstm_1/recurrent_kernel` or `attention_2/query/bias`; the layers'
names are those of `include.ml.networks`. Sizes are read from the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from include.errors import IntegrityError
from include.ml.config import MODEL_TYPES

Arrays = Mapping[str, NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]
Signature = tuple[tuple[str, tuple[int, ...]], ...]

GATES = {"lstm": 4, "gru": 3}
"""Blocks of columns in a recurrent kernel: Keras keeps the LSTM's as i, f, c, o and the GRU's as z, r, h."""
PROJECTIONS = ("query", "key", "value")
QUANTILES_PER_HORIZON = 3
EXPORT_AGAIN = "the model is one of other code: train it again"


def signature(arrays: Arrays) -> Signature:
    """Return names and shapes in the order of the names: networks of equal signature can be stacked."""
    return tuple((name, arrays[name].shape) for name in sorted(arrays))


def blocks(model_type: str, names: Mapping[str, object]) -> int:
    """Return how many recurrent layers, or attention blocks, the names speak of."""
    last = "attention_{}/query/kernel" if model_type == "transformer" else f"{model_type}_{{}}/kernel"
    count = 0
    while last.format(count + 1) in names:
        count += 1
    return count


def check_layout(model_type: str, arrays: Arrays) -> None:
    """Make sure that the arrays are the complete weights of one network of this type, and nothing else.

    :raises IntegrityError: for an unknown type, arrays missing or too many, or shapes that do not fit together; the
        message names them.
    """
    if model_type not in MODEL_TYPES:
        raise IntegrityError(f"No forward pass for model type {model_type!r}; known are {', '.join(MODEL_TYPES)}")
    found = {name: arrays[name].shape for name in arrays}
    try:
        expected = _expected(model_type, found)
    except (KeyError, IndexError, ValueError) as error:
        raise IntegrityError(
            f"These are not the weights of a {model_type} network: {error} is missing or misshapen among "
            f"{', '.join(sorted(found)) or 'no arrays'}; {EXPORT_AGAIN}"
        ) from error
    if expected == found:
        return
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    differing = [
        f"{name} {found[name]} instead of {expected[name]}"
        for name in sorted(set(expected) & set(found))
        if found[name] != expected[name]
    ]
    raise IntegrityError(
        f"These are not the weights of a {model_type} network: missing {missing}, unknown {unknown}, shapes "
        f"{differing}; {EXPORT_AGAIN}"
    )


def _expected(model_type: str, found: Mapping[str, tuple[int, ...]]) -> Shapes:
    features = found["skip/kernel"][0]
    count = blocks(model_type, found)
    if count == 0:
        raise KeyError(f"the first {model_type} layer")
    if model_type == "transformer":
        shapes, width = _transformer(found, features, count)
    else:
        shapes, width = _recurrent(model_type, found, features, count)
    outputs = found["quantiles/bias"][0]
    if outputs == 0 or outputs % QUANTILES_PER_HORIZON:
        raise ValueError("quantiles/bias")
    shapes |= {
        "skip/kernel": (features, 1),
        "skip/bias": (1,),
        "trunk/kernel": (width, 1),
        "quantiles/kernel": (width, outputs),
        "quantiles/bias": (outputs,),
    }
    if "baseline/kernel" in found or "baseline/bias" in found:
        shapes |= {"baseline/kernel": (features, 1), "baseline/bias": (1,)}
    return shapes


def _recurrent(kind: str, found: Mapping[str, tuple[int, ...]], features: int, count: int) -> tuple[Shapes, int]:
    shapes: Shapes = {}
    width = features
    for number in range(1, count + 1):
        units = found[f"{kind}_{number}/recurrent_kernel"][0]
        columns = GATES[kind] * units
        shapes[f"{kind}_{number}/kernel"] = (width, columns)
        shapes[f"{kind}_{number}/recurrent_kernel"] = (units, columns)
        # A GRU with reset_after has one bias for the input and one for the state.
        shapes[f"{kind}_{number}/bias"] = (columns,) if kind == "lstm" else (2, columns)
        width = units
    return shapes, width


def _transformer(found: Mapping[str, tuple[int, ...]], features: int, count: int) -> tuple[Shapes, int]:
    width = found["projection/bias"][0]
    shapes: Shapes = {"projection/kernel": (features, width), "projection/bias": (width,)}
    for number in range(1, count + 1):
        heads, size = found[f"attention_{number}/query/bias"]
        hidden = found[f"mlp_in_{number}/bias"][0]
        for name in PROJECTIONS:
            shapes[f"attention_{number}/{name}/kernel"] = (width, heads, size)
            shapes[f"attention_{number}/{name}/bias"] = (heads, size)
        shapes[f"attention_{number}/attention_output/kernel"] = (heads, size, width)
        shapes[f"attention_{number}/attention_output/bias"] = (width,)
        shapes |= {
            f"mlp_in_{number}/kernel": (width, hidden),
            f"mlp_in_{number}/bias": (hidden,),
            f"mlp_out_{number}/kernel": (hidden, width),
            f"mlp_out_{number}/bias": (width,),
        }
    norms = ["final_norm", *(f"{part}_norm_{n}" for part in ("attention", "mlp") for n in range(1, count + 1))]
    for name in norms:
        shapes |= {f"{name}/gamma": (width,), f"{name}/beta": (width,)}
    return shapes, width
