"""The positions that a strategy wants, in the directions that are allowed."""

from __future__ import annotations

from typing import Any

import numpy as np

from include.errors import BadInputError
from include.market.candles import Candles
from include.strategies.definition import Positions, StrategyDefinition, StrategyParams
from include.strategies.request import Direction


def wanted_positions(
    definition: StrategyDefinition[Any], params: StrategyParams, candles: Candles, direction: Direction = "both"
) -> Positions:
    """Return the wanted position after each bar's close, shape `(n,)`; the other side's are 0 (no position).

    :raises BadInputError: for fewer bars than the longest indicator needs.
    """
    require_bars(definition, params, len(candles))
    wanted = definition.positions(candles, params)
    if wanted.shape != (len(candles),) or wanted.dtype != np.int8 or np.abs(wanted).max() > 1:
        raise ValueError(
            f"{definition.title} must give a position of -1, 0 or 1 (int8) for each of the {len(candles)} candles, got "
            f"{wanted.dtype} of shape {wanted.shape} with values {np.unique(wanted)[:5]}"
        )
    if direction == "long":
        return np.maximum(wanted, 0)
    if direction == "short":
        return np.minimum(wanted, 0)
    return wanted


def require_bars(definition: StrategyDefinition[Any], params: StrategyParams, bars: int) -> None:
    """Refuse a series that is shorter than the longest indicator.

    :raises BadInputError: `Insufficient data: ...`.
    """
    needed = definition.lookback(params) + 2
    if bars < needed:
        raise BadInputError(
            f"Insufficient data: {definition.title} with {params.model_dump()} needs at least {needed} candles, "
            f"found {bars}; choose a longer period, a shorter timeframe or smaller periods of the indicators"
        )
