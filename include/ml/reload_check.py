"""Makes sure that what lies in the store is the model that was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from include.errors import IntegrityError

if TYPE_CHECKING:
    from include.market.candles import Candles
    from include.ml.spec import ModelSpec

TOLERANCE = 1e-6
CHECKED_BARS = 256


def require_same_predictions(model: Any, content: bytes, spec: ModelSpec, candles: Candles, name: str) -> None:
    """Compare the predictions of a trained model with those of its stored, decrypted file on the newest bars.

    :param content: the decrypted bytes of the file `name`.
    :raises IntegrityError: when the file is no model, or its predictions differ by more than 1e-6.
    """
    from include.ml.predictor import load_model_bytes, predict

    newest = candles.tail(spec.history_bars + CHECKED_BARS)
    trained = predict(model, spec, newest)
    reloaded = predict(load_model_bytes(content), spec, newest)
    pairs = (
        (trained.probability_up, reloaded.probability_up),
        (trained.log_return_quantiles, reloaded.log_return_quantiles),
    )
    difference = max(float(np.max(np.abs(before - after), initial=0.0)) for before, after in pairs)
    if not difference <= TOLERANCE or len(trained.open_time) == 0:
        raise IntegrityError(
            f"Model file {name} does not give the trained model's predictions after reloading: they differ by "
            f"{difference:.2g} on {len(trained.open_time)} bars; it was not registered, train again"
        )
