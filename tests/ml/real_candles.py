"""The real candles as arrays."""

from __future__ import annotations

import gzip
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np

from include.market.candles import Candles
from include.market.timeframes import DAY_MS


def at_ms(text: str) -> int:
    """Return the milliseconds of an ISO date or time in UTC."""
    return int(datetime.fromisoformat(f"{text}+00:00" if "T" in text else f"{text}T00:00+00:00").timestamp() * 1000)


@lru_cache(maxsize=4)
def _whole(folder: Path, symbol: str) -> Candles:
    with gzip.open(folder / f"{symbol}_1h.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", skiprows=1)
    return Candles(symbol, "1h", rows[:, 0].astype(np.int64), *(rows[:, column].copy() for column in range(1, 6)))


def real_candles(folder: Path, symbol: str, until: str, days: int) -> Candles:
    """Return the hourly candles of the `days` days before `until` (an ISO date or time, UTC)."""
    end = at_ms(until)
    return _whole(folder, symbol).between(end - days * DAY_MS, end)
