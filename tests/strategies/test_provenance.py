"""What a result says about the candles that it was computed from."""

from __future__ import annotations

import numpy as np

from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.strategies.provenance import provenance

HOUR_MS = 3_600_000
START_MS = 1_700_006_400_000 // DAY_MS * DAY_MS


def _candles(hours: list[int], volume: float = 5.0) -> Candles:
    price = np.full(len(hours), 100.0)
    times = START_MS + np.array(hours, dtype=np.int64) * HOUR_MS
    return Candles("BTCUSDT", "1h", times, price, price, price, price, np.full(len(hours), volume))


def test_the_period_and_its_warm_up_are_counted_apart_and_hashed_together() -> None:
    known = _candles([*range(-3, 10), *range(12, 24)])
    known.volume[5] = 0.0
    known.volume[0] = 0.0
    said = provenance(known, START_MS, START_MS + DAY_MS)
    assert (said["candles"], said["warm_up_candles"]) == (22, 3)
    assert (said["expected"], said["missing"], said["longest"]["bars"]) == (24, 2, 2)
    assert said["bars_without_volume"] == 1, "the one in the period, not the one of the warm-up"
    assert said["sha256"] == known.sha256() != known.between(START_MS).sha256()
    assert said["first_candle"] == "2023-11-15T00:00:00+00:00"
    assert said["last_candle"] == "2023-11-15T23:00:00+00:00"
