"""Labels look exactly 8 bars ahead; the baseline looks nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from include.errors import BadInputError
from include.market.indicators import ema
from include.ml.features import trailing_volatility
from include.ml.labels import LABEL_HORIZON, QUANTILE_HORIZONS, labels, scaled_returns, trend_baseline
from tests.ml.series import random_walk

CLOSE = random_walk(400, seed=2).close


def test_the_return_label_is_the_sign_of_the_close_eight_bars_later() -> None:
    result = labels(CLOSE, "return")
    for t in range(len(CLOSE) - 8):
        assert result[t] == float(CLOSE[t + 8] > CLOSE[t])
    assert np.isnan(result[-8:]).all()


def test_the_trend_label_is_the_sign_of_the_change_of_ema12() -> None:
    result, average = labels(CLOSE, "trend"), ema(CLOSE, 12)
    for t in range(len(CLOSE) - 8):
        assert result[t] == float(average[t + 8] - average[t] > 0)
    assert np.isnan(result[-8:]).all()


def test_no_move_is_no_rise_and_a_short_series_has_no_label() -> None:
    assert not labels(np.full(20, 5.0), "return")[:-8].any()
    assert np.isnan(labels(np.full(8, 5.0), "trend")).all()


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(BadInputError, match="trend, return, got 'profit'"):
        labels(CLOSE, "profit")


@pytest.mark.critical
def test_the_trend_baseline_is_right_about_71_percent_of_the_time_on_a_random_walk() -> None:
    close = random_walk(60_000, seed=1).close
    truth, forecast = labels(close, "trend")[:-8], trend_baseline(close)[:-8]
    assert (truth == forecast).mean() == pytest.approx(0.71, abs=0.01)


def test_scaled_returns_are_multiples_of_volatility_and_root_of_the_horizon() -> None:
    volatility = trailing_volatility(CLOSE)
    result = scaled_returns(CLOSE, volatility)
    t = 100
    for column, horizon in enumerate(QUANTILE_HORIZONS):
        expected = np.log(CLOSE[t + horizon] / CLOSE[t]) / (volatility[t] * np.sqrt(horizon))
        assert result[t, column] == pytest.approx(expected)
        assert np.isnan(result[-horizon:, column]).all()
    assert LABEL_HORIZON == 8
