"""The candles as an exchange would show them at the sandbox's present."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sandbox.market.bars import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, INTERVAL_MS, Bars
from sandbox.market.bridge import PARTS, five_minute_bars, unfinished
from sandbox.market.clock import SandboxClock
from sandbox.market.noise import symbol_seed
from sandbox.market.source import MarketSource

FAR_FUTURE_MS = 1 << 60


def open_view(folder: Path | None, state_file: Path | None) -> MarketView:
    """Return the candles of a folder (or the fallback) at the clock of an environment.

    :raises MarketDataError: when a file of candles cannot be read.
    :raises ClockError: when the state file is unusable or belongs to other candles.
    """
    source = MarketSource(folder)
    return MarketView(source, SandboxClock.open(state_file, source.describe(), source.end_ms))


class MarketView:
    """Candles of a source in the time of a clock; what lies in the clock's future does not show."""

    def __init__(self, source: MarketSource, clock: SandboxClock) -> None:
        self.source = source
        self.clock = clock

    def describe(self) -> str:
        """Return which candles these are, in one line."""
        return f"{self.source.describe()}, shifted by {self.clock.shift_weeks} weeks"

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int,
        now_ms: int | None = None,
    ) -> Bars:
        """Return at most `limit` candles with `start_ms <= open_time <= end_ms`, oldest first.

        With a start the oldest ones of the range, without it the newest. The last may be unfinished: it then
        holds what is known by now.

        :raises KeyError: for an unknown symbol.
        """
        now = self.clock.now_ms() if now_ms is None else now_ms
        bar_ms = INTERVAL_MS[interval]
        end = min(FAR_FUTURE_MS if end_ms is None else end_ms, now)
        shift = self.clock.shift_ms
        hours = self.source.hours(symbol)
        first_ms = int(hours.open_time[0]) + shift
        if start_ms is None:
            newest = min(end, int(hours.open_time[-1]) + shift + HOUR_MS - 1)
            # Gaps make a span of `limit` bars hold fewer: reach back until there are enough, or no more data.
            reach = limit * bar_ms
            while True:
                start = newest - newest % bar_ms - reach
                bars = self._range(symbol, bar_ms, start, end, now)
                if len(bars) >= limit or start <= first_ms:
                    return bars[max(0, len(bars) - limit) :]
                reach *= 2
        start = max(start_ms, first_ms - first_ms % bar_ms)
        reach = limit * bar_ms
        while True:
            last = min(end, start + reach)
            bars = self._range(symbol, bar_ms, start, last, now)
            if len(bars) >= limit or last >= end:
                return bars[:limit]
            reach *= 2

    def last_day(self, symbol: str, now_ms: int) -> Bars:
        """Return the five-minute candles of the 24 hours before now, the unfinished one included."""
        return self._range(symbol, FIVE_MINUTES_MS, now_ms - DAY_MS, now_ms, now_ms)

    def _range(self, symbol: str, bar_ms: int, start_ms: int, end_ms: int, now_ms: int) -> Bars:
        """Return the candles with `start_ms <= open_time <= end_ms` as known at `now_ms`."""
        shift = self.clock.shift_ms
        # On the candle grid: the first to open at or after the start, the end of the last to open by the end.
        first = -(-start_ms // bar_ms) * bar_ms
        last = (end_ms // bar_ms + 1) * bar_ms
        if last <= first:
            return self._shifted(self.source.hours(symbol)[0:0], shift)
        hours = self.source.hours(symbol)
        step = max(bar_ms, HOUR_MS)
        hours = hours.between(first // step * step - shift, -(-last // step) * step - shift)
        current = (now_ms - shift) // HOUR_MS * HOUR_MS
        closed = hours.between(0, current)
        seed = symbol_seed(symbol)
        parts = closed if bar_ms >= HOUR_MS else five_minute_bars(closed, seed)
        running = hours.between(current, current + 1)
        if len(running):
            parts = parts.append(_seen_part(running, seed, now_ms - shift, bar_ms))
        if bar_ms not in {FIVE_MINUTES_MS, HOUR_MS}:
            parts = parts.aggregate(bar_ms)
        return self._shifted(parts.between(first - shift, last - shift), shift)

    @staticmethod
    def _shifted(bars: Bars, shift: int) -> Bars:
        return Bars(
            bars.open_time + shift, bars.open, bars.high, bars.low, bars.close, bars.volume,
            bars.price_decimals, bars.volume_decimals,
        )  # fmt: skip


def _seen_part(hour: Bars, seed: int, now_ms: int, bar_ms: int) -> Bars:
    """Return what is known of the running hour: its closed five-minute candles and the running one."""
    fives = five_minute_bars(hour, seed)
    elapsed = now_ms - int(hour.open_time[0])
    done = min(PARTS - 1, elapsed // FIVE_MINUTES_MS)
    share = (elapsed - done * FIVE_MINUTES_MS) / FIVE_MINUTES_MS
    seen = fives[:done].append(unfinished(fives[done : done + 1], float(np.clip(share, 0.0, 1.0))))
    return seen if bar_ms < HOUR_MS else seen.aggregate(HOUR_MS)
