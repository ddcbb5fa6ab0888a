"""How a period is cut: one train and test part, and the windows of a walk-forward, with a gap before every test part.

Everything is whole days. The gap (embargo) keeps the indicators of a test part's first bars from having seen the
train part's last trades: it is at least as long as the slowest variation's lookback. Source: M. Lopez de Prado,
"Advances in Financial Machine Learning", 2018, chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from include.errors import BadInputError
from include.market.timeframes import DAY_MS
from include.strategies.optimise.variation import Segment

FEWEST_TRAIN_DAYS, FEWEST_TEST_DAYS = 14, 5


@dataclass(frozen=True)
class Window:
    """What is searched, and what the choice is then tested on."""

    train: Segment
    test: Segment


@dataclass(frozen=True)
class Plan:
    """All parts of an optimisation.

    :param final: its train part gives the parameters that are proposed.
    :param walk: windows of the walk-forward, oldest first; their test parts lie end to end.
    """

    final: Window
    walk: tuple[Window, ...]
    embargo_days: int


def plan(
    start_ms: int, end_ms: int, *, windows: int, anchored: bool, train_share: float, embargo_days: int, lookback_ms: int
) -> Plan:
    """Cut `[start_ms, end_ms)`.

    The final train part is `train_share` of the days, the rest (after the gap) its test part. A walk-forward window
    has the same proportion of train and test days; its test parts are equally long and end with the period. Anchored
    train parts begin with the period, rolling ones are all as long as the first.

    :param embargo_days: the gap asked for; raised to the lookback where that is longer.
    :raises BadInputError: for a period that is too short for it; the message names what to change.
    """
    days = (end_ms - start_ms) // DAY_MS
    gap = max(embargo_days, math.ceil(lookback_ms / DAY_MS))
    ratio = train_share / (1 - train_share)
    test = int((days - gap) / (windows + ratio))
    train = days - gap - windows * test
    final_train = int(train_share * (days - gap))
    final_test = days - gap - final_train
    fewest_train = max(FEWEST_TRAIN_DAYS, math.ceil(2 * lookback_ms / DAY_MS))
    if test < FEWEST_TEST_DAYS or min(train, final_train) < fewest_train or final_test < FEWEST_TEST_DAYS:
        per_window = max(FEWEST_TEST_DAYS, math.ceil(fewest_train / ratio))
        needed = max(
            gap + math.ceil(per_window * (windows + ratio)),
            gap + math.ceil(max(fewest_train / train_share, FEWEST_TEST_DAYS / (1 - train_share))),
        )
        raise BadInputError(
            f"the period of {days} days is too short for {windows} walk-forward windows with train_share "
            f"{train_share:g} and a gap of {gap} days (embargo_days {embargo_days}, longest lookback "
            f"{lookback_ms / DAY_MS:.3g} days): about {needed} days are needed; choose an earlier start_date, fewer "
            "windows or a shorter timeframe"
        )

    def window(label: str, train_from: int, test_from: int, test_to: int) -> Window:
        def part(name: str, first: int, end: int) -> Segment:
            return Segment(f"{label}{name}", start_ms + first * DAY_MS, start_ms + end * DAY_MS)

        return Window(part("train", train_from, test_from - gap), part("test", test_from, test_to))

    walk = []
    for i in range(windows):
        test_from = days - (windows - i) * test
        walk.append(window(f"window {i + 1} ", 0 if anchored else test_from - gap - train, test_from, test_from + test))
    return Plan(window("", 0, final_train + gap, days), tuple(walk), gap)
