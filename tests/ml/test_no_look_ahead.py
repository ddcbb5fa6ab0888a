"""Whatever the candles: nothing that a window holds or that a training learns from knows what comes later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.market.candles import Candles
from include.ml.config import TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.features import WARMUP_BARS, compute_features, trailing_volatility
from include.ml.labels import LABEL_HORIZON, QUANTILE_HORIZONS, labels, scaled_returns, trend_baseline
from include.ml.spec import history_bars
from tests.ml.hypothesis_series import candles_and_another_future, valid_candles, with_another_future

CONFIG = TrainingConfig("lstm", window=16)
HISTORY = history_bars(CONFIG.window)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.critical
@given(candles_and_another_future(WARMUP_BARS + 1, WARMUP_BARS + 250))
@FEW
def test_no_feature_up_to_a_bar_knows_a_later_candle(case: tuple[Candles, Candles, int]) -> None:
    candles, changed, t = case
    np.testing.assert_array_equal(compute_features(changed)[1][: t + 1], compute_features(candles)[1][: t + 1])
    np.testing.assert_array_equal(trend_baseline(changed.close)[: t + 1], trend_baseline(candles.close)[: t + 1])


@given(candles_and_another_future(60, 300), st.sampled_from(["trend", "return"]))
@FEW
def test_no_label_knows_a_candle_beyond_its_horizon(case: tuple[Candles, Candles, int], target: str) -> None:
    candles, changed, t = case
    decided = max(0, t + 1 - LABEL_HORIZON)
    np.testing.assert_array_equal(labels(changed.close, target)[:decided], labels(candles.close, target)[:decided])
    mine, other = (scaled_returns(one.close, trailing_volatility(one.close)) for one in (candles, changed))
    for column, horizon in enumerate(QUANTILE_HORIZONS):
        decided = max(0, t + 1 - horizon)
        np.testing.assert_array_equal(other[:decided, column], mine[:decided, column])


@given(valid_candles(WARMUP_BARS + 1, WARMUP_BARS + 250))
@FEW
def test_every_feature_after_the_warm_up_is_a_number(candles: Candles) -> None:
    assert np.isfinite(compute_features(candles)[1][WARMUP_BARS:]).all()


def first_row(candles: Candles, dataset: Dataset) -> int:
    """Return the position among the candles of the dataset's first row."""
    return len(candles) - len(dataset.features)


@pytest.mark.critical
@given(valid_candles(HISTORY + 150, HISTORY + 400), st.sampled_from(["trend", "return"]), st.data())
@FEW
def test_the_fit_part_knows_nothing_of_what_follows_it(candles: Candles, target: str, data: st.DataObject) -> None:
    config = TrainingConfig("lstm", window=CONFIG.window, target=target)  # type: ignore[arg-type]
    dataset = build_dataset(candles, config, bars=len(candles))
    other = data.draw(valid_candles(HISTORY + 400, HISTORY + 400))
    # The label of its newest sample looks 8 bars ahead, into the gap; nothing else of it looks beyond its last bar.
    last = first_row(candles, dataset) + int(dataset.fit[-1]) + LABEL_HORIZON
    changed = build_dataset(with_another_future(candles, other, last), config, bars=len(candles))
    np.testing.assert_array_equal(changed.quantile_prior, dataset.quantile_prior)
    assert changed.spec.scaler_mean == dataset.spec.scaler_mean
    assert changed.spec.scaler_scale == dataset.spec.scaler_scale
    assert changed.spec.majority_class == dataset.spec.majority_class
    same_samples(changed, dataset, dataset.fit)


@pytest.mark.critical
@given(valid_candles(HISTORY + 150, HISTORY + 400), st.data())
@FEW
def test_nothing_of_a_training_knows_the_hold_out(candles: Candles, data: st.DataObject) -> None:
    dataset = build_dataset(candles, CONFIG, bars=len(candles))
    other = data.draw(valid_candles(HISTORY + 400, HISTORY + 400))
    last = int(np.searchsorted(candles.open_time, dataset.spec.training_end_ms)) - 1
    assert last < first_row(candles, dataset) + dataset.holdout[0]
    changed = build_dataset(with_another_future(candles, other, last), CONFIG, bars=len(candles))
    np.testing.assert_array_equal(changed.quantile_prior, dataset.quantile_prior)
    assert changed.spec.scaler_mean == dataset.spec.scaler_mean
    same_samples(changed, dataset, np.concatenate([dataset.fit, dataset.inner]))


def same_samples(changed: Dataset, dataset: Dataset, samples: np.ndarray) -> None:
    np.testing.assert_array_equal(changed.windows(samples), dataset.windows(samples))
    for name in ("label", "quantile_target", "quantile_mask"):
        np.testing.assert_array_equal(getattr(changed, name)[samples], getattr(dataset, name)[samples])
