"""What Binance's bodies look like, and the check of every number before it goes any further.

Prices and volumes are decimal *strings* on the wire, times are integers in milliseconds.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from include.errors import BadInputError, MalformedAnswerError
from include.market.candles import Candles, check_candles
from include.market.timeframes import timeframe_ms

KLINE_FIELDS = 12
"""openTime, open, high, low, close, volume, closeTime, quoteVolume, trades, takerBase, takerQuote, ignore."""
NUMBER_NAMES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Ticker24h:
    """The last 24 hours of one symbol; prices in the quote asset, `price_change_pct` in percent."""

    symbol: str
    last_price: float
    price_change_pct: float
    open_price: float
    high_price: float
    low_price: float
    volume_base: float
    volume_quote: float
    trades: int
    open_time_ms: int
    close_time_ms: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able mapping."""
        return asdict(self)


def iso(time_ms: int) -> str:
    """Return a time in milliseconds as ISO 8601 in UTC, for messages."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"


def parse_time_ms(value: object, what: str) -> int:
    """Return a time in milliseconds since the epoch.

    :raises MalformedAnswerError: unless it is a positive integer.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise MalformedAnswerError(f"Binance answered {what} = {value!r}, not a time in milliseconds; try again later")
    return value


def parse_number(value: object, what: str) -> float:
    """Return a finite number that stood in a string.

    :raises MalformedAnswerError: for anything else than a string with a finite decimal number.
    """
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    raise MalformedAnswerError(
        f"Binance answered {what} = {value!r}, not a finite number in a string; try again later, and compare with the "
        "exchange's own chart if it stays"
    )


def parse_klines(rows: object, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Candles:
    """Turn the body of `GET /api/v3/klines` into candles, whether they are closed or not.

    :param start_ms, end_ms: the range that was asked for (`start_ms <= open_time < end_ms`).
    :raises MalformedAnswerError: for a wrong shape, NaN, infinity, prices of zero or less, times that
        do not ascend or were not asked for; the message names symbol, time, field and value.
    """
    if not isinstance(rows, list):
        raise MalformedAnswerError(f"Binance answered {type(rows).__name__} instead of a list of {symbol} klines")
    bar_ms = timeframe_ms(timeframe)
    times = np.empty(len(rows), dtype=np.int64)
    numbers = np.empty((len(NUMBER_NAMES), len(rows)), dtype=np.float64)
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != KLINE_FIELDS:
            raise MalformedAnswerError(
                f"Binance answered a {symbol} {timeframe} kline without {KLINE_FIELDS} fields: {row!r:.120}"
            )
        open_time = parse_time_ms(row[0], f"the open time of {symbol} {timeframe} kline {i}")
        at = f"{symbol} {timeframe} kline of {iso(open_time)}"
        if row[6] != open_time + bar_ms - 1:
            raise MalformedAnswerError(f"Binance answered the {at} with close time {row[6]!r}, not 1 bar later")
        if not start_ms <= open_time < end_ms:
            raise MalformedAnswerError(
                f"Binance answered the {at}, outside of the range asked for ({iso(start_ms)} to {iso(end_ms)})"
            )
        times[i] = open_time
        for j, name in enumerate(NUMBER_NAMES):
            try:
                numbers[j, i] = float(row[j + 1]) if isinstance(row[j + 1], str) else math.nan
            except ValueError:
                numbers[j, i] = math.nan
            if not math.isfinite(numbers[j, i]):
                parse_number(row[j + 1], f"{name} of the {at}")
    candles = Candles(symbol, timeframe, times, *numbers)
    try:
        check_candles(candles)
    except BadInputError as error:
        raise MalformedAnswerError(f"Binance answered candles that cannot be true. {error}") from error
    return candles


def parse_ticker_24h(body: object, symbol: str) -> Ticker24h:
    """Turn the body of `GET /api/v3/ticker/24hr?symbol=` into numbers.

    :raises MalformedAnswerError: for a missing field, another symbol, a number that is not finite or a
        last price of zero or less (a symbol without any trade answers zeros).
    """
    if not isinstance(body, dict) or body.get("symbol") != symbol:
        raise MalformedAnswerError(f"Binance did not answer the 24-hour ticker of {symbol}: {body!r:.120}")

    def number(key: str) -> float:
        return parse_number(body.get(key), f"{key} of the 24-hour ticker of {symbol}")

    last_price = number("lastPrice")
    if last_price <= 0:
        raise MalformedAnswerError(
            f"Binance answered lastPrice = {last_price} for {symbol}: it had no trade in 24 hours or is delisted"
        )
    trades = body.get("count")
    if isinstance(trades, bool) or not isinstance(trades, int) or trades < 0:
        raise MalformedAnswerError(f"Binance answered count = {trades!r} in the 24-hour ticker of {symbol}")
    return Ticker24h(
        symbol=symbol,
        last_price=last_price,
        price_change_pct=number("priceChangePercent"),
        open_price=number("openPrice"),
        high_price=number("highPrice"),
        low_price=number("lowPrice"),
        volume_base=number("volume"),
        volume_quote=number("quoteVolume"),
        trades=trades,
        open_time_ms=parse_time_ms(body.get("openTime"), f"openTime of the 24-hour ticker of {symbol}"),
        close_time_ms=parse_time_ms(body.get("closeTime"), f"closeTime of the 24-hour ticker of {symbol}"),
    )


def parse_ticker_prices(body: object) -> dict[str, float]:
    """Turn the body of `GET /api/v3/ticker/price` for all symbols into prices by symbol; 0 is "never traded".

    :raises MalformedAnswerError: for another shape, a price that is no finite number or below zero, or a symbol
        that comes twice.
    """
    if not isinstance(body, list):
        raise MalformedAnswerError(f"Binance answered {type(body).__name__} instead of a list of prices")
    prices: dict[str, float] = {}
    for entry in body:
        symbol = entry.get("symbol") if isinstance(entry, dict) else None
        if not isinstance(symbol, str) or symbol in prices:
            raise MalformedAnswerError(f"Binance answered a list of prices with {entry!r:.120} in it; try again later")
        prices[symbol] = parse_number(entry.get("price"), f"the price of {symbol}")
        if prices[symbol] < 0:
            raise MalformedAnswerError(f"Binance answered the price {entry.get('price')!r} for {symbol}")
    return prices
