"""Proof that a strategy does not know the future: what it wanted must not change when the future is taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError
from include.market.binance_wire import iso
from include.market.candles import Candles
from include.strategies.definition import Positions

CUTS = 24


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


def check_look_ahead(candles: Candles, decide: Callable[[Candles], Positions], cuts: int = CUTS) -> LookAheadCheck:
    """Decide again on data that ends earlier, and compare every decision before the end.

    A decision that uses the next bar differs only next to a cut, so half of the cuts are made right behind bars at
    which the position changes; the others are spread evenly.

    :param decide: candles to positions, as the run decided.
    :raises LookAheadError: naming the first bar whose decision was another one, and the newest bar that was known.
    """
    whole = decide(candles)
    compared = 0
    ends = cut_points(whole, cuts)
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
    """Return where the data is cut (numbers of bars that remain), ascending, each once."""
    count = len(positions)
    changes = np.flatnonzero(np.diff(positions)) + 2
    chosen: NDArray[Any] = np.linspace(count // 4, count - 1, max(1, cuts // 2))
    if len(changes):
        spread = np.linspace(0, len(changes) - 1, min(len(changes), cuts - cuts // 2))
        chosen = np.concatenate([chosen, changes[spread.astype(int)]])
    return sorted({int(end) for end in chosen if 0 < end < count})
