"""Rows of `/api/v3/klines`: twelve columns, numbers as strings with eight decimals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sandbox.market.bars import Bars
from sandbox.market.noise import symbol_seed, uniforms

Row = list[int | str]


def decimal_strings(values: NDArray[np.int64], decimals: int) -> list[str]:
    """Return integers in units of `10 ** -decimals` as exact decimal strings with eight decimals."""
    unit = 10**decimals
    zeros = "0" * (8 - decimals)
    return [
        f"{value // unit}.{value % unit:0{decimals}d}{zeros}" if decimals else f"{value}.{zeros}"
        for value in values.tolist()
    ]


def quote_volumes(bars: Bars) -> NDArray[np.float64]:
    """Return the volume in the quote asset, at each candle's mean of open, high, low and close."""
    mean = (bars.open + bars.high + bars.low + bars.close) / 4 / 10**bars.price_decimals
    result: NDArray[np.float64] = bars.volume / 10**bars.volume_decimals * mean
    return result


def trade_counts(bars: Bars) -> NDArray[np.int64]:
    """Return a number of trades that goes with the traded value (the stored candles have none)."""
    result: NDArray[np.int64] = np.ceil(quote_volumes(bars) / 400.0).astype(np.int64)
    return result


def kline_rows(symbol: str, bars: Bars, bar_ms: int) -> list[Row]:
    """Return candles as Binance sends them.

    Quote volume, trades and the taker's share are derived (the stored candles have neither): plausible,
    deterministic, and between zero and the volume.
    """
    taker = 0.4 + 0.2 * uniforms(symbol_seed(symbol), bars.open_time, 21, 1)[:, 0]
    quote = quote_volumes(bars)
    taker_volume = np.floor(bars.volume * taker).astype(np.int64)
    columns = zip(
        bars.open_time.tolist(),
        decimal_strings(bars.open, bars.price_decimals),
        decimal_strings(bars.high, bars.price_decimals),
        decimal_strings(bars.low, bars.price_decimals),
        decimal_strings(bars.close, bars.price_decimals),
        decimal_strings(bars.volume, bars.volume_decimals),
        (bars.open_time + (bar_ms - 1)).tolist(),
        [f"{value:.8f}" for value in quote.tolist()],
        trade_counts(bars).tolist(),
        decimal_strings(taker_volume, bars.volume_decimals),
        [f"{value:.8f}" for value in (quote * taker).tolist()],
        ["0"] * len(bars),
        strict=True,
    )
    return [list(row) for row in columns]
