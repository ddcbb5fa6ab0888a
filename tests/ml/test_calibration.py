"""The band's start and its last correction: what they are computed from, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from include.ml.calibration import MOST_SHIFT, band_shift, calibrate_band
from include.ml.config import MODEL_TYPES, ModelType, TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.evaluation import coverage_pct
from include.ml.labels import NORMAL_QUANTILES, QUANTILE_HORIZONS
from include.ml.networks import build_network
from include.ml.quantile_prior import NORMAL_WORTH, quantile_prior
from include.ml.training import train
from tests.ml.series import random_walk

HORIZONS = len(QUANTILE_HORIZONS)
NORMAL_HALF = NORMAL_QUANTILES[-1]
CONFIG = TrainingConfig("gru", size="small", window=8)


def everything(count: int) -> NDArray[np.bool_]:
    return np.ones((count, HORIZONS), bool)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build_dataset(random_walk(2000 + 175, seed=3), CONFIG, bars=2000)


def test_with_many_returns_the_prior_is_their_80_percent_range_around_zero() -> None:
    returns = 0.5 * np.random.default_rng(1).standard_t(3, (400_000, HORIZONS))
    prior = quantile_prior(returns, everything(400_000))
    assert prior.shape == (HORIZONS, 3)
    np.testing.assert_array_equal(prior[:, 1], 0.0)
    np.testing.assert_allclose(prior[:, 2], 0.5 * 1.638, rtol=0.02)  # Student's t, 3 degrees of freedom, 90 %
    np.testing.assert_array_equal(prior[:, 0], -prior[:, 2])


def test_few_or_overlapping_returns_hardly_move_the_prior_from_the_normal_distribution() -> None:
    prior = quantile_prior(np.full((96, HORIZONS), 5.0), everything(96))
    for column, horizon in enumerate(QUANTILE_HORIZONS):
        weight = (96 / horizon) / (96 / horizon + NORMAL_WORTH)
        assert prior[column, 2] == pytest.approx(weight * 5.0 + (1 - weight) * NORMAL_HALF)
    assert prior[-1, 2] < 1.5 < prior[0, 2]


def test_a_drift_of_the_past_is_no_direction_of_the_future() -> None:
    prior = quantile_prior(np.full((5000, HORIZONS), 0.7), everything(5000))
    np.testing.assert_array_equal(prior[:, 1], 0.0)
    np.testing.assert_array_equal(prior[:, 0], -prior[:, 2])


def test_returns_that_are_not_known_do_not_count() -> None:
    returns, known = np.full((1000, HORIZONS), 2.0), everything(1000)
    known[:, 3] = False
    returns[:, 3] = np.nan
    prior = quantile_prior(returns, known)
    np.testing.assert_array_equal(prior[3], [-NORMAL_HALF, 0.0, NORMAL_HALF])
    assert np.isfinite(prior).all()


def test_the_dataset_reads_its_prior_off_the_fit_part(dataset: Dataset) -> None:
    expected = quantile_prior(dataset.quantile_target[dataset.fit], dataset.quantile_mask[dataset.fit] > 0)
    np.testing.assert_allclose(dataset.quantile_prior, expected, rtol=1e-6)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_untrained_network_forecasts_the_prior(model_type: ModelType, dataset: Dataset) -> None:
    prior = np.array([-1.0, 0.1, 1.4]) * np.linspace(0.6, 1.5, HORIZONS)[:, None]
    model = build_network(replace(CONFIG, model_type=model_type), dataset.spec, prior)
    quantiles = np.asarray(model(dataset.windows(dataset.inner), training=False)["quantiles"])
    np.testing.assert_allclose(quantiles.mean(axis=0), prior, atol=0.15)


def test_the_head_of_a_model_saved_without_a_prior_can_still_be_made() -> None:
    from include.ml.layers import QuantileHead

    config = QuantileHead(HORIZONS, seed=3).get_config()
    del config["initial"]
    assert QuantileHead.from_config(config).initial.tolist() == [list(NORMAL_QUANTILES)] * HORIZONS
    flat = QuantileHead(HORIZONS, initial=[[0.0, 0.0, 0.0]] * HORIZONS)
    again = QuantileHead.from_config(flat.get_config())
    again.build((None, 4))
    assert np.isfinite(np.asarray(again.dense.bias)).all()


def test_a_shift_makes_the_band_hold_80_percent_of_the_returns_it_was_computed_from() -> None:
    count = 200_000  # of independent returns: here even two days have evidence enough
    target = 1.4 * np.random.default_rng(2).standard_normal((count, HORIZONS)).astype(np.float32)
    quantiles = np.tile([-1.0, 0.2, 1.5], (count, HORIZONS, 1))
    shift = band_shift(quantiles, target, everything(count))
    assert (shift > 0.3).all()
    below, above = np.logaddexp(0, raw(1.2) + shift), np.logaddexp(0, raw(1.3) + shift)
    coverage = coverage_pct(0.2 - below + 0 * target, 0.2 + above + 0 * target, target, QUANTILE_HORIZONS)
    np.testing.assert_allclose(list(coverage.values()), 80.0, atol=1.5)


def raw(width: float) -> float:
    return float(np.log(np.expm1(width)))


def test_a_short_slice_moves_the_long_horizons_less_and_none_too_far() -> None:
    quantiles = np.tile([-1.0, 0.0, 1.0], (200, HORIZONS, 1))
    shift = band_shift(quantiles, np.full((200, HORIZONS), 1.4, np.float32), everything(200))
    assert (np.diff(shift) < 0).all()
    assert shift[-1] < 0.1 < shift[0]
    wild = band_shift(quantiles, np.full((200, HORIZONS), 10.0, np.float32), everything(200))
    assert wild.max() == MOST_SHIFT
    still = band_shift(quantiles, np.zeros((200, HORIZONS), np.float32), everything(200))
    assert still.min() == -MOST_SHIFT
    np.testing.assert_array_equal(band_shift(quantiles, np.zeros((200, HORIZONS), np.float32), ~everything(200)), 0.0)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_calibrating_changes_neither_the_direction_nor_the_median(model_type: ModelType, dataset: Dataset) -> None:
    narrow = np.array([-0.4, 0.0, 0.4]) * np.ones((HORIZONS, 1))
    model = build_network(replace(CONFIG, model_type=model_type), dataset.spec, narrow)
    windows = dataset.windows(dataset.inner)
    before = {name: np.asarray(values) for name, values in model(windows, training=False).items()}
    shift = calibrate_band(model, dataset)
    after = {name: np.asarray(values) for name, values in model(windows, training=False).items()}
    np.testing.assert_array_equal(after["logit"], before["logit"])
    np.testing.assert_allclose(after["quantiles"][:, :, 1], before["quantiles"][:, :, 1], atol=1e-6)
    widths = after["quantiles"][:, :, 2] - after["quantiles"][:, :, 0]
    assert (shift > 0).all()
    assert (widths > before["quantiles"][:, :, 2] - before["quantiles"][:, :, 0]).all()


def test_calibrating_reads_nothing_of_the_hold_out(dataset: Dataset) -> None:
    features = dataset.features.copy()
    features[dataset.holdout[0] :] = 5.0
    target, mask = dataset.quantile_target.copy(), dataset.quantile_mask.copy()
    target[dataset.holdout[0] :], mask[dataset.holdout[0] :] = 9.0, 1.0
    changed = replace(dataset, features=features, quantile_target=target, quantile_mask=mask)
    shifts = [calibrate_band(build_network(CONFIG, dataset.spec), data) for data in (dataset, changed)]
    np.testing.assert_array_equal(shifts[0], shifts[1])


def test_a_training_ends_with_a_band_that_fits_the_inner_slice(dataset: Dataset) -> None:
    target = dataset.quantile_target.copy()
    target[dataset.inner] *= 1.5  # the market has become wilder than the fit part was
    wilder = replace(dataset, quantile_target=target)
    model = train(wilder, replace(CONFIG, epochs=1)).model
    quantiles = np.asarray(model(wilder.windows(wilder.inner), training=False)["quantiles"])
    actual = np.where(wilder.quantile_mask[wilder.inner] > 0, target[wilder.inner], np.nan)
    coverage = coverage_pct(quantiles[:, :, 0], quantiles[:, :, 2], actual, QUANTILE_HORIZONS)
    assert coverage["1"] == pytest.approx(78.0, abs=4.0)  # without: about 60
