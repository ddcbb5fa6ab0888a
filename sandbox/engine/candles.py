"""The engine's candle cache, with its order and its duplicates."""

from __future__ import annotations

from typing import Any

from sandbox.binance.rows import quote_volumes, trade_counts
from sandbox.market.bars import INTERVAL_MS, Bars
from sandbox.market.view import MarketView

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
TIMEFRAMES = ("1m", "5m", "15m", "1h")
CACHE_SIZE = 500
REFRESH_MS = 120_000
REFRESH_ROWS = 5

CandleRow = dict[str, Any]


def cached_candles(view: MarketView, symbol: str, timeframe: str, uptime_minutes: float) -> list[CandleRow]:
    """Return the cache's content, oldest entry first, duplicates included.

    At the start the cache got 500 candles; every 120 s the last five of the series are appended again,
    unfinished one included, and the oldest entries fall out.
    """
    if symbol not in SYMBOLS or timeframe not in TIMEFRAMES or symbol not in view.source.symbols:
        return []
    if timeframe not in INTERVAL_MS:
        return []  # The stand-in has no one-minute candles.
    now = view.clock.now_ms()
    started = now - int(uptime_minutes * 60_000)
    refreshes = int(uptime_minutes * 60_000) // REFRESH_MS
    rows = _rows(view.klines(symbol, timeframe, limit=CACHE_SIZE, now_ms=started), timeframe)
    # Only the newest refreshes can still be in the cache.
    for turn in range(max(1, refreshes - CACHE_SIZE // REFRESH_ROWS + 1), refreshes + 1):
        seen_at = started + turn * REFRESH_MS
        rows += _rows(view.klines(symbol, timeframe, limit=REFRESH_ROWS, now_ms=seen_at), timeframe)
    return rows[-CACHE_SIZE:]


def newest_first(rows: list[CandleRow], limit: int | None) -> list[CandleRow]:
    """Return the cache's content as the engine answers it."""
    newest = rows[::-1]
    return newest if limit is None else newest[:limit]


def chart(symbol: str, timeframe: str, rows: list[CandleRow], limit: int | None) -> dict[str, Any]:
    """Return the chart object. Only `latest_price` can be believed.

    The daily figures take the oldest rows for the newest and 24 rows for a day, as the engine does.
    """
    shown = newest_first(rows, limit)
    candles = [
        {"timestamp": row["open_time"], **{name: row[name] for name in ("open", "high", "low", "close", "volume")}}
        for row in shown
    ]
    last_24 = shown[-24:]
    volume = sum(row["volume"] for row in last_24) if len(shown) >= 24 else 0.0
    change = shown[-1]["close"] - shown[-24]["close"] if len(shown) >= 24 else 0.0
    return {
        "symbol": symbol,
        "timeframe": timeframe,
        "candles": candles,
        "latest_price": rows[-1]["close"] if rows else 0.0,
        "volume_24h": volume,
        "price_change_24h": change,
        "price_change_percent_24h": change / shown[-24]["close"] * 100 if len(shown) >= 24 else 0.0,
    }


def _rows(bars: Bars, timeframe: str) -> list[CandleRow]:
    prices, steps, bar_ms = 10**bars.price_decimals, 10**bars.volume_decimals, INTERVAL_MS[timeframe]
    columns = zip(
        bars.open_time.tolist(), (bars.open / prices).tolist(), (bars.high / prices).tolist(),
        (bars.low / prices).tolist(), (bars.close / prices).tolist(), (bars.volume / steps).tolist(),
        quote_volumes(bars).tolist(), trade_counts(bars).tolist(), strict=True,
    )  # fmt: skip
    return [
        {
            "open_time": time,
            "close_time": time + bar_ms - 1,
            "open": open_,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
            "quote_volume": quote,
            "trades": trades,
            "is_closed": True,
        }
        for time, open_, high, low, close, volume, quote, trades in columns
    ]
