"""From moments to positions: when to get in, and when to get out again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.strategies.definition import Positions

BoolArray = NDArray[np.bool_]


def hold(enter_long: BoolArray, leave_long: BoolArray, enter_short: BoolArray, leave_short: BoolArray) -> Positions:
    """Return the position after each bar: long from an entry until the first bar that says leave, short likewise.

    A bar that says both enter and leave of the same side does not enter. An entry of one side ends the other.
    All four have shape `(n,)`; bar `t` of the answer depends on bars up to `t` alone.
    """
    long = _since(enter_long & ~leave_long) > np.maximum(_since(leave_long), _since(enter_short & ~leave_short))
    short = _since(enter_short & ~leave_short) > np.maximum(_since(leave_short), _since(enter_long & ~leave_long))
    return long.astype(np.int8) - short.astype(np.int8)


def _since(moments: BoolArray) -> NDArray[np.int64]:
    """Return, for each bar, the index of the newest bar up to it that is true, -1 before the first."""
    return np.maximum.accumulate(np.where(moments, np.arange(len(moments)), -1))
