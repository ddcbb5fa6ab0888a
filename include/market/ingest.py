"""Keeps the stored candles of one symbol complete: asks the exchange for what is missing and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from include.errors import BadInputError
from include.market.binance import BinanceClient
from include.market.binance_wire import iso
from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.market.gaps import Gap, GapReport, find_gaps
from include.market.timeframes import DAY_MS, timeframe_ms

MAX_DAYS = 1_100
"""Somewhat more than three years: what the store is measured with."""


@dataclass(frozen=True)
class IngestReport:
    """What one ingestion found, fetched and left.

    :param status: the exchange's word on the symbol (`TRADING`, `BREAK`...).
    :param fetched: candles that the exchange was asked for and sent.
    :param inserted, corrected: fetched candles that were new, or replaced other numbers of the same time.
    :param coverage: the stored series afterwards, against the bars that were requested; its gaps are ranges
        that the exchange itself has no candles for.
    :param first_open_time_ms, last_open_time_ms: of the stored candles in that range; `None` without any.
    """

    symbol: str
    timeframe: str
    days: int
    status: str
    fetched: int
    inserted: int
    corrected: int
    coverage: GapReport
    first_open_time_ms: int | None
    last_open_time_ms: int | None

    @property
    def requested(self) -> int:
        """Closed bars of the asked-for days."""
        return self.coverage.expected

    @property
    def present(self) -> int:
        """Bars of them that are stored now."""
        return self.coverage.present

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is still missing, oldest first."""
        return self.coverage.gaps

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON-able mapping."""
        first, last = self.first_open_time_ms, self.last_open_time_ms
        return {
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "days": self.days,
            "status": self.status,
            "requested": self.requested,
            "present": self.present,
            "missing": self.coverage.missing,
            "missing_pct": round(self.coverage.missing_pct, 4),
            "fetched": self.fetched,
            "inserted": self.inserted,
            "corrected": self.corrected,
            "gaps": [gap.to_dict() for gap in self.gaps],
            "first_open_time_ms": first,
            "last_open_time_ms": last,
            "first_open_time": None if first is None else iso(first),
            "last_open_time": None if last is None else iso(last),
        }


def ingest(client: BinanceClient, store: CandleStore, symbol: str, timeframe: str, days: int) -> IngestReport:
    """Complete the stored candles of the last `days` days up to the newest closed bar.

    "Now" is the exchange's clock. Head, tail and inner gaps are fetched, page by page, and each page is
    stored before the next is asked for, so that a broken run leaves nothing to repeat. A second run fetches
    the bars closed since, and asks once more for the ranges that the exchange had no candles for. A stored
    series that cannot be believed (NaN, a price of zero...) is fetched again as a whole and corrected.

    :raises BadInputError: for an unknown symbol or timeframe, `days` outside of 1 to 1,100, or stored candles
        that stay corrupt because the exchange has none of that time.
    :raises TransientError: while the exchange or MongoDB is away or busy.
    """
    bar_ms = timeframe_ms(timeframe)
    if not 1 <= days <= MAX_DAYS:
        raise BadInputError(f"days is {days}; ask for 1 to {MAX_DAYS} days of candles")
    status = str(client.exchange_info(symbol).get("status", ""))
    now_ms = client.server_time_ms()
    end_ms = now_ms // bar_ms * bar_ms
    start_ms = end_ms - days * DAY_MS
    try:
        missing = find_gaps(store.load(symbol, timeframe, start_ms, end_ms), start_ms, end_ms)
    except BadInputError:
        missing = find_gaps(_nothing(symbol, timeframe), start_ms, end_ms)
    fetched = inserted = corrected = 0
    for gap in missing:
        for page in client.kline_pages(symbol, timeframe, gap.start_ms, gap.end_ms, server_time_ms=now_ms):
            counts = store.merge(page)
            fetched += len(page)
            inserted += counts.inserted
            corrected += counts.corrected
    stored = store.load(symbol, timeframe, start_ms, end_ms)
    return IngestReport(
        symbol=symbol,
        timeframe=timeframe,
        days=days,
        status=status,
        fetched=fetched,
        inserted=inserted,
        corrected=corrected,
        coverage=GapReport.of(stored, start_ms, end_ms),
        first_open_time_ms=int(stored.open_time[0]) if len(stored) else None,
        last_open_time_ms=int(stored.open_time[-1]) if len(stored) else None,
    )


def _nothing(symbol: str, timeframe: str) -> Candles:
    empty = np.empty(0)
    return Candles(symbol, timeframe, np.empty(0, dtype=np.int64), empty, empty, empty, empty, empty)
