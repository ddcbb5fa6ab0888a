"""Accuracy, baseline, skill and its interval, coverage; the interval must not promise too much."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from include.errors import BadInputError
from include.ml.bootstrap import block_interval, block_length
from include.ml.evaluation import coverage_pct, evaluate
from include.ml.labels import labels, trend_baseline
from tests.ml.series import random_walk

RNG = np.random.default_rng(5)


def persistent(count: int, bars: float, seed: int) -> NDArray[np.float64]:
    """Gaussian noise that forgets over about `bars` bars."""
    fade = np.exp(-1.0 / bars)
    noise = np.random.default_rng([seed, 7]).standard_normal(count + 500)
    return lfilter([np.sqrt(1 - fade**2)], [1.0, -fade], noise)[500:]


def test_the_numbers_of_a_small_example() -> None:
    label = np.array([1.0, 1.0, 0.0, 1.0])
    result = evaluate(np.array([0.9, 0.4, 0.2, 0.6]), label, np.array([1.0, 0.0, 1.0, 0.0]))
    assert (result.bars, result.accuracy, result.baseline_accuracy) == (4, 0.75, 0.25)
    assert result.skill == pytest.approx(0.5)
    assert result.skill_low <= result.skill <= result.skill_high
    assert json.loads(json.dumps(result.to_dict()))["skill"] == 0.5


def test_the_baseline_of_the_return_label_is_the_better_constant_with_hindsight() -> None:
    label = np.array([0.0] * 70 + [1.0] * 30)
    result = evaluate(np.full(100, 0.1), label, None)
    assert result.baseline_accuracy == pytest.approx(0.7)
    assert result.skill == 0.0
    assert not result.edge
    assert evaluate(np.full(100, 0.9), label, None).skill == pytest.approx(-0.4)


@pytest.mark.critical
def test_a_model_equal_to_the_baseline_has_no_skill_and_no_edge() -> None:
    close = random_walk(2000, seed=1).close
    truth, baseline = labels(close, "trend")[:-8], trend_baseline(close)[:-8]
    result = evaluate(0.2 + 0.6 * baseline, truth, baseline)
    assert (result.skill, result.skill_low, result.skill_high, result.edge) == (0.0, 0.0, 0.0, False)


def test_a_clear_lead_is_an_edge_and_a_clear_lag_is_not() -> None:
    label = (RNG.random(1000) > 0.5).astype(float)
    wrong = RNG.random(1000) < 0.2
    good = evaluate(np.where(wrong, 1 - label, label), label, None)
    assert good.edge
    assert 0.2 < good.skill_low < good.skill < good.skill_high < 0.4
    bad = evaluate(np.where(wrong, label, 1 - label), label, None)
    assert bad.skill_high < 0
    assert not bad.edge


def test_three_lucky_bars_are_no_edge() -> None:
    differences = np.zeros(1000)
    differences[[100, 400, 800]] = 1.0
    assert block_interval(differences, min_block=24, seed=1).low <= 0.0
    differences[::40] = 1.0
    assert block_interval(differences, min_block=24, seed=1).low > 0.0


def test_no_bars_and_no_numbers_are_refused() -> None:
    with pytest.raises(BadInputError, match="no bar with a known label"):
        evaluate(np.array([]), np.array([]), None)
    with pytest.raises(BadInputError, match="not numbers"):
        evaluate(np.array([np.nan]), np.array([1.0]), None)


def test_forecasts_without_knowledge_seldom_show_an_edge_however_persistent() -> None:
    """Nominally the lower limit exceeds the true value (0 against a coin) in 2.5 % of the series."""
    series, above = 300, {2: 0, 24: 0, 100: 0}
    for seed in range(series):
        label = labels(random_walk(1760, seed).close, "return")[:-8]
        for bars in above:
            right = (persistent(len(label), bars, seed) > 0) == (label > 0.5)
            above[bars] += block_interval(right - 0.5, min_block=24, seed=1, resamples=500).low > 0
    assert all(count <= 0.05 * series for count in above.values()), above


def test_the_block_grows_with_the_memory_of_the_series() -> None:
    lengths = [np.median([block_length(persistent(2000, bars, seed)) for seed in range(20)]) for bars in (0.2, 5, 50)]
    assert lengths[0] < lengths[1] < lengths[2]
    assert lengths[0] <= 5


def test_the_interval_is_reproducible_and_narrows_with_more_bars() -> None:
    differences = persistent(4000, 5, 1)
    first = block_interval(differences, min_block=24, seed=3)
    assert block_interval(differences, min_block=24, seed=3) == first
    few = block_interval(differences[:400], min_block=24, seed=3)
    assert few.high - few.low > 2 * (first.high - first.low)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=200), st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_the_interval_holds_the_mean_and_stays_in_range(values: list[float], min_block: int) -> None:
    result = block_interval(np.array(values), min_block=min_block, seed=1, resamples=200)
    assert -1.0 <= result.low <= result.high <= 1.0
    assert result.mean == pytest.approx(np.mean(values))


def test_coverage_counts_known_returns_only_and_leaves_out_unknown_horizons() -> None:
    actual = np.array([[0.0, np.nan, np.nan], [3.0, 0.5, np.nan]])
    low, high = np.full((2, 3), -1.0), np.full((2, 3), 1.0)
    assert coverage_pct(low, high, actual, (1, 8, 48)) == {"1": 50.0, "8": 100.0}
