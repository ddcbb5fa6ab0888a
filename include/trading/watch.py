"""One check of the strategy watchdog: who has to be disabled, who trades although disabled, how the book stands.

Pure: what was read comes in, what has to be done goes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from include.trading.day_equity import DayEquity
from include.trading.kill_switch import Record
from include.trading.risk_rules import Finding, Limits, evidence_of, judge, reason_of, situation_of
from include.trading.strategy_figures import StrategyFigures, figures_by_strategy, figures_of
from include.trading.strategy_names import BOOK, UNATTRIBUTED
from include.trading.trades import Trade

GRACE = timedelta(seconds=60)
"""A record so young is still being carried out by the run that wrote it."""


@dataclass(frozen=True)
class Verdict:
    """A strategy, or the book, that meets at least one condition."""

    name: str
    reason: str
    situation: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Watch:
    """What one check found.

    `figures` by strategy, `unattributed` and `book` included. `to_disable`: met a condition and is not disabled.
    `to_reassert`: disabled by the record, but active, or not confirmed by the engine yet. `powerless`: disabled by the
    record, and the engine has no way to do it. `unknown`: figures that could not be computed, and why.
    """

    figures: dict[str, StrategyFigures]
    to_disable: tuple[Verdict, ...]
    to_reassert: tuple[str, ...]
    powerless: tuple[str, ...]
    book: Verdict | None
    unknown: dict[str, str]


def check(
    trades: Sequence[Trade],
    equity: DayEquity,
    records: Mapping[str, Record],
    active: frozenset[str] | None,
    limits: Limits,
    now: datetime,
) -> Watch:
    """Judge every strategy, and the book of what still trades.

    The book is all trades but those of strategies that are disabled, or are about to be: what is stopped needs no
    second stop. A strategy that a person has enabled again is judged on the trades that closed since, and so is the
    book.

    :param records: of :func:`include.trading.kill_switch.read_records`; empty while MongoDB is away.
    :param active: canonical names, None where the engine cannot say.
    """
    since = {name: record.changed_at for name, record in records.items() if not record.disabled}
    figures = figures_by_strategy(trades, equity, limits.win_rate_trades, since)
    to_disable = tuple(
        _verdict(name, of_strategy, found, equity)
        for name, of_strategy in figures.items()
        if name != UNATTRIBUTED and not _is_disabled(records, name) and (found := judge(of_strategy, equity, limits))
    )
    stopped = {verdict.name for verdict in to_disable} | {
        name for name, record in records.items() if record.disabled and record.confirmed
    }
    remaining = [trade for trade in trades if trade.strategy not in stopped]
    figures[BOOK] = figures_of(BOOK, remaining, equity, limits.win_rate_trades, since.get(BOOK))
    of_book = () if _is_disabled(records, BOOK) else judge(figures[BOOK], equity, limits)
    to_reassert, powerless = _to_reassert(records, active, trades, now)
    return Watch(
        figures=figures,
        to_disable=to_disable,
        to_reassert=to_reassert,
        powerless=powerless,
        book=_verdict(BOOK, figures[BOOK], of_book, equity) if of_book else None,
        unknown={
            name: of_strategy.daily_loss_reason
            for name, of_strategy in figures.items()
            if of_strategy.daily_loss_reason is not None
        },
    )


def _to_reassert(
    records: Mapping[str, Record], active: frozenset[str] | None, trades: Sequence[Trade], now: datetime
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reassert, powerless = [], []
    for name, record in sorted(records.items()):
        if name == BOOK or not record.disabled or now - record.changed_at < GRACE:
            continue
        outcome = record.engine.get("outcome")
        if active is not None:
            if name in active:
                reassert.append(name)
        elif outcome in ("not_supported", "refused"):
            powerless.append(name)
        elif not record.confirmed or _has_traded_since(record, trades):
            reassert.append(name)
    return tuple(reassert), tuple(powerless)


def _has_traded_since(record: Record, trades: Sequence[Trade]) -> bool:
    """Tell whether the strategy has opened a trade since the engine has confirmed that it is disabled.

    It is how an engine without a list of active strategies shows that it has forgotten the order.
    """
    confirmed_at = record.engine.get("at") or record.changed_at
    return any(
        trade.strategy == record.strategy and trade.open_time is not None and trade.open_time > confirmed_at + GRACE
        for trade in trades
    )


def _is_disabled(records: Mapping[str, Record], name: str) -> bool:
    return name in records and records[name].disabled


def _verdict(name: str, figures: StrategyFigures, findings: Sequence[Finding], equity: DayEquity) -> Verdict:
    return Verdict(name, reason_of(findings), situation_of(figures, findings), evidence_of(figures, findings, equity))
