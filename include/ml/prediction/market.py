"""The newest candles of one symbol, fetched where they are missing, on the exchange's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.errors import BadInputError, TransientError
from include.market.binance_wire import iso
from include.market.ingest import ingest
from include.market.timeframes import DAY_MS, timeframe_ms
from include.ml.light.forecast import SymbolFeatures, bars_needed
from include.ml.prediction.question import TIMEFRAME

if TYPE_CHECKING:
    from include.market.binance import BinanceClient
    from include.market.candle_store import CandleStore
    from include.market.candles import Candles

HOUR_MS = timeframe_ms(TIMEFRAME)
SPARE_BARS = 48
"""Candles loaded beyond those needed: the exchange itself has had hours without any."""
LATE_BARS = 1
"""The newest closed candle may be missing for so long; a forecast from an older one would begin in the past."""


@dataclass(frozen=True)
class Market:
    """The exchange's clock, and what the networks see of the symbol's newest candles."""

    now_ms: int
    features: SymbolFeatures


def newest_market(client: BinanceClient, store: CandleStore, symbol: str) -> Market:
    """Return the market at the newest closed hourly candle; asks for candles only when some are missing.

    :raises BadInputError: for a symbol that Binance does not know, or one with too short a history.
    :raises TransientError: while the exchange or MongoDB is away, or the newest candle is not to be had.
    """
    now_ms = client.server_time_ms()
    end_ms = now_ms // HOUR_MS * HOUR_MS
    days = -(-(bars_needed() + SPARE_BARS) * HOUR_MS // DAY_MS)
    start_ms = end_ms - days * DAY_MS
    candles = _stored(store, symbol, start_ms, end_ms)
    if candles is None or len(candles) < bars_needed() or candles.open_time[-1] < end_ms - HOUR_MS:
        ingest(client, store, symbol, TIMEFRAME, days)
        candles = store.load(symbol, TIMEFRAME, start_ms, end_ms)
    if len(candles) and candles.open_time[-1] < end_ms - (1 + LATE_BARS) * HOUR_MS:
        newest = iso(int(candles.open_time[-1]) + HOUR_MS)
        raise TransientError(
            f"Binance's newest candle of {symbol} closed at {newest}, the exchange's clock says {iso(now_ms)}: is its "
            "trading halted? A forecast would begin in the past; try again later"
        )
    return Market(now_ms, SymbolFeatures.of(candles))


def _stored(store: CandleStore, symbol: str, start_ms: int, end_ms: int) -> Candles | None:
    try:
        return store.load(symbol, TIMEFRAME, start_ms, end_ms)
    except BadInputError:  # stored numbers that cannot be true: the ingestion fetches and corrects them
        return None
