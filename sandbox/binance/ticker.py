"""The bodies of `/api/v3/ticker/...`, computed from the five-minute candles of the last 24 hours."""

from __future__ import annotations

import numpy as np

from sandbox.binance.rows import decimal_strings, quote_volumes, trade_counts
from sandbox.market.bars import DAY_MS, Bars

Ticker = dict[str, int | str]


def last_price(day: Bars) -> str:
    """Return the last price; zero with no candle in the last 24 hours."""
    return decimal_strings(day.close[-1:], day.price_decimals)[0] if len(day) else "0.00000000"


def ticker_24h(symbol: str, day: Bars, now_ms: int) -> Ticker:
    """Return the ticker; with no candle in the last 24 hours every number is zero, as for a halted pair."""
    body: Ticker = {"symbol": symbol}
    if len(day):
        body |= _numbers(day)
    else:
        body |= dict.fromkeys(_FIELDS, "0.00000000") | {"priceChangePercent": "0.000"}
    count = int(trade_counts(day).sum())
    first_id = now_ms // 10
    return body | {
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": first_id if count else -1,
        "lastId": first_id + count - 1 if count else -1,
        "count": count,
    }


_FIELDS = (
    "priceChange", "priceChangePercent", "weightedAvgPrice", "prevClosePrice", "lastPrice", "lastQty", "bidPrice",
    "bidQty", "askPrice", "askQty", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume",
)  # fmt: skip


def _numbers(day: Bars) -> dict[str, str]:
    def price(ticks: int) -> str:
        sign = "-" if ticks < 0 else ""
        return sign + decimal_strings(np.array([abs(ticks)]), day.price_decimals)[0]

    def quantity(steps: int) -> str:
        return decimal_strings(np.array([steps]), day.volume_decimals)[0]

    first, last = int(day.open[0]), int(day.close[-1])
    volume = int(day.volume.sum())
    quote = float(quote_volumes(day).sum())
    base = volume / 10**day.volume_decimals
    values = (
        price(last - first),
        f"{(last - first) / first * 100:.3f}",
        f"{quote / base if base else 0.0:.8f}",
        price(first),
        price(last),
        quantity(max(1, int(day.volume[-1]) // 100)),
        price(last - 1),
        quantity(max(1, volume // 5000)),
        price(last + 1),
        quantity(max(1, volume // 6000)),
        price(first),
        price(int(day.high.max())),
        price(int(day.low.min())),
        quantity(volume),
        f"{quote:.8f}",
    )
    return dict(zip(_FIELDS, values, strict=True))
