"""Forecasts at the newest bar: those of the Keras path, of each model for itself, and never a silent one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import BadInputError
from include.market.candle_store import NUMBERS
from include.market.candles import Candles
from include.market.indicators import log_returns
from include.ml.config import MODEL_TYPES
from include.ml.light.champions import LightChampion
from include.ml.light.forecast import (
    DRIFT_BARS,
    FailedForecast,
    Forecast,
    SymbolFeatures,
    bars_needed,
    forecast_newest,
)
from include.ml.model_record import ModelRecord
from include.ml.predictor import predict
from include.ml.spec import ModelSpec
from tests.ml.light.networks import Arrays, Network, perturbed, similar, spec_of
from tests.ml.models import stored_file
from tests.ml.real_candles import real_candles
from tests.ml.series import random_walk

NOW = datetime(2025, 11, 22, 3, 0, tzinfo=UTC)


def champion(network: Network, symbol: str, number: int = 0, arrays: Arrays | None = None) -> LightChampion:
    spec = spec_of(network, symbol)
    model_id = f"run-{number}:{spec.model_type}:{symbol}"
    record = ModelRecord(
        id=model_id, model_type=spec.model_type, symbol=symbol, timeframe=spec.timeframe, state="champion",
        file=stored_file("x"), spec=spec.to_dict(), evaluation={}, training={}, task_id="run", created_at=NOW,
    )  # fmt: skip
    return LightChampion(record, spec, network.arrays if arrays is None else arrays, 1)


def with_spec(found: LightChampion, spec: ModelSpec) -> LightChampion:
    return replace(found, spec=spec)


def forecast(found: LightChampion, candles: Candles | SymbolFeatures) -> Forecast:
    result = forecast_newest([found], {found.spec.symbol: candles})[found.record.id]
    assert isinstance(result, Forecast), result
    return result


def failure(found: LightChampion, candles: dict[str, Candles | SymbolFeatures]) -> FailedForecast:
    result = forecast_newest([found], candles)[found.record.id]
    assert isinstance(result, FailedForecast)
    return result


def same(one: Forecast, other: Forecast) -> None:
    assert (one.model_id, one.open_time_ms, one.close, one.volatility) == (
        other.model_id, other.open_time_ms, other.close, other.volatility,
    )  # fmt: skip
    assert one.probability_up == pytest.approx(other.probability_up, abs=1e-6)
    np.testing.assert_allclose(one.log_return_quantiles, other.log_return_quantiles, atol=1e-6, rtol=0)


@pytest.mark.critical
@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_forecast_is_that_of_the_keras_path(model_type: str, gap: bool, market_data_dir: Path) -> None:
    network = perturbed(model_type)
    candles = real_candles(market_data_dir, "BTCUSDT", "2024-06-01", 40).tail(bars_needed())
    if gap:  # three hours of which the exchange has no candles
        kept = np.delete(np.arange(len(candles)), slice(-30, -27))
        candles = replace(candles, **{name: getattr(candles, name)[kept] for name in ("open_time", *NUMBERS)})
    found = champion(network, "BTCUSDT")
    light = forecast(found, candles)
    heavy = predict(network.model, found.spec, candles.tail(bars_needed()), start_ms=int(candles.open_time[-1]))
    # The Keras path starts its averages 228 bars back, this one 336: 1e-3 apart at most, as `predict` says.
    assert light.probability_up == pytest.approx(heavy.probability_up[0], abs=1e-3)
    whole = predict(network.model, found.spec, candles)
    assert light.probability_up == pytest.approx(whole.probability_up[-1], abs=1e-5)
    np.testing.assert_allclose(light.log_return_quantiles, whole.log_return_quantiles[-1], atol=1e-6, rtol=0)
    assert (light.open_time_ms, light.close) == (int(candles.open_time[-1]), candles.close[-1])
    assert light.volatility == pytest.approx(np.std(log_returns(candles.close)[-48:]))
    assert (np.diff(light.log_return_quantiles, axis=1) > 0).all()


def mixture() -> tuple[list[LightChampion], dict[str, Candles]]:
    """Models of every type and size, of both targets and two windows, several per symbol."""
    symbols = [f"A{number}USDT" for number in range(4)]
    kinds = [
        *(perturbed(model_type) for model_type in MODEL_TYPES),
        perturbed("lstm", "standard"),
        perturbed("gru", target="return"),
        perturbed("transformer", window=24),
    ]
    champions = [
        champion(network, symbols[(kind + number) % len(symbols)], 10 * kind + number, arrays)
        for kind, network in enumerate(kinds)
        for number, arrays in enumerate(similar(network, 3, seed=kind))
    ]
    return champions, {symbol: random_walk(bars_needed(), seed, symbol) for seed, symbol in enumerate(symbols)}


def test_types_sizes_targets_and_windows_may_be_mixed() -> None:
    champions, candles = mixture()
    together = forecast_newest(champions, candles)
    assert list(together) == [found.record.id for found in champions]
    probabilities = set()
    for found in champions:
        result = together[found.record.id]
        assert isinstance(result, Forecast)
        same(result, forecast(found, candles[found.spec.symbol]))
        probabilities.add(result.probability_up)
    assert len(probabilities) == len(champions)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_neither_the_order_nor_the_chunks_change_a_forecast(data: st.DataObject) -> None:
    champions, candles = mixture()
    order = data.draw(st.permutations(champions))
    cut = data.draw(st.integers(0, len(champions)))
    whole = forecast_newest(champions, candles)
    parts = {**forecast_newest(order[:cut], candles), **forecast_newest(order[cut:], candles)}
    assert parts.keys() == whole.keys()
    for model_id, result in whole.items():
        other = parts[model_id]
        assert isinstance(result, Forecast)
        assert isinstance(other, Forecast)
        same(result, other)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.5, 2.0), bars=st.integers(1, 200))
def test_candles_older_than_needed_change_nothing(factor: float, bars: int) -> None:
    candles = random_walk(bars_needed() + 200, 1)
    old = np.arange(len(candles)) < bars
    changed = replace(
        candles,
        **{name: np.where(old, factor * getattr(candles, name), getattr(candles, name)) for name in NUMBERS},
    )
    found = champion(perturbed("gru"), "TESTUSDT")
    same(forecast(found, changed), forecast(found, candles))
    same(forecast(found, candles.tail(bars_needed())), forecast(found, candles))


def test_features_computed_once_serve_the_forecast_and_the_drift() -> None:
    candles = random_walk(bars_needed() + 50, 1)
    features = SymbolFeatures.of(candles)
    assert features.features.shape == (bars_needed(), len(features.names))
    assert np.isfinite(features.features[-DRIFT_BARS:]).all()
    for network in (perturbed("gru"), perturbed("transformer", window=24)):
        found = champion(network, "TESTUSDT")
        same(forecast(found, features), forecast(found, candles))


def test_a_window_longer_than_a_week_gets_its_candles() -> None:
    assert bars_needed(60) == bars_needed() == 168 + 168
    assert bars_needed(200) == 168 + 200
    network = perturbed("gru", window=200)
    candles = random_walk(500, 1)
    found = champion(network, "TESTUSDT")
    light = forecast(found, SymbolFeatures.of(candles))
    heavy = predict(network.model, found.spec, candles.tail(368), start_ms=int(candles.open_time[-1]))
    assert light.probability_up == pytest.approx(heavy.probability_up[0], abs=1e-5)


def test_too_few_candles_are_not_the_champions_fault() -> None:
    found = champion(perturbed("gru"), "TESTUSDT")
    candles = random_walk(228, 1)
    forecast(found, candles)
    for count in (227, 150, 0):
        failed = failure(found, {"TESTUSDT": candles.tail(count)})
        assert not failed.champion_at_fault
        assert f"needs 228 candles up to its bar, found {count} of TESTUSDT 1h; ingest older candles" in failed.reason


def test_candles_that_are_missing_corrupt_or_of_others_are_not_the_champions_fault() -> None:
    found = champion(perturbed("gru"), "TESTUSDT")
    candles = random_walk(300, 1)
    spoiled = replace(candles, close=np.where(np.arange(300) == 200, np.nan, candles.close))
    for offered, complaint in (
        ({}, "no candles of TESTUSDT 1h; ingest them"),
        ({"TESTUSDT": spoiled}, "Corrupt data: TESTUSDT 1h candle of"),
        ({"TESTUSDT": replace(candles, timeframe="4h")}, "model is one of TESTUSDT 1h, the candles are TESTUSDT 4h"),
        ({"TESTUSDT": replace(candles, symbol="ETHUSDT")}, "the candles are ETHUSDT 1h"),
    ):
        failed = failure(found, offered)
        assert complaint in failed.reason
        assert not failed.champion_at_fault
    with pytest.raises(BadInputError, match="Corrupt data"):
        SymbolFeatures.of(spoiled)


def test_features_that_are_no_numbers_are_not_the_champions_fault() -> None:
    candles = random_walk(300, 1)
    huge = replace(candles, **{name: 1e300 * getattr(candles, name) for name in ("open", "high", "low", "close")})
    with np.errstate(all="ignore"):  # prices that are finite, but whose squares are not
        failed = failure(champion(perturbed("gru"), "TESTUSDT"), {"TESTUSDT": huge})
    assert not failed.champion_at_fault
    assert "features of TESTUSDT 1h are not all numbers" in failed.reason


def test_a_model_of_other_features_is_at_fault() -> None:
    found = champion(perturbed("gru"), "TESTUSDT")
    other = with_spec(found, replace(found.spec, feature_names=("moon_phase", *found.spec.feature_names[1:])))
    failed = failure(other, {"TESTUSDT": random_walk(300, 1)})
    assert failed.champion_at_fault
    assert "moon_phase" in failed.reason
    assert "train it again" in failed.reason


@pytest.mark.parametrize("spoil", ["weights", "scaler"])
def test_a_model_of_no_numbers_is_at_fault_and_its_neighbours_forecast_as_ever(spoil: str) -> None:
    champions, candles = mixture()
    good = forecast_newest(champions, candles)
    broken = champions[1]
    if spoil == "weights":
        arrays = {name: np.full_like(array, np.nan) for name, array in broken.arrays.items()}
        champions[1] = replace(broken, arrays=arrays)
    else:
        champions[1] = with_spec(broken, replace(broken.spec, scaler_mean=(np.nan,) * len(broken.spec.scaler_mean)))
    results = forecast_newest(champions, candles)
    failed = results.pop(broken.record.id)
    assert isinstance(failed, FailedForecast)
    assert failed.champion_at_fault
    assert "forecasts values that are not numbers; train it again" in failed.reason
    for model_id, result in results.items():
        before = good[model_id]
        assert isinstance(result, Forecast)
        assert isinstance(before, Forecast)
        same(result, before)


def test_nobody_to_ask_is_no_error() -> None:
    assert forecast_newest([], {}) == {}
