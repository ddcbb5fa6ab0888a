"""Proof that a strategy does not know the future: what it wanted must not change when the future is taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from include.errors import BadInputError
from include.market.binance_wire import iso
from include.market.candles import Candles
from include.strategies.definition import Positions

MOST_CUTS, FEWEST_CUTS = 400, 24
WORK = 2_000_000
"""About how many bars are decided again altogether, which bounds the time that the check of a long series takes."""


class LookAheadError(BadInputError):
    """A strategy decided with what it could not have known."""


@dataclass(frozen=True)
class LookAheadCheck:
    """How often the data was cut, and how many decisions were compared."""

    cuts: int
    decisions: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {"passed": True, "cuts": self.cuts, "decisions_compared": self.decisions}


def check_look_ahead(
    candles: Candles, decide: Callable[[Candles], Positions], cuts: int | None = None
) -> LookAheadCheck:
    """Decide again on data that ends earlier, and compare every decision before the end.

    :param decide: candles to positions, as the run decided.
    :param cuts: how often (:func:`cut_points`); by default 24 to 400 times, the longer the series the fewer.
    :raises LookAheadError: naming the first bar whose decision was another one, and the newest bar that was known.
    """
    whole = decide(candles)
    compared = 0
    ends = cut_points(whole, cuts or int(np.clip(2 * WORK // max(len(candles), 1), FEWEST_CUTS, MOST_CUTS)))
    for end in ends:
        again = decide(candles.between(None, int(candles.open_time[end])))
        differs = np.flatnonzero(again != whole[:end])
        if len(differs):
            bar = int(differs[0])
            raise LookAheadError(
                f"The strategy looks ahead: at the bar of {iso(int(candles.open_time[bar]))} it wants the position "
                f"{int(whole[bar])} with all data, but {int(again[bar])} when the data ends with the bar of "
                f"{iso(int(candles.open_time[end - 1]))}; a decision may use bars up to its own only"
            )
        compared += end
    return LookAheadCheck(len(ends), compared)


def cut_points(positions: Positions, cuts: int) -> list[int]:
    """Return where the data is cut (numbers of bars that remain), ascending, each once.

    A decision that peeks by a bar or two betrays itself only when the data ends right behind it, and most bars of a
    strategy that trades rarely would decide the same without peeking. So most cuts are made where the position changes,
    each change having the same chance: three in eight behind the first bar with the new position, which must be wanted
    without the next bar, and as many behind the last bar with the old one. The others are spread evenly, with as
    much at random, for what changes so often that any bar will do and for what depends on the whole series.
    """
    count = len(positions)
    rng = np.random.default_rng(count)
    changes = np.flatnonzero(np.diff(positions)) + 1
    at_changes = min(3 * cuts // 8, len(changes))
    anywhere = max(2, cuts - 2 * at_changes)
    chosen = np.concatenate(
        [
            rng.choice(changes, at_changes, replace=False) + 1,
            rng.choice(changes, at_changes, replace=False),
            np.linspace(count // 4, count - 1, anywhere // 2),
            rng.integers(1, max(count, 2), anywhere - anywhere // 2),
        ]
    )
    return sorted({int(end) for end in chosen if 1 <= end < count})
