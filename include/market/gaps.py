"""Where candles are missing, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from include.market.binance_wire import iso
from include.market.candles import Candles


@dataclass(frozen=True)
class Gap:
    """A run of missing candles: every grid time in `[start_ms, end_ms)`, `bars` of them."""

    start_ms: int
    end_ms: int
    bars: int

    def to_dict(self) -> dict[str, Any]:
        """Return the gap as a JSON-able mapping, with readable times."""
        return {
            "start_ms": self.start_ms, "end_ms": self.end_ms, "bars": self.bars,
            "start": iso(self.start_ms), "end": iso(self.end_ms),
        }  # fmt: skip


def find_gaps(candles: Candles, start_ms: int | None = None, end_ms: int | None = None) -> list[Gap]:
    """Return the gaps of a series, oldest first.

    :param start_ms: a missing head counts from here (default: from the first candle).
    :param end_ms: a missing tail counts up to here, exclusive (default: up to the last candle).
        Bounds off the timeframe's grid are rounded up to it.
    """
    bar_ms = candles.bar_ms
    times = candles.between(start_ms, end_ms).open_time
    edges = times
    if start_ms is not None:
        edges = np.concatenate([[_grid_up(start_ms, bar_ms) - bar_ms], edges])
    if end_ms is not None:
        edges = np.concatenate([edges, [_grid_up(end_ms, bar_ms)]])
    if len(edges) < 2:
        return []
    holes = np.flatnonzero(np.diff(edges) > bar_ms)
    return [
        Gap(int(edges[i]) + bar_ms, int(edges[i + 1]), (int(edges[i + 1]) - int(edges[i])) // bar_ms - 1) for i in holes
    ]


@dataclass(frozen=True)
class GapReport:
    """How complete a series is between two times (`start_ms <= open_time < end_ms`)."""

    symbol: str
    timeframe: str
    start_ms: int
    end_ms: int
    expected: int
    present: int
    gaps: tuple[Gap, ...]

    @classmethod
    def of(cls, candles: Candles, start_ms: int, end_ms: int) -> GapReport:
        """Compare a series with the grid of its timeframe between two times."""
        bar_ms = candles.bar_ms
        expected = max(0, (_grid_up(end_ms, bar_ms) - _grid_up(start_ms, bar_ms)) // bar_ms)
        return cls(
            candles.symbol,
            candles.timeframe,
            start_ms,
            end_ms,
            expected,
            len(candles.between(start_ms, end_ms)),
            tuple(find_gaps(candles, start_ms, end_ms)),
        )

    @property
    def missing(self) -> int:
        """Candles that should be there and are not."""
        return self.expected - self.present

    @property
    def missing_pct(self) -> float:
        """Missing candles in percent of the expected ones (0 when none is expected)."""
        return 100.0 * self.missing / self.expected if self.expected else 0.0

    @property
    def longest(self) -> Gap | None:
        """The gap with the most bars, the oldest of equals; `None` without gaps."""
        return max(self.gaps, key=lambda gap: gap.bars, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON-able mapping."""
        longest = self.longest
        return {
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "expected": self.expected,
            "present": self.present,
            "missing": self.missing,
            "missing_pct": round(self.missing_pct, 4),
            "longest": longest.to_dict() if longest else None,
            "gaps": [gap.to_dict() for gap in self.gaps],
        }


def _grid_up(time_ms: int, bar_ms: int) -> int:
    return -(-time_ms // bar_ms) * bar_ms
