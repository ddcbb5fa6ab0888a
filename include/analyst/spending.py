"""Entries of spending and their sums, exact: money is counted in whole nano-dollars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.analyst.prices import NANO


@dataclass(frozen=True)
class Spend:
    """Requests, tokens and money (nano-dollars); `unsettled_nano` of it is a worst case that nobody has confirmed."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano: int = 0
    unsettled_nano: int = 0

    def __add__(self, other: Spend) -> Spend:
        """Return both together."""
        return Spend(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.nano + other.nano,
            self.unsettled_nano + other.unsettled_nano,
        )

    @property
    def usd(self) -> float:
        """The money in USD."""
        return self.nano / NANO


@dataclass(frozen=True)
class Entry:
    """Something spent: when (aware UTC), on which model, for which purpose."""

    at: datetime
    model: str
    purpose: str
    spend: Spend


def total(entries: Iterable[Entry]) -> Spend:
    """Return the sum."""
    answer = Spend()
    for entry in entries:
        answer = answer + entry.spend
    return answer


def between(entries: Iterable[Entry], start: datetime, end: datetime | None = None) -> list[Entry]:
    """Return the entries with `start <= at < end`, or all from `start` on."""
    return [entry for entry in entries if start <= entry.at and (end is None or entry.at < end)]


def grouped(entries: Iterable[Entry], key: Callable[[Entry], str]) -> dict[str, Spend]:
    """Return the sum per key, the dearest first."""
    sums: dict[str, Spend] = {}
    for entry in entries:
        sums[key(entry)] = sums.get(key(entry), Spend()) + entry.spend
    return dict(sorted(sums.items(), key=lambda item: (-item[1].nano, item[0])))


def ledger_entry(row: Mapping[str, Any]) -> Entry:
    """Return the entry of a row of `gpt4_costs`; a request without a confirmed bill counts with its worst case."""
    nano = round(row["cost_usd"] * NANO)
    unsettled = nano if row["state"] in ("reserved", "unknown") else 0
    purpose = str(row["purpose"]).split(":", 1)[0]  # a repair attempt is the same purpose
    spend = Spend(1, row["prompt_tokens"], row["completion_tokens"], nano, unsettled)
    return Entry(row["timestamp"], row["model"], purpose, spend)
