"""Candles for machines without the real ones: EURUSD from backtesting.py, and synthetic pairs."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sandbox.market.bars import HOUR_MS, Bars, from_floats
from sandbox.market.noise import normals, symbol_seed, uniforms

END_MS = 1_735_689_600_000
"""2025-01-01 00:00 UTC: where all series end before they are shifted, like the real ones."""
SYNTHETIC_BARS = 26_304
"""Three years of hours."""

# Start price in the quote asset, decimals of price and volume, hourly volatility, mean hourly volume in the base asset.
SYNTHETIC: dict[str, tuple[float, int, int, float, float]] = {
    "BTCUSDT": (46_000.0, 2, 5, 0.0055, 1_500.0),
    "ETHUSDT": (3_700.0, 2, 4, 0.0070, 15_000.0),
    "BNBUSDT": (510.0, 2, 3, 0.0065, 9_000.0),
    "SOLUSDT": (170.0, 2, 3, 0.0095, 90_000.0),
    "XRPUSDT": (0.83, 4, 0, 0.0085, 12_000_000.0),
    "DOGEUSDT": (0.17, 5, 0, 0.0095, 40_000_000.0),
    "ADAUSDT": (1.31, 4, 1, 0.0085, 5_000_000.0),
    "LTCUSDT": (146.0, 2, 3, 0.0080, 12_000.0),
    "LINKUSDT": (19.5, 3, 2, 0.0090, 150_000.0),
}


def eurusd_path() -> Path | None:
    """Return the file that backtesting.py ships (found without importing it), or None."""
    spec = find_spec("backtesting")
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location) / "test" / "EURUSD.csv"
        if path.exists():
            return path
    return None


def load_eurusd(path: Path) -> Bars:
    """Return the real hourly EURUSD of 2017-18 on consecutive hours (its weekends are missing in the file)."""
    with path.open(newline="") as file:
        rows = [[float(value) for value in row[1:6]] for row in list(csv.reader(file))[1:]]
    times = END_MS - HOUR_MS * np.arange(len(rows), 0, -1, dtype=np.int64)
    return from_floats(times, np.asarray(rows))


def synthetic(symbol: str) -> Bars:
    """Return three years of a seeded random walk with volatility that clusters, the same in every process."""
    start, price_decimals, volume_decimals, volatility, mean_volume = SYNTHETIC[symbol]
    seed = symbol_seed(symbol)
    times = END_MS - HOUR_MS * np.arange(SYNTHETIC_BARS, 0, -1, dtype=np.int64)
    daily = np.repeat(normals(seed, times[::24], 11, 1)[:, 0], 24)[:SYNTHETIC_BARS]
    sigma = volatility * np.exp(0.35 * daily)
    returns = sigma * normals(seed, times, 13, 1)[:, 0]
    close = start * np.exp(np.cumsum(returns - returns.mean()))
    open_ = np.concatenate([[start], close[:-1]])
    wicks = -np.log(uniforms(seed, times, 15, 2)) * sigma[:, None] * 0.35
    high = np.maximum(open_, close) * np.exp(wicks[:, 0])
    low = np.minimum(open_, close) * np.exp(-wicks[:, 1])
    volume = mean_volume * np.exp(0.5 * normals(seed, times, 17, 1)[:, 0] + np.abs(returns) / volatility * 0.3)
    prices = np.rint(np.stack([open_, high, low, close], axis=1) * 10**price_decimals).astype(np.int64)
    return Bars(
        times, prices[:, 0].copy(), prices[:, 1].copy(), prices[:, 2].copy(), prices[:, 3].copy(),
        np.rint(volume * 10**volume_decimals).astype(np.int64), price_decimals, volume_decimals,
    )  # fmt: skip
