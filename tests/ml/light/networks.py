"""Networks of every kind: trained for an epoch, or with weights far from where training starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from include.ml.config import TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.light.export import export_arrays
from include.ml.spec import ModelSpec
from tests.ml.series import random_walk

CANDLES = random_walk(500 + 227, seed=3)

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """A Keras network, its exported weights, and windows that it may be asked about."""

    model: Any
    arrays: Arrays
    spec: ModelSpec
    windows: np.ndarray


@cache
def dataset(model_type: str, target: str = "trend", window: int = 60) -> Dataset:
    config = TrainingConfig.from_dict({"model_type": model_type, "target": target, "window": window})
    return build_dataset(CANDLES, config, bars=500)


def config(model_type: str, size: str, target: str, window: int = 60) -> TrainingConfig:
    values = {"model_type": model_type, "size": size, "target": target, "window": window, "epochs": 1}
    return TrainingConfig.from_dict({**values, "learning_rate": 0.01})


@cache
def trained(model_type: str) -> Network:
    """A small network of the trend label after an epoch of training."""
    from include.ml.training import train

    data = dataset(model_type)
    return _network(train(data, config(model_type, "small", "trend")).model, data)


@cache
def perturbed(model_type: str, size: str = "small", target: str = "trend", window: int = 60, seed: int = 1) -> Network:
    """A network none of whose weights is where it started: what a long training may arrive at."""
    from include.ml.networks import build_network

    data = dataset(model_type, target, window)
    model = build_network(config(model_type, size, target, window), data.spec)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        reach = 0.7 / np.sqrt(variable.shape[0]) if len(variable.shape) > 1 else 0.3
        variable.assign(variable.numpy() + reach * rng.standard_normal(variable.shape))
    return _network(model, data)


def _network(model: Any, data: Dataset) -> Network:
    rng = np.random.default_rng(5)
    usual = data.windows(data.inner)[:20]
    extreme = np.where(rng.random(usual.shape) < 0.5, 6.0, -6.0)
    windows = np.concatenate([usual, extreme, np.full_like(usual[:1], 6.0), np.full_like(usual[:1], -6.0)])
    return Network(model, export_arrays(model), data.spec, windows.astype(np.float32))


def similar(network: Network, count: int, seed: int = 9) -> list[Arrays]:
    """Return the weights of so many networks of the same shapes, all different."""
    rng = np.random.default_rng(seed)
    return [
        {
            name: (array * rng.uniform(0.5, 1.5, array.shape)).astype(np.float32)
            for name, array in network.arrays.items()
        }
        for _ in range(count)
    ]


def spec_of(network: Network, symbol: str, model_type: str | None = None) -> ModelSpec:
    return replace(network.spec, symbol=symbol, model_type=model_type or network.spec.model_type)
