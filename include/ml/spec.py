"""The description that travels with a model: what it was fed, what it has seen, what it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.errors import IntegrityError
from include.ml.features import WARMUP_BARS


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed beside the network to predict with it and to judge it fairly.

    Times are milliseconds since the epoch, UTC. `training_end_ms` is the end, exclusive, of everything that
    the training or the choice of the epoch has seen, closes that decided a label included; candles that open
    at or after it are unseen. `split_ms` is the open time of the first hold-out bar. `scaler_mean` and
    `scaler_scale` were fitted on the rows of the fit part alone. `majority_class` is the more frequent label there.
    """

    model_type: str
    symbol: str
    timeframe: str
    target: str
    label_horizon: int
    window: int
    feature_names: tuple[str, ...]
    scaler_mean: tuple[float, ...]
    scaler_scale: tuple[float, ...]
    quantile_horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    training_start_ms: int
    training_end_ms: int
    split_ms: int
    data_end_ms: int
    majority_class: int
    fit_samples: int
    inner_samples: int
    holdout_samples: int
    candles_sha256: str

    @property
    def history_bars(self) -> int:
        """Candles up to and including a bar that its prediction needs: warm-up and window."""
        return history_bars(self.window)

    def scale(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features `(n, F)` in the units that the network was trained with, outliers cut at 6 deviations."""
        mean = np.asarray(self.scaler_mean, np.float32)
        scaled = (features - mean) / np.asarray(self.scaler_scale, np.float32)
        return np.clip(scaled, -6.0, 6.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values (tuples become lists)."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """Return the spec of :meth:`to_dict`'s values.

        :raises IntegrityError: when fields are missing or unknown: the document was written by other code.
        """
        names = {field.name for field in fields(cls)}
        if names != set(values):
            raise IntegrityError(
                f"Model description does not fit this code: missing {sorted(names - set(values))}, "
                f"unknown {sorted(set(values) - names)}; train the model again"
            )
        fixed: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**fixed)


def history_bars(window: int = 60) -> int:
    """Return the candles up to and including a bar that its sample needs: warm-up and window."""
    return WARMUP_BARS + window
