"""How a period is cut into train and test parts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from include.errors import BadInputError
from include.market.timeframes import DAY_MS
from include.strategies.optimise.windows import Plan, plan

HOUR_MS = 3_600_000


def cut(days: int, **changes: Any) -> Plan:
    """Cut a period that begins at 0, as the defaults do."""
    terms = {"windows": 4, "anchored": False, "train_share": 0.7, "embargo_days": 1, "lookback_ms": 21 * HOUR_MS}
    return plan(0, days * DAY_MS, **{**terms, **changes})


@pytest.mark.parametrize("days", [60, 184, 365, 366])
@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("windows", [2, 4, 6])
def test_tc_async_073_test_parts_lie_end_to_end_and_never_touch_what_was_searched(
    days: int, anchored: bool, windows: int
) -> None:
    found = cut(days, anchored=anchored, windows=windows, embargo_days=2)
    tests = [window.test for window in found.walk]
    assert len(found.walk) == windows
    assert tests[-1].end_ms == days * DAY_MS
    assert all(before.end_ms == after.start_ms for before, after in pairwise(tests))
    assert len({test.days for test in tests}) == 1
    for window in (found.final, *found.walk):
        assert window.train.start_ms >= 0
        assert window.test.start_ms - window.train.end_ms == 2 * DAY_MS
    trains = [window.train for window in found.walk]
    assert trains[0].start_ms == 0
    assert (len({train.days for train in trains}) == 1) != anchored
    assert (len({train.start_ms for train in trains}) == 1) == anchored


def test_the_final_train_part_has_its_share_and_a_window_about_the_same() -> None:
    found = cut(365, train_share=0.8)
    assert found.final.train.days == 291
    assert found.final.test.days == 73
    first = found.walk[0]
    assert first.train.days / (first.train.days + first.test.days) == pytest.approx(0.8, abs=0.02)


def test_the_gap_is_never_shorter_than_the_slowest_indicator() -> None:
    found = cut(365, embargo_days=1, lookback_ms=65 * 4 * HOUR_MS)
    assert found.embargo_days == 11
    assert all(w.test.start_ms - w.train.end_ms == 11 * DAY_MS for w in (found.final, *found.walk))


@pytest.mark.parametrize(
    ("days", "changes"),
    [(40, {"windows": 12}), (25, {}), (120, {"lookback_ms": 65 * DAY_MS}), (1, {}), (30, {"embargo_days": 20})],
)
def test_a_period_that_is_too_short_is_refused_with_what_would_help(days: int, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match=r"too short for .*about \d+ days are needed; choose an earlier start_date"):
        cut(days, **changes)


@pytest.mark.parametrize(
    "changes", [{}, {"windows": 12}, {"train_share": 0.5}, {"train_share": 0.9}, {"lookback_ms": 40 * DAY_MS}]
)
def test_the_days_that_the_refusal_asks_for_are_enough(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInputError) as refusal:
        cut(10, **changes)
    needed = int(str(refusal.value).split("about ")[1].split()[0])
    cut(needed + 1, **changes)
