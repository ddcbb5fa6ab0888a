"""Spending of a day from a counter that only knows its own total since it was started.

The AI service counts in memory. What it spent is therefore the sum of the increases between successive readings:

- The *first reading* is a starting point: what the counter held by then was spent at unknown times before, so it counts
  nowhere.
- A *smaller* reading (in any of its numbers) means that the process was restarted and counts from 0 again: the reading
  is then itself the increase. What was spent between the last reading and the restart is lost: a lower limit.
- An increase belongs to the moment at which it was *seen*. With a reading every 15 minutes that is exact to 15 minutes;
  after a gap, what was spent within the gap counts on the day on which it was seen. So every increase counts once, and
  the days of a month add up to the month.
- Two replicas of the service behind one address give unrelated answers, and their alternation looks like restarts: the
  sum is then too high. Read one replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from include.analyst.ai_service_costs import CostStatistics
from include.analyst.prices import NANO
from include.analyst.spending import Entry, Spend

PURPOSE = "AI service"
LONG_GAP = timedelta(hours=2)
"""A longer time between two readings is said, because the increase is then not dated well."""


@dataclass(frozen=True)
class Reading:
    """The counters as they were at one moment (aware UTC)."""

    at: datetime
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float

    @classmethod
    def of(cls, statistics: CostStatistics, at: datetime) -> Reading:
        """Return the reading of an answer that came at that moment."""
        return cls(
            at,
            statistics.model,
            statistics.requests,
            statistics.input_tokens,
            statistics.output_tokens,
            statistics.cost_usd,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the stored form."""
        return asdict(self)

    @property
    def spend(self) -> Spend:
        """What the counters hold."""
        return Spend(self.requests, self.input_tokens, self.output_tokens, round(self.cost_usd * NANO))


@dataclass(frozen=True)
class Gap:
    """A long time without a reading, and what it cost (nano-dollars)."""

    since: datetime
    until: datetime
    nano: int


@dataclass(frozen=True)
class CounterHistory:
    """The increases, and what one should know about them."""

    entries: tuple[Entry, ...]
    first: datetime | None
    last: datetime | None
    restarts: tuple[datetime, ...]
    gaps: tuple[Gap, ...]


def increases(readings: Sequence[Reading]) -> CounterHistory:
    """Return what was spent between successive readings, in any order; see the module's text for the rules."""
    ordered = sorted(readings, key=lambda reading: reading.at)
    entries: list[Entry] = []
    restarts: list[datetime] = []
    gaps: list[Gap] = []
    for before, after in pairwise(ordered):
        held, holds = before.spend, after.spend
        restarted = (
            holds.requests < held.requests
            or holds.input_tokens < held.input_tokens
            or holds.output_tokens < held.output_tokens
            or holds.nano < held.nano
        )
        if restarted:
            restarts.append(after.at)
            held = Spend()
        spend = Spend(
            holds.requests - held.requests,
            holds.input_tokens - held.input_tokens,
            holds.output_tokens - held.output_tokens,
            holds.nano - held.nano,
        )
        if spend != Spend():
            entries.append(Entry(after.at, after.model, PURPOSE, spend))
            if after.at - before.at > LONG_GAP:
                gaps.append(Gap(before.at, after.at, spend.nano))
    return CounterHistory(
        entries=tuple(entries),
        first=ordered[0].at if ordered else None,
        last=ordered[-1].at if ordered else None,
        restarts=tuple(restarts),
        gaps=tuple(gaps),
    )
