"""Significance of a Sharpe ratio, against published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from include.strategies.optimise.sharpe_tests import (
    SharpeMoments,
    deflated_sharpe_ratio,
    expected_best_sharpe,
    probabilistic_sharpe_ratio,
)


def test_the_worked_example_of_bailey_and_lopez_de_prado() -> None:
    """100 trials, annualised variance 1/2, 1250 days of 250 a year, annualised 2.5, skew -3, kurtosis 10."""
    moments = SharpeMoments(2.5 / math.sqrt(250), 1250, -3.0, 10.0)
    threshold = expected_best_sharpe(0.5 / 250, 100)
    assert round(threshold, 4) == 0.1132
    assert round(probabilistic_sharpe_ratio(moments, threshold), 4) == 0.9004


def test_the_deflated_ratio_takes_variance_and_number_of_the_trials() -> None:
    tried = [0.01, -0.02, 0.05, 0.03, 0.0]
    moments = SharpeMoments(0.05, 400, 0.0, 3.0)
    found = deflated_sharpe_ratio(moments, tried, 20)
    assert found.threshold == expected_best_sharpe(float(np.var(tried, ddof=1)), 20)
    assert found.probability == probabilistic_sharpe_ratio(moments, found.threshold)
    assert found.probability < deflated_sharpe_ratio(moments, tried, 5).probability


def test_a_single_trial_is_not_deflated() -> None:
    moments = SharpeMoments(0.05, 400, 0.0, 3.0)
    assert deflated_sharpe_ratio(moments, [0.05], 1).probability == probabilistic_sharpe_ratio(moments)


def test_the_moments_are_those_of_scipy() -> None:
    returns = np.random.default_rng(0).standard_t(4, 300) * 0.01 + 0.001
    moments = SharpeMoments.of(returns)
    assert moments is not None
    assert moments.observations == 300
    assert moments.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert moments.skew == pytest.approx(stats.skew(returns))
    assert moments.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))


@pytest.mark.parametrize("returns", [[], [0.1, 0.2], [0.0] * 50, [0.003] * 50])
def test_returns_that_do_not_differ_have_no_moments(returns: list[float]) -> None:
    assert SharpeMoments.of(np.array(returns)) is None


def test_no_edge_gives_a_uniform_probability() -> None:
    rng = np.random.default_rng(4)
    found = [
        probabilistic_sharpe_ratio(moments)
        for moments in (SharpeMoments.of(rng.standard_t(4, 250)) for _ in range(2000))
        if moments
    ]
    assert np.mean(np.array(found) >= 0.98) == pytest.approx(0.02, abs=0.01)
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)
