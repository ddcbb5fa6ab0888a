"""How many days of candles a training needs in the store: its samples and the warm-up before them."""

from __future__ import annotations

import math

from include.market.timeframes import bars_per_day
from include.ml.config import TrainingConfig
from include.ml.spec import history_bars


def days_to_store(days_of_data: int, timeframe: str, window: int = TrainingConfig.window) -> int:
    """Return the days to have complete for a training on `days_of_data` days.

    The warm-up (indicators and the first window) counts twice, because gaps cost candles.
    """
    return days_of_data + math.ceil(2 * history_bars(window) / bars_per_day(timeframe))
