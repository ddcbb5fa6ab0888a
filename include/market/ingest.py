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
from include.market.timeframes import DAY_MS, MAX_RANGE_BARS, timeframe_ms

MAX_DAYS = 1_100
"""Somewhat more than three years: what the store is measured with."""


@dataclass(frozen=True)
class RangeReport:
    """What completing one range of time found, fetched and left.

    :param status: the exchange's word on the symbol (`TRADING`, `BREAK`...).
    :param fetched: candles that the exchange was asked for and sent.
    :param inserted, corrected: fetched candles that were new, or replaced other numbers of the same time.
    :param coverage: the stored series afterwards, against the bars that were requested; its gaps are ranges
        that the exchange itself has no candles for.
    :param first_open_time_ms, last_open_time_ms: of the stored candles in that range; `None` without any.
    """

    symbol: str
    timeframe: str
    status: str
    fetched: int
    inserted: int
    corrected: int
    coverage: GapReport
    first_open_time_ms: int | None
    last_open_time_ms: int | None

    @property
    def requested(self) -> int:
        """Closed bars of the asked-for range."""
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


@dataclass(frozen=True)
class IngestReport(RangeReport):
    """The same of the last `days` days."""

    days: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON-able mapping."""
        return {**super().to_dict(), "days": self.days}


def ingest(client: BinanceClient, store: CandleStore, symbol: str, timeframe: str, days: int) -> IngestReport:
    """Complete the stored candles of the last `days` days up to the newest closed bar (see :func:`ingest_range`).

    A second run fetches the bars closed since, and asks once more for the ranges that the exchange had no candles for.

    :raises BadInputError: for an unknown symbol or timeframe, `days` outside of 1 to 1,100, or stored candles
        that stay corrupt because the exchange has none of that time.
    :raises TransientError: while the exchange or MongoDB is away or busy.
    """
    bar_ms = timeframe_ms(timeframe)
    if not 1 <= days <= MAX_DAYS:
        raise BadInputError(f"days is {days}; ask for 1 to {MAX_DAYS} days of candles")
    status = _status(client, symbol)
    now_ms = client.server_time_ms()
    end_ms = now_ms // bar_ms * bar_ms
    report = _complete(client, store, symbol, timeframe, (end_ms - days * DAY_MS, end_ms), status, now_ms)
    return IngestReport(**vars(report), days=days)


def ingest_range(
    client: BinanceClient,
    store: CandleStore,
    symbol: str,
    timeframe: str,
    start_ms: int,
    end_ms: int,
    *,
    now_ms: int | None = None,
) -> RangeReport:
    """Complete the stored candles with `start_ms <= open_time < end_ms`.

    Head, tail and inner gaps are fetched, page by page, and each page is stored before the next is asked for, so
    that a broken run leaves nothing to repeat. A stored series that cannot be believed (NaN, a price of zero...) is
    fetched again as a whole and corrected. What the exchange has no candles for stays a gap of the report.

    :param end_ms: exclusive; the exchange's clock must have passed it. Bounds off the timeframe's grid are rounded up.
    :param now_ms: the exchange's clock if it was asked already.
    :raises BadInputError: for an unknown symbol or timeframe, an empty range, one that is not over or has more than
        340,000 candles, or stored candles that stay corrupt because the exchange has none of that time.
    :raises TransientError: while the exchange or MongoDB is away or busy.
    """
    check_range(timeframe, start_ms, end_ms)
    status = _status(client, symbol)
    now_ms = client.server_time_ms() if now_ms is None else now_ms
    if end_ms > now_ms:
        raise BadInputError(
            f"The candles of {symbol} {timeframe} up to {iso(end_ms)} are not closed: by the exchange's clock it is "
            f"{iso(now_ms)}; ask for a range that is over"
        )
    return _complete(client, store, symbol, timeframe, (start_ms, end_ms), status, now_ms)


def check_range(timeframe: str, start_ms: int, end_ms: int) -> None:
    """Refuse a range that is empty, begins before 1970 or has more candles than one range may have.

    :raises BadInputError: naming the range, its candles and the limit.
    """
    bars = (end_ms - start_ms) // timeframe_ms(timeframe)
    if bars < 1 or start_ms < 0:
        raise BadInputError(f"No candle of {timeframe} lies between {start_ms} and {end_ms} ms: correct the range")
    if bars > MAX_RANGE_BARS:
        raise BadInputError(
            f"{iso(start_ms)} to {iso(end_ms)} are {bars:,} candles of {timeframe}, more than {MAX_RANGE_BARS:,}: "
            "choose a shorter period or a longer timeframe"
        )


def _status(client: BinanceClient, symbol: str) -> str:
    return str(client.exchange_info(symbol).get("status", ""))


def _complete(
    client: BinanceClient,
    store: CandleStore,
    symbol: str,
    timeframe: str,
    span: tuple[int, int],
    status: str,
    now_ms: int,
) -> RangeReport:
    start_ms, end_ms = span
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
    return RangeReport(
        symbol=symbol,
        timeframe=timeframe,
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
