"""Brings the newest candles of many symbols into the store, with as few questions as the exchange needs.

Only symbols that lack the newest closed candle, or the oldest one of the span, are asked for, and of them only what
is missing. A few threads share one client, its pace and its refusals. Inner gaps are `ingest`'s business.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from include.errors import BadInputError, ConfigurationError, MalformedAnswerError, TradingOpsError, TransientError
from include.market.binance import BinanceClient
from include.market.candle_store import CandleStore
from include.market.timeframes import timeframe_ms

GIVE_UP_AFTER = 3
"""So many questions in a row that ended without an answer mean that the exchange is away: the rest is not asked."""

Range = tuple[int, int]


@dataclass(frozen=True)
class RefreshFailure:
    """Why a symbol was not completed; `transient`: trying again later may help."""

    reason: str
    transient: bool


@dataclass(frozen=True)
class RefreshReport:
    """What a refresh did.

    :param now_ms: the exchange's time that "closed" was judged by.
    :param current: symbols that lacked nothing, and were not asked for.
    :param fetched: candles by symbol that the exchange sent.
    :param inserted: candles that were new to the store.
    """

    now_ms: int
    current: frozenset[str]
    fetched: Mapping[str, int]
    inserted: int
    failures: Mapping[str, RefreshFailure]


def refresh_many(
    client: BinanceClient,
    store: CandleStore,
    symbols: Collection[str],
    timeframe: str,
    bars: int,
    *,
    concurrency: int,
    weight_per_minute: int,
    now_ms: int | None = None,
) -> RefreshReport:
    """Complete the last `bars` closed candles of each symbol up to the newest one; failures are per symbol.

    A symbol's candles are stored as soon as they are there: a broken run leaves nothing to repeat, and at most
    `concurrency` symbols' candles are in memory.

    :param concurrency: threads, and with them questions under way, at most.
    :param weight_per_minute: request weight that the client keeps to (:meth:`BinanceClient.pace`).
    :param now_ms: the exchange's time if it was asked already.
    :raises BadInputError: for an unknown timeframe or less than one bar.
    :raises TransientError: when the exchange does not tell its time, or MongoDB is away.
    :raises ConfigurationError: when the address is not Binance's.
    """
    bar_ms = timeframe_ms(timeframe)
    if bars < 1:
        raise BadInputError(f"bars is {bars}; ask for at least 1")
    client.pace(weight_per_minute)
    now = client.server_time_ms() if now_ms is None else now_ms
    end_ms = now // bar_ms * bar_ms
    span = (end_ms - bars * bar_ms, end_ms)
    wanted = sorted(set(symbols))
    current = store.with_both(wanted, timeframe, (span[0], end_ms - bar_ms))
    behind = [symbol for symbol in wanted if symbol not in current]
    missing = _missing(store, behind, timeframe, span)
    work = _Work(client, store, timeframe, now)
    if missing:
        with ThreadPoolExecutor(min(concurrency, len(missing)), "refresh") as threads:
            try:
                for _ in threads.map(work.complete, missing.items()):
                    pass
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
    return RefreshReport(now, frozenset(wanted) - frozenset(missing), work.fetched, work.inserted, work.failures)


def _missing(store: CandleStore, symbols: Collection[str], timeframe: str, span: Range) -> dict[str, list[Range]]:
    """Return the ranges to ask for: before the first stored candle of the span, and behind the last one."""
    if not symbols:
        return {}
    start_ms, end_ms = span
    bar_ms = timeframe_ms(timeframe)
    stored = store.spans(symbols, timeframe, start_ms, end_ms)
    missing = {}
    for symbol in symbols:
        first, last = stored.get(symbol, (end_ms, end_ms - bar_ms))
        ranges = [(start_ms, first), (last + bar_ms, end_ms)]
        if lacking := [(begin, end) for begin, end in ranges if begin < end]:
            missing[symbol] = lacking
    return missing


class _Work:
    """What the threads share: the client, and what became of each symbol."""

    def __init__(self, client: BinanceClient, store: CandleStore, timeframe: str, now_ms: int) -> None:
        self._client, self._store, self._timeframe, self._now_ms = client, store, timeframe, now_ms
        self._lock = threading.Lock()
        self._unanswered = 0
        self.fetched: dict[str, int] = {}
        self.failures: dict[str, RefreshFailure] = {}
        self.inserted = 0

    def complete(self, item: tuple[str, Iterable[Range]]) -> None:
        """Fetch and store what one symbol lacks; note its failure."""
        symbol, ranges = item
        if self._unanswered >= GIVE_UP_AFTER:
            reason = f"Binance was not asked for {symbol}: it did not answer {GIVE_UP_AFTER} times in a row"
            self._note(symbol, failure=RefreshFailure(f"{reason}; try again later", transient=True))
            return
        try:
            pieces = [
                self._client.klines(symbol, self._timeframe, start_ms, end_ms, server_time_ms=self._now_ms)
                for start_ms, end_ms in ranges
            ]
        except ConfigurationError:
            raise
        except TradingOpsError as error:
            transient = isinstance(error, TransientError)
            answered = not transient or isinstance(error, MalformedAnswerError)
            self._note(symbol, failure=RefreshFailure(str(error), transient), answered=answered)
            return
        self._note(symbol, sum(map(len, pieces)), sum(self._store.merge(piece).inserted for piece in pieces))

    def _note(
        self,
        symbol: str,
        fetched: int = 0,
        inserted: int = 0,
        failure: RefreshFailure | None = None,
        *,
        answered: bool = True,
    ) -> None:
        with self._lock:
            self.fetched[symbol] = fetched
            self.inserted += inserted
            self._unanswered = 0 if answered and self._unanswered < GIVE_UP_AFTER else self._unanswered + 1
            if failure is not None:
                self.failures[symbol] = failure
