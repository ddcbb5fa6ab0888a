"""The band on real candles: it holds what it promises on a year that the network has not seen.

The short form of `benchmarks/model_table.py` (180 days and 2 epochs instead of 365 and 10), by the same functions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.band_quality import empirical_band, judge_band
from benchmarks.model_table import VALIDATION_SPLIT, case_candles, judge_model
from benchmarks.model_table_page import BEGIN, DEAREST, END, HIGHEST_PCT, HORIZONS, LOWEST_PCT, PAGE, write_page
from include.errors import BadInputError
from include.market.candles import Candles
from include.ml.config import MODEL_TYPES, ModelType, TrainingConfig
from include.ml.evaluation import pinball_loss
from include.ml.features import trailing_volatility
from include.ml.labels import QUANTILE_HORIZONS, QUANTILES
from include.ml.predictor import Predictions
from tests.ml.real_candles import real_candles
from tests.ml.series import random_walk

DAYS = 180


@pytest.fixture(scope="module")
def candles(market_data_dir: Path) -> Candles:
    return case_candles(real_candles(market_data_dir, "BTCUSDT", "2025-01-01", 3 * 366), DAYS)


@pytest.mark.long
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_band_of_a_network_trained_until_2023_holds_72_to_88_percent_of_the_returns_of_2024(
    model_type: ModelType, candles: Candles
) -> None:
    config = TrainingConfig(model_type, epochs=2, batch_size=128, validation_split=VALIDATION_SPLIT, threads=1)
    judged = judge_model(candles, config, DAYS)
    assert judged.evaluation.bars > 8700
    assert set(judged.band.coverage_by_month) == {f"2024-{month:02d}" for month in range(1, 13)}
    for horizon in HORIZONS:
        assert judged.evaluation.quantile_coverage_pct[horizon] == pytest.approx(
            judged.band.coverage_pct[horizon], abs=0.1
        )
        assert LOWEST_PCT <= judged.band.coverage_pct[horizon] <= HIGHEST_PCT, judged.band.coverage_pct
        assert judged.band.pinball_ratio[horizon] <= DEAREST, judged.band.pinball_ratio


def forecast_of(candles: Candles, band: np.ndarray, first: int) -> Predictions:
    """The forecast that is this band times the trailing volatility, from the bar `first` on."""
    unit = trailing_volatility(candles.close)[first:, None] * np.sqrt(QUANTILE_HORIZONS)
    times = candles.open_time[first:]
    return Predictions(times, np.full(len(times), 0.5), unit[:, :, None] * band)


def test_the_empirical_band_costs_exactly_what_it_costs_and_holds_its_own_training_data() -> None:
    walk = random_walk(3000, seed=5)
    band = empirical_band(walk, int(walk.open_time[60]), int(walk.open_time[-1]) + walk.bar_ms)
    quality = judge_band(forecast_of(walk, band, 60), walk, band)
    assert all(ratio == pytest.approx(1.0) for ratio in quality.pinball_ratio.values())
    np.testing.assert_allclose(list(quality.coverage_pct.values()), 80.0, atol=0.2)
    assert list(quality.coverage_by_month) == ["2023-01", "2023-02", "2023-03", "2023-04", "2023-05"]


def test_a_band_without_width_and_one_far_too_wide_are_told_apart_from_an_honest_one() -> None:
    walk = random_walk(3000, seed=6)
    band = empirical_band(walk, 0, int(walk.open_time[-1]) + walk.bar_ms)
    for factor, covered in ((0.0, 0.0), (5.0, 100.0)):
        quality = judge_band(forecast_of(walk, factor * band, 60), walk, band)
        np.testing.assert_allclose(list(quality.coverage_pct.values()), covered, atol=0.5)
        assert min(quality.pinball_ratio.values()) > DEAREST


def test_the_empirical_band_is_decided_inside_its_range_alone() -> None:
    walk = random_walk(1500, seed=7)
    start, end = int(walk.open_time[100]), int(walk.open_time[900])
    close = walk.close.copy()
    close[900:] *= 1.5
    other = replace(walk, close=close, high=np.maximum(walk.high, close))
    np.testing.assert_array_equal(empirical_band(other, start, end), empirical_band(walk, start, end))


def test_the_page_keeps_its_prose_and_is_refused_without_its_marks(tmp_path: Path) -> None:
    page = tmp_path / PAGE
    page.write_text("no marks\n")
    with pytest.raises(BadInputError, match="once each; put them back"):
        write_page(tmp_path, [], {})
    assert page.read_text() == "no marks\n"
    assert list(tmp_path.iterdir()) == [page]
    assert (Path(__file__).parents[2] / "docs" / PAGE).read_text().count(BEGIN) == 1
    assert END.startswith("<!--")


def test_the_pinball_loss_of_a_small_example_and_of_unknown_returns() -> None:
    quantiles = np.array([[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0]], [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0]]])
    actual = np.array([[2.0, np.nan], [-2.0, np.nan]])
    # For 2: 0.1 * 3, 0.5 * 2 and 0.9 * 1; for -2 the same from the other side.
    assert pinball_loss(quantiles, actual, QUANTILES, (1, 8)) == {"1": pytest.approx((0.3 + 1.0 + 0.9) / 3)}
