"""What an analysis asks the exchange: its time and prices once, candles as far as they are missing.

An exchange that is away ends nothing: the time is then this host's, the price the newest close, and the candles
are those of the store, as long as they are fresh enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from include.errors import TransientError
from include.market.binance import BinanceClient
from include.market.binance_wire import iso
from include.market.candle_store import CandleStore
from include.market.refresh import refresh_many
from include.ml.bulk.failure import Failure

UNKNOWN = "Invalid symbol: {symbol} is not traded on Binance; use one such as BTCUSDT"


class Exchange:
    """The exchange as one run sees it; what it said once is not asked again.

    :param concurrency: questions under way at the same time, at most.
    :param weight_per_minute: request weight to use per minute, at most.
    """

    def __init__(
        self,
        client: BinanceClient,
        store: CandleStore,
        *,
        concurrency: int,
        weight_per_minute: int,
        local_clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._store = client, store
        self._concurrency, self._weight_per_minute = concurrency, weight_per_minute
        self._prices: dict[str, float] | None = None
        self.trouble: str | None = None
        """Why the exchange is taken to be away; None while it answers."""
        client.pace(weight_per_minute)
        try:
            self.now_ms = client.server_time_ms()
        except TransientError as error:
            self.trouble = str(error)
            self.now_ms = int(local_clock() * 1000)
        self._clock = "this host" if self.trouble else "exchange"

    def prices(self) -> Mapping[str, float]:
        """Return the last prices of all symbols, asked once; none while the exchange is away."""
        if self._prices is None:
            self._prices = {}
            if self.trouble is None:
                try:
                    self._prices = self._client.ticker_prices()
                except TransientError as error:
                    self.trouble = str(error)
        return self._prices

    def unknown(self, symbols: Collection[str]) -> dict[str, Failure]:
        """Return the symbols that the exchange does not list; none while it is away, since nobody can tell."""
        listed = self.prices()
        if not listed:
            return {}
        return {
            symbol: Failure("unknown to Binance", UNKNOWN.format(symbol=symbol))
            for symbol in symbols
            if symbol not in listed
        }

    def complete(self, symbols: Collection[str], timeframe: str, bars: int) -> dict[str, Failure]:
        """Store the candles that are missing of the newest `bars`; return what hindered it, by symbol."""
        if self.trouble is not None:
            why = f"Binance is away, so no candles were fetched: {self.trouble}"
            return {symbol: Failure("no candles", why, transient=True) for symbol in symbols}
        report = refresh_many(
            self._client,
            self._store,
            symbols,
            timeframe,
            bars,
            concurrency=self._concurrency,
            weight_per_minute=self._weight_per_minute,
            now_ms=self.now_ms,
        )
        return {
            symbol: Failure("no candles", failure.reason, failure.transient)
            for symbol, failure in report.failures.items()
        }

    def describe(self) -> dict[str, Any]:
        """Return by what clock and prices the run went."""
        return {
            "now": iso(self.now_ms),
            "clock": self._clock,
            "prices": "not asked" if self._prices is None else "ticker" if self._prices else "newest close",
            "trouble": self.trouble,
        }
