"""From candles to samples: alignment, honesty of the parts, little data, bad data, speed of use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from include.errors import BadInputError
from include.market.candles import Candles
from include.ml.config import Target, TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.features import compute_features
from include.ml.labels import LABEL_HORIZON, QUANTILE_HORIZONS, labels
from include.ml.spec import ModelSpec, history_bars
from tests.ml.series import BAR_MS, random_walk

CONFIG = TrainingConfig("lstm")
HISTORY = history_bars(60)


def month(seed: int = 3) -> Candles:
    return random_walk(720 + HISTORY - 1, seed)


def open_time(candles: Candles, dataset: Dataset, sample: int) -> int:
    return int(candles.open_time[len(candles) - len(dataset.features) + sample])


def test_every_bar_asked_for_becomes_a_sample_when_the_warm_up_is_there() -> None:
    candles = month()
    dataset = build_dataset(candles, CONFIG, bars=720)
    assert open_time(candles, dataset, dataset.fit[0]) == candles.open_time[-720]
    assert open_time(candles, dataset, dataset.holdout[-1]) == candles.open_time[-1 - LABEL_HORIZON]
    parts = len(dataset.fit) + len(dataset.inner) + len(dataset.holdout)
    assert parts + 2 * LABEL_HORIZON == 720 - LABEL_HORIZON


def test_without_older_candles_the_first_bars_are_lost_and_a_month_still_suffices() -> None:
    candles = month().tail(720)
    dataset = build_dataset(candles, CONFIG, bars=720)
    assert open_time(candles, dataset, dataset.fit[0]) == candles.open_time[HISTORY - 1]
    assert len(dataset.fit) > 250


def test_seven_days_with_warm_up_suffice() -> None:
    dataset = build_dataset(month().tail(168 + HISTORY - 1), CONFIG, bars=168)
    assert (len(dataset.fit), len(dataset.inner), len(dataset.holdout)) == (88, 24, 32)


def test_too_few_candles_are_refused_with_the_numbers() -> None:
    with pytest.raises(
        BadInputError, match=r"Insufficient data: 0 labelled samples.*168 candles found.*first 227 warm"
    ):
        build_dataset(month().tail(168), CONFIG, bars=168)
    with pytest.raises(BadInputError, match="0 candles found"):
        build_dataset(month().tail(0), CONFIG, bars=168)
    with pytest.raises(BadInputError, match="bars must be at least 1"):
        build_dataset(month(), CONFIG, bars=0)


def test_a_window_ends_with_its_own_bar_and_its_label_looks_eight_bars_ahead() -> None:
    candles = month()
    dataset = build_dataset(candles, CONFIG, bars=720)
    _, features = compute_features(candles)
    truth = labels(candles.close, "trend")
    samples = dataset.inner[[0, 5, -1]]
    windows = dataset.windows(samples)
    assert windows.shape == (3, 60, features.shape[1])
    for window, sample in zip(windows, samples, strict=True):
        np.testing.assert_allclose(window[-1], dataset.spec.scale(features[sample]), rtol=1e-6)
        np.testing.assert_allclose(window[0], dataset.spec.scale(features[sample - 59]), rtol=1e-6)
        assert dataset.label[sample] == truth[sample]


@pytest.mark.critical
@pytest.mark.parametrize("target", ["trend", "return"])
def test_nothing_that_happens_after_the_training_end_reaches_the_training(target: Target) -> None:
    candles, config = month(), replace(CONFIG, target=target)
    dataset = build_dataset(candles, config, bars=720)
    later = candles.open_time >= dataset.spec.training_end_ms
    assert candles.open_time[later][0] <= dataset.spec.split_ms
    other = random_walk(len(candles), seed=77)
    mixed = {
        name: np.where(later, 2.0 * getattr(other, name), getattr(candles, name))
        for name in ("open", "high", "low", "close", "volume")
    }
    changed = build_dataset(replace(candles, **mixed), config, bars=720)
    samples = np.concatenate([dataset.fit, dataset.inner])
    np.testing.assert_array_equal(changed.windows(samples), dataset.windows(samples))
    np.testing.assert_array_equal(changed.label[samples], dataset.label[samples])
    np.testing.assert_array_equal(changed.quantile_mask[samples], dataset.quantile_mask[samples])
    np.testing.assert_array_equal(changed.quantile_target[samples], dataset.quantile_target[samples])
    assert changed.spec.scaler_mean == dataset.spec.scaler_mean
    assert changed.spec.majority_class == dataset.spec.majority_class


def test_nothing_of_the_inner_slice_reaches_the_fit_part_or_the_scaler() -> None:
    candles = month()
    dataset = build_dataset(candles, CONFIG, bars=720)
    first = len(candles) - len(dataset.features) + int(dataset.inner[0])
    close = candles.close.copy()
    close[first:] *= 1.5
    changed = build_dataset(
        replace(candles, close=close, high=np.maximum(candles.high, close), low=np.minimum(candles.low, close)),
        CONFIG,
        bars=720,
    )
    np.testing.assert_array_equal(changed.windows(dataset.fit), dataset.windows(dataset.fit))
    np.testing.assert_array_equal(changed.label[dataset.fit], dataset.label[dataset.fit])
    np.testing.assert_array_equal(changed.quantile_target[dataset.fit], dataset.quantile_target[dataset.fit])
    assert changed.spec.scaler_scale == dataset.spec.scaler_scale


def test_the_training_end_is_the_close_of_the_last_candle_that_decided_a_label() -> None:
    candles = month()
    dataset = build_dataset(candles, CONFIG, bars=720)
    last = open_time(candles, dataset, dataset.inner[-1])
    assert dataset.spec.training_end_ms == last + (LABEL_HORIZON + 1) * BAR_MS
    assert dataset.spec.training_end_ms <= dataset.spec.split_ms
    assert dataset.spec.split_ms == open_time(candles, dataset, dataset.holdout[0])
    assert dataset.spec.data_end_ms == candles.open_time[-1] + BAR_MS


def test_quantile_targets_are_used_only_inside_their_own_part() -> None:
    dataset = build_dataset(month(), CONFIG, bars=720)
    for part in (dataset.fit, dataset.inner):
        for column, horizon in enumerate(QUANTILE_HORIZONS):
            np.testing.assert_array_equal(dataset.quantile_mask[part, column], part + horizon <= part[-1])
    assert not dataset.quantile_mask[dataset.holdout].any()
    assert not dataset.quantile_mask[dataset.fit[-1] + 1 : dataset.inner[0]].any()


def test_the_fit_part_is_standardised() -> None:
    dataset = build_dataset(month(), CONFIG, bars=720)
    rows = dataset.features[dataset.fit[0] - 59 : dataset.fit[-1] + 1]
    np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=0.05)
    np.testing.assert_allclose(rows.std(axis=0), 1.0, atol=0.1)
    assert np.isfinite(dataset.features).all()


def test_more_history_than_needed_changes_nothing() -> None:
    candles = random_walk(3000, seed=6)
    short = build_dataset(candles.tail(720 + HISTORY - 1), CONFIG, bars=720)
    long = build_dataset(candles, CONFIG, bars=720)
    assert long.spec == short.spec
    np.testing.assert_array_equal(long.features, short.features)


def test_corrupt_candles_are_refused_before_any_work() -> None:
    candles = month()
    for field, value in (("close", np.nan), ("close", 0.0), ("volume", -1.0), ("high", np.inf)):
        values = getattr(candles, field).copy()
        values[500] = value
        with pytest.raises(BadInputError, match=f"Corrupt data: TESTUSDT 1h candle .*{field}"):
            build_dataset(replace(candles, **{field: values}), CONFIG, bars=720)
    times = candles.open_time.copy()
    times[500] = times[499]
    with pytest.raises(BadInputError, match="duplicate"):
        build_dataset(replace(candles, open_time=times), CONFIG, bars=720)


def test_a_missing_hour_is_stepped_over() -> None:
    candles = month()
    keep = np.arange(len(candles)) != 500
    fields = ("open_time", "open", "high", "low", "close", "volume")
    dataset = build_dataset(
        replace(candles, **{name: getattr(candles, name)[keep] for name in fields}), CONFIG, bars=719
    )
    assert np.isfinite(dataset.features).all()


def test_the_description_survives_json() -> None:
    import json

    spec = build_dataset(month(), CONFIG, bars=720).spec
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
