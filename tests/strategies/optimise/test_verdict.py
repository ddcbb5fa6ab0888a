"""The rule of the verdict, condition by condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.strategies.optimise.cscv import Overfitting
from include.strategies.optimise.verdict import Evidence, judge

CSCV = Overfitting(pbo=0.1, loss_probability=0.02, degradation_slope=0.1, splits=12870, blocks=16, variations=50)
GOOD = Evidence(
    in_sample_sharpe=3.0, test_return_pct=4.0, out_of_sample_sharpe=2.5, out_of_sample_return_pct=9.0,
    out_of_sample_trades=80, psr=0.99, dsr=0.97, cscv=CSCV,
)  # fmt: skip


def cscv(pbo: float, loss: float) -> dict[str, Overfitting]:
    """Return the field with other probabilities."""
    return {"cscv": replace(CSCV, pbo=pbo, loss_probability=loss)}


def test_all_conditions_together_are_robust_and_each_says_its_numbers() -> None:
    verdict = judge(GOOD)
    assert verdict.word == "robust"
    assert all(check.passed for check in verdict.checks)
    assert "80 trades" in verdict.reasons[0]
    assert "99.0%" in verdict.reasons[1]


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"out_of_sample_trades": 29}, "trades"),
        ({"psr": 0.979}, "significance"),
        ({"psr": None, "out_of_sample_sharpe": None}, "significance"),
        ({"dsr": 0.94}, "luck"),
        ({"dsr": None}, "luck"),
        (cscv(0.2, 0.26), "choice"),
        (cscv(0.51, 0.11), "choice"),
        ({"cscv": None}, "choice"),
        ({"test_return_pct": 0.0}, "test_part"),
        ({"test_return_pct": None}, "test_part"),
    ],
)
def test_a_single_condition_that_fails_makes_it_weak_and_is_named(change: dict[str, Any], failed: str) -> None:
    verdict = judge(replace(GOOD, **change))
    assert verdict.word == "weak"
    assert [check.name for check in verdict.checks if not check.passed] == [failed]
    assert verdict.reasons == tuple(check.text for check in verdict.checks if not check.passed)


def test_a_space_in_which_all_earn_alike_is_not_blamed_for_a_pbo_of_one_half() -> None:
    assert judge(replace(GOOD, **cscv(0.58, 0.01))).word == "robust"


@pytest.mark.parametrize(
    "change",
    [
        {"out_of_sample_return_pct": -3.0, "out_of_sample_sharpe": -1.0, "psr": 0.2},
        {"psr": 0.6, **cscv(0.7, 0.6)},
    ],
)
def test_good_in_sample_and_not_out_of_sample_is_overfit(change: dict[str, Any]) -> None:
    verdict = judge(replace(GOOD, **change))
    assert verdict.word == "overfit"
    assert "looked good in sample (Sharpe ratio 3.00)" in verdict.reasons[0]


def test_what_did_not_trade_out_of_sample_is_weak() -> None:
    change = {"out_of_sample_return_pct": 0.0, "out_of_sample_sharpe": None, "psr": None, "out_of_sample_trades": 0}
    assert judge(replace(GOOD, **change)).word == "weak"


@pytest.mark.parametrize("sharpe", [None, -0.5, 0.0])
def test_what_was_not_even_good_in_sample_is_weak(sharpe: float | None) -> None:
    evidence = replace(GOOD, in_sample_sharpe=sharpe, out_of_sample_return_pct=-5.0, psr=0.1)
    assert judge(evidence).word == "weak"
