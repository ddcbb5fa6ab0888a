"""A model to bytes and back, forecasts for the newest bars, and scores on chosen bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from include.errors import BadInputError, IntegrityError
from include.ml.config import MODEL_TYPES, ModelType, TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.features import trailing_volatility
from include.ml.predictor import load_model_bytes, predict, save_model_bytes, score
from include.ml.training import train
from tests.ml.series import BAR_MS, random_walk

CANDLES = random_walk(700 + 227, seed=3)


@dataclass(frozen=True)
class Trained:
    """A model and the data it was trained on."""

    model: Any
    dataset: Dataset


@pytest.fixture(scope="module")
def trained() -> dict[str, Trained]:
    result = {}
    for model_type in MODEL_TYPES:
        config = TrainingConfig.from_dict({"model_type": model_type, "size": "small", "epochs": 1})
        dataset = build_dataset(CANDLES, config, bars=700)
        result[model_type] = Trained(train(dataset, config).model, dataset)
    return result


@pytest.mark.critical
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_reloaded_model_gives_the_same_forecasts(model_type: ModelType, trained: dict[str, Trained]) -> None:
    model, spec = trained[model_type].model, trained[model_type].dataset.spec
    again = load_model_bytes(save_model_bytes(model))
    one, other = predict(model, spec, CANDLES), predict(again, spec, CANDLES)
    np.testing.assert_allclose(other.probability_up, one.probability_up, atol=1e-6)
    np.testing.assert_allclose(other.log_return_quantiles, one.log_return_quantiles, atol=1e-6)


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty", "text"])
def test_a_damaged_model_file_is_refused(damage: str, trained: dict[str, Trained]) -> None:
    data = save_model_bytes(trained["gru"].model)
    middle = len(data) // 2
    broken = {
        "truncated": data[:middle],
        "changed": data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 64]) + data[middle + 64 :],
        "empty": b"",
        "text": b"<html>not found</html>",
    }[damage]
    with pytest.raises(IntegrityError, match="corrupt or truncated"):
        load_model_bytes(broken)


def test_the_newest_bars_without_a_label_are_predicted_too(trained: dict[str, Trained]) -> None:
    model, spec = trained["lstm"].model, trained["lstm"].dataset.spec
    forecast = predict(model, spec, CANDLES)
    np.testing.assert_array_equal(forecast.open_time, CANDLES.open_time[spec.history_bars - 1 :])
    assert forecast.log_return_quantiles.shape == (len(forecast.open_time), 8, 3)
    assert ((forecast.probability_up > 0) & (forecast.probability_up < 1)).all()
    assert (np.diff(forecast.log_return_quantiles, axis=2) >= 0).all()


def test_a_forecast_needs_no_later_candle_and_no_older_history_than_it_says(trained: dict[str, Trained]) -> None:
    model, spec = trained["lstm"].model, trained["lstm"].dataset.spec
    full = predict(model, spec, CANDLES)
    at = CANDLES.between(None, int(full.open_time[-5]) + 1)
    np.testing.assert_allclose(predict(model, spec, at).probability_up[-1], full.probability_up[-5], atol=1e-6)
    shortest = predict(model, spec, at.tail(spec.history_bars))
    assert len(shortest.open_time) == 1
    assert shortest.probability_up[0] == pytest.approx(full.probability_up[-5], abs=1e-3)


def test_quantiles_grow_with_the_volatility_of_the_bar(trained: dict[str, Trained]) -> None:
    model, spec = trained["lstm"].model, trained["lstm"].dataset.spec
    forecast = predict(model, spec, CANDLES)
    unit = trailing_volatility(CANDLES.close)[spec.history_bars - 1 :]
    width = forecast.log_return_quantiles[:, :, 2] - forecast.log_return_quantiles[:, :, 0]
    per_unit = width / unit[:, None] / np.sqrt(spec.quantile_horizons)
    assert np.median(per_unit) == pytest.approx(2.56, abs=0.4)


def test_the_score_of_the_hold_out_counts_its_bars_and_covers_about_80_percent(trained: dict[str, Trained]) -> None:
    model, dataset = trained["lstm"].model, trained["lstm"].dataset
    result = score(model, dataset.spec, CANDLES, start_ms=dataset.spec.split_ms)
    assert result.bars == len(dataset.holdout)
    assert 0.55 < result.baseline_accuracy < 0.85
    assert set(result.quantile_coverage_pct) == {"1", "2", "4", "8", "12", "24", "36", "48"}
    assert 70 < result.quantile_coverage_pct["1"] < 90


def test_the_limits_of_a_score_are_inclusive_and_exclusive_and_later_candles_decide_its_labels(
    trained: dict[str, Trained],
) -> None:
    model, spec = trained["lstm"].model, trained["lstm"].dataset.spec
    start, end = int(CANDLES.open_time[-60]), int(CANDLES.open_time[-20])
    assert score(model, spec, CANDLES, start, end).bars == 40
    assert score(model, spec, CANDLES, start).bars == 52
    with pytest.raises(BadInputError, match=r"no bar|Insufficient data"):
        score(model, spec, CANDLES, int(CANDLES.open_time[-8]))


def test_wrong_candles_are_refused(trained: dict[str, Trained]) -> None:
    model, spec = trained["lstm"].model, trained["lstm"].dataset.spec
    with pytest.raises(BadInputError, match="model is one of TESTUSDT 1h, the candles are ETHUSDT 1h"):
        predict(model, spec, replace(CANDLES, symbol="ETHUSDT"))
    with pytest.raises(BadInputError, match="needs 228 candles up to its bar, found 227"):
        predict(model, spec, CANDLES.tail(227))
    close = CANDLES.close.copy()
    close[400] = np.nan
    with pytest.raises(BadInputError, match="Corrupt data"):
        predict(model, spec, replace(CANDLES, close=close))
    with pytest.raises(BadInputError, match="Insufficient data"):
        predict(model, spec, CANDLES, start_ms=int(CANDLES.open_time[-1]) + BAR_MS)


def test_a_model_that_forecasts_no_numbers_is_refused(trained: dict[str, Trained]) -> None:
    spec = trained["gru"].dataset.spec
    broken = load_model_bytes(save_model_bytes(trained["gru"].model))
    broken.trainable_variables[0].assign(np.full(broken.trainable_variables[0].shape, np.nan, np.float32))
    with pytest.raises(IntegrityError, match="gru model of TESTUSDT forecasts values that are not numbers"):
        predict(broken, spec, CANDLES)


def test_a_model_of_other_features_is_refused(trained: dict[str, Trained]) -> None:
    spec = trained["lstm"].dataset.spec
    renamed = replace(spec, feature_names=("moon_phase", *spec.feature_names[1:]))
    with pytest.raises(IntegrityError, match=r"moon_phase.*train it again"):
        predict(trained["lstm"].model, renamed, CANDLES)


def test_a_model_of_other_windows_than_its_description_says_is_refused(trained: dict[str, Trained]) -> None:
    spec, model = trained["gru"].dataset.spec, trained["gru"].model
    with pytest.raises(IntegrityError, match=rf"reads windows of \({spec.window}, .*says \({spec.window - 1}, "):
        predict(model, replace(spec, window=spec.window - 1), CANDLES)


def test_a_description_of_other_code_is_refused(trained: dict[str, Trained]) -> None:
    from include.ml.spec import ModelSpec

    values = trained["lstm"].dataset.spec.to_dict()
    del values["scaler_mean"]
    with pytest.raises(IntegrityError, match=r"missing \['scaler_mean'\], unknown \['scalar'\]"):
        ModelSpec.from_dict({**values, "scalar": 1})
