"""The deployment rule as a table, and its laws over arbitrary numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.ml.comparison import Comparison
from include.ml.deployment import DeployRule, Verdict, decide
from include.settings import Settings

RULE = DeployRule()
FIRST = Comparison("first_model")
NOT_POSSIBLE = Comparison("not_possible", reason="only 80 of 150 bars")
UNREADABLE = Comparison("champion_unreadable", reason="wrong key")


def compared(new: float | None, old: float | None, bars: int = 312) -> Comparison:
    def side(accuracy: float | None) -> dict[str, Any]:
        return {"accuracy": accuracy}

    return Comparison("compared", bars=bars, candidate=side(new), champion=side(old))


@pytest.mark.parametrize(
    ("accuracy", "skill", "comparison", "text"),
    [
        (0.71, 0.01, compared(0.70, 0.68), "deployed: accuracy 0.70 above the champion's 0.68 on the same 312 bars"),
        (0.60, -0.03, FIRST, "deployed: first model of its kind"),
        (0.71, 0.01, compared(0.70, 0.70), "deployed: accuracy 0.70 equals the champion's on the same 312 bars"),
        (0.58, 0.01, FIRST, "not deployed: accuracy 0.58 below 0.60"),
        (
            0.58,
            0.01,
            compared(0.58, 0.62),
            "not deployed: accuracy 0.58 below 0.60; accuracy 0.58 below the champion's",
        ),
        (0.70, -0.05, compared(0.70, 0.60), "not deployed: skill -0.05 below -0.03"),
        (
            0.70,
            0.01,
            compared(0.66, 0.68),
            "not deployed: accuracy 0.66 below the champion's 0.68 on the same 312 bars",
        ),
        (0.70, 0.01, NOT_POSSIBLE, "not deployed: comparison not possible, the champion stays (only 80 of 150 bars)"),
        (0.70, 0.01, UNREADABLE, "not deployed: the champion cannot be read and stays (wrong key)"),
        (0.5996, 0.01, FIRST, "not deployed: accuracy 0.5996 below 0.6000"),
        (0.70, 0.01, compared(0.6801, 0.6804), "not deployed: accuracy 0.6801 below the champion's 0.6804"),
        (math.nan, 0.01, FIRST, "not deployed: accuracy is nan, not a finite number"),
        (0.70, math.nan, FIRST, "not deployed: skill is nan, not a finite number"),
        (0.70, 0.01, compared(math.nan, 0.5), "not deployed: accuracy on the same bars is nan"),
        (0.70, 0.01, compared(0.7, None), "not deployed: the champion's accuracy is nan"),
        (71.0, 0.01, FIRST, "not deployed: accuracy is 71.0, not a share between 0 and 1"),
    ],
)
def test_tc_async_057_the_rule_and_its_words(accuracy: float, skill: float, comparison: Comparison, text: str) -> None:
    verdict = decide(accuracy, skill, comparison, RULE)
    assert verdict.text.startswith(text)
    assert verdict.deploy == text.startswith("deployed")
    assert (verdict.failed_condition is None) == verdict.deploy
    assert Verdict.from_dict(verdict.to_dict()) == verdict


anything = st.floats(allow_nan=True, allow_infinity=True)
shares = st.floats(0, 1)
comparisons = st.one_of(
    st.sampled_from([FIRST, NOT_POSSIBLE, UNREADABLE]),
    st.builds(compared, shares, shares),
    st.builds(compared, anything, anything),
)


@given(anything, anything, comparisons)
def test_a_deployment_always_fulfils_every_condition(accuracy: float, skill: float, comparison: Comparison) -> None:
    verdict = decide(accuracy, skill, comparison, RULE)
    new, old = comparison.accuracies
    fulfilled = (
        math.isfinite(accuracy)
        and math.isfinite(skill)
        and 0.60 <= accuracy <= 1
        and skill >= -0.03
        and (comparison.status == "first_model" or (comparison.status == "compared" and 0 <= old <= new <= 1))
    )
    assert verdict.deploy == fulfilled
    assert verdict.text.startswith("deployed: " if fulfilled else "not deployed: ")


@given(shares, st.floats(-1, 1), shares, shares, st.floats(0, 0.2))
def test_a_better_candidate_is_never_judged_worse(
    accuracy: float, skill: float, new: float, old: float, gain: float
) -> None:
    if decide(accuracy, skill, compared(new, old), RULE).deploy:
        better = decide(min(1, accuracy + gain), skill + gain, compared(min(1, new + gain), old), RULE)
        assert better.deploy


def test_the_thresholds_come_from_the_settings() -> None:
    assert DeployRule.from_settings(Settings()) == RULE
    strict = DeployRule.from_settings(Settings(min_deploy_accuracy=0.75, min_deploy_skill=0.02))
    assert decide(0.71, 0.01, FIRST, strict).failed == ("min_accuracy", "min_skill")
