"""The state behind the cost ledger: what is spent, when the last requests were sent, what still fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from include.analyst.errors import BudgetExceededError, RateLimitReachedError
from include.analyst.prices import NANO

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class BudgetState:
    """One version of the budget document.

    `day` (`2025-11-22`) and `month` (`2025-11`) are UTC, money is in nano-dollars.
    """

    version: int
    day: str
    day_nano: int
    month: str
    month_nano: int
    calls: tuple[datetime, ...]

    def at(self, now: datetime) -> BudgetState:
        """Return the state as of `now`: a new day or month starts at 0, calls older than an hour are forgotten.

        A worker whose clock is behind does not reopen a day that another has closed.
        """
        day, month = max(self.day, _day(now)), max(self.month, _month(now))
        return replace(
            self,
            day=day,
            day_nano=self.day_nano if day == self.day else 0,
            month=month,
            month_nano=self.month_nano if month == self.month else 0,
            calls=tuple(call for call in self.calls if call > now - HOUR),
        )

    def with_call(self, worst_nano: int, now: datetime) -> BudgetState:
        """Return the next version, with one more call and its worst case."""
        return replace(
            self,
            version=self.version + 1,
            day_nano=self.day_nano + worst_nano,
            month_nano=self.month_nano + worst_nano,
            calls=(*self.calls, now),
        )

    def check(self, worst_nano: int, now: datetime, daily_nano: int, monthly_nano: int, calls_per_hour: int) -> None:
        """Raise unless one more call, of that worst case, fits.

        :raises BudgetExceededError: with the period, what is spent, what is needed and the limit.
        :raises RateLimitReachedError: with the time at which the next call is allowed.
        """
        if self.month_nano + worst_nano > monthly_nano:
            raise BudgetExceededError("monthly", self.month_nano / NANO, worst_nano / NANO, monthly_nano / NANO)
        if self.day_nano + worst_nano > daily_nano:
            raise BudgetExceededError("daily", self.day_nano / NANO, worst_nano / NANO, daily_nano / NANO)
        recent = sorted(call for call in self.calls if call > now - HOUR)
        if len(recent) >= calls_per_hour:
            frees_at = recent[len(recent) - calls_per_hour] + HOUR if calls_per_hour else None
            raise RateLimitReachedError(len(recent), calls_per_hour, frees_at)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> BudgetState:
        """Read the stored form."""
        return cls(
            version=document["version"],
            day=document["day"],
            day_nano=document["day_nano"],
            month=document["month"],
            month_nano=document["month_nano"],
            calls=tuple(document["calls"]),
        )

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], now: datetime) -> BudgetState:
        """Add up the ledger's rows (`timestamp`, `cost_usd`) of this month and the last hour."""
        day = month = 0
        calls = []
        for row in rows:
            nano = round(row["cost_usd"] * NANO)
            day += nano if _day(row["timestamp"]) == _day(now) else 0
            month += nano if _month(row["timestamp"]) == _month(now) else 0
            if row["timestamp"] > now - HOUR:
                calls.append(row["timestamp"])
        return cls(1, _day(now), day, _month(now), month, tuple(sorted(calls)))

    def to_document(self) -> dict[str, Any]:
        """Return the stored form, without `_id`."""
        return {
            "version": self.version,
            "day": self.day,
            "day_nano": self.day_nano,
            "month": self.month,
            "month_nano": self.month_nano,
            "calls": list(self.calls),
        }


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _month(moment: datetime) -> str:
    return f"{moment:%Y-%m}"
