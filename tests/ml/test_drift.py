"""Drift: planted shifts are seen, the training's own data and the calendar are not mistaken for one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from include.errors import BadInputError, IntegrityError
from include.ml.drift import CALENDAR_FEATURES, DRIFT_BARS, drift_report, feature_distribution, psi_by_feature
from include.ml.features import WARMUP_BARS, compute_features
from tests.ml.real_candles import real_candles

NAMES = ("first", "second", "hour_sin")


def rows(count: int, seed: int = 1, shift: float = 0.0, scale: float = 1.0) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(count, 3))
    values[:, 0] = values[:, 0] * scale + shift
    return values.astype(np.float32)


TRAINING = rows(2000)
DISTRIBUTION = feature_distribution(NAMES, TRAINING)


def test_psi_is_siddiqis_sum_over_the_deciles() -> None:
    recent = rows(DRIFT_BARS, seed=2, shift=0.7)[:, 0]
    edges = np.quantile(TRAINING[:, 0], np.arange(1, 10) / 10)
    share, expected = (
        (np.histogram(part, np.concatenate([[-np.inf], edges, [np.inf]]))[0] + 0.5) / (len(part) + 5)
        for part in (recent, TRAINING[:, 0])
    )
    by_hand = sum((a - e) * np.log(a / e) for a, e in zip(share, expected, strict=True))
    psi = psi_by_feature(DISTRIBUTION, NAMES, rows(DRIFT_BARS, seed=2, shift=0.7))
    assert psi["first"] == pytest.approx(by_hand, abs=0.02)


def test_the_training_itself_and_more_of_the_same_show_no_drift() -> None:
    assert max(psi_by_feature(DISTRIBUTION, NAMES, TRAINING).values()) < 1e-6
    assert max(psi_by_feature(DISTRIBUTION, NAMES, rows(DRIFT_BARS, seed=3)).values()) < 0.15
    report = drift_report(DISTRIBUTION, NAMES, rows(DRIFT_BARS, seed=3), 0.2)
    assert (report["warnings"], report["unusual"], report["bars"]) == ([], [], DRIFT_BARS)


@pytest.mark.parametrize("planted", [{"shift": 1.0}, {"scale": 3.0}, {"scale": 0.2}])
def test_a_planted_shift_is_large_and_named_and_the_other_feature_is_not(planted: dict[str, float]) -> None:
    report = drift_report(DISTRIBUTION, NAMES, rows(500, seed=4, **planted), 0.2)
    assert report["psi"]["first"] > 0.5
    assert report["psi"]["second"] < 0.2
    assert report["drifted"] == report["unusual"] == ["first"]
    assert report["warnings"][0].startswith(f"first: PSI {report['psi']['first']:.2f} is above 0.2 (unusual")


def test_only_the_newest_week_is_compared() -> None:
    recent = np.concatenate([rows(1000, seed=5, shift=5.0), rows(DRIFT_BARS, seed=6)])
    assert drift_report(DISTRIBUTION, NAMES, recent, 0.2)["warnings"] == []


def test_a_week_far_beyond_everything_known_stays_finite() -> None:
    psi = psi_by_feature(DISTRIBUTION, NAMES, rows(DRIFT_BARS, shift=1e9))
    assert np.isfinite(list(psi.values())).all()
    assert psi["first"] > 2


def test_a_value_that_many_rows_share_is_parted_from_what_lies_below_it() -> None:
    training = rows(1000)
    training[:, 0] = 1.0
    training[:600, 1] = np.float32(0.1)
    described = feature_distribution(NAMES, training)
    assert max(psi_by_feature(described, NAMES, training).values()) < 1e-6
    moved = training.copy()
    moved[:, 0] = 0.999
    moved[:600, 1] = 0.09
    assert min(psi_by_feature(described, NAMES, moved).values()) > 0.5


def test_a_report_says_why_there_is_none() -> None:
    assert "trained before" in drift_report(None, NAMES, rows(200), 0.2)["reason"]
    few = drift_report(DISTRIBUTION, NAMES, rows(DRIFT_BARS - 1), 0.2)
    assert few["reason"] == "only 167 of the 168 newest bars are known"
    assert (few["psi"], few["warnings"]) == ({}, [])
    warming = rows(200)
    warming[-1] = np.nan
    assert drift_report(DISTRIBUTION, NAMES, warming, 0.2)["bars"] == DRIFT_BARS - 1
    assert "other features" in drift_report(DISTRIBUTION, ("first", "third", "hour_sin"), rows(200), 0.2)["reason"]
    assert "version None" in drift_report({}, NAMES, rows(200), 0.2)["reason"]


def test_what_cannot_be_described_or_compared_is_refused() -> None:
    with pytest.raises(BadInputError, match="needs 48 rows, found 47"):
        feature_distribution(NAMES, rows(47))
    broken = rows(200)
    broken[7, 1] = np.nan
    with pytest.raises(BadInputError, match="finite"):
        feature_distribution(NAMES, broken)
    with pytest.raises(BadInputError, match="finite"):
        psi_by_feature(DISTRIBUTION, NAMES, broken)
    with pytest.raises(IntegrityError, match="train the model again"):
        psi_by_feature(DISTRIBUTION, ("first", "third"), rows(200))


def test_a_short_training_cannot_tell_what_is_usual() -> None:
    short = feature_distribution(NAMES, rows(2 * DRIFT_BARS - 1))
    report = drift_report(short, NAMES, rows(DRIFT_BARS, shift=3.0), 0.2)
    assert report["unusual"] == []
    assert "too short to tell" in report["warnings"][0]


def test_on_real_candles_quiet_weeks_are_above_the_mark_but_mostly_usual(market_data_dir: Path) -> None:
    """Ten weeks of BTCUSDT after 60 days each: nearly all are above 0.2 somewhere, few beyond the training's weeks."""
    drifted = unusual = compared = 0
    for month in range(2, 12):
        candles = real_candles(market_data_dir, "BTCUSDT", f"2024-{month:02d}-15", 60 + 7)
        names, features = compute_features(candles)
        described = feature_distribution(names, features[WARMUP_BARS:-DRIFT_BARS])
        assert json.loads(json.dumps(described, allow_nan=False)) == described
        report = drift_report(described, names, features, 0.2)
        assert set(report["psi"]) == set(names) - CALENDAR_FEATURES
        drifted += len(report["drifted"])
        unusual += len(report["unusual"])
        compared += len(report["psi"])
    assert {name for name in names if name.startswith(("hour_", "week_"))} == CALENDAR_FEATURES
    assert drifted / compared > 0.3
    assert unusual / compared < 0.2
