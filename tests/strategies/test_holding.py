"""From moments to positions, against a walk through the bars."""

from __future__ import annotations

import numpy as np
import pytest

from include.strategies.holding import hold


def walked(
    enter_long: list[bool], leave_long: list[bool], enter_short: list[bool], leave_short: list[bool]
) -> list[int]:
    answer, now = [], 0
    for bar in range(len(enter_long)):
        if (now > 0 and leave_long[bar]) or (now < 0 and leave_short[bar]):
            now = 0
        if enter_long[bar] and not leave_long[bar] and not (enter_short[bar] and not leave_short[bar]):
            now = 1
        if enter_short[bar] and not leave_short[bar]:
            now = 0 if enter_long[bar] and not leave_long[bar] else -1
        answer.append(now)
    return answer


@pytest.mark.parametrize("seed", range(20))
def test_positions_are_held_from_entry_to_exit_or_to_the_other_sides_entry(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moments = [rng.random(300) < rng.choice([0.02, 0.2, 0.6]) for _ in range(4)]
    assert hold(*moments).tolist() == walked(*(moment.tolist() for moment in moments))


def test_an_entry_of_one_side_ends_the_other() -> None:
    no = np.zeros(5, dtype=bool)
    long, short = np.array([1, 0, 0, 0, 0], dtype=bool), np.array([0, 0, 1, 0, 0], dtype=bool)
    assert hold(long, no, short, no).tolist() == [1, 1, -1, -1, -1]


def test_a_bar_that_says_enter_and_leave_does_not_enter() -> None:
    yes, no = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    assert hold(yes, yes, no, no).tolist() == [0, 0, 0]


def test_without_any_bar_there_is_no_position() -> None:
    none = np.zeros(0, dtype=bool)
    assert hold(none, none, none, none).shape == (0,)
