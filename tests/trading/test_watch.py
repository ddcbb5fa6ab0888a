"""One check of the watchdog: who is disabled, who is told again, when the book is in trouble."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from include.trading.day_equity import DayEquity
from include.trading.kill_switch import Record, State
from include.trading.risk_rules import Limits
from include.trading.trades import Trade
from include.trading.watch import Watch, check
from tests.trading.closed_trades import MIDNIGHT, NOON, closed, row

EQUITY = DayEquity(MIDNIGHT, 10_000.0, "equity_history", MIDNIGHT)
LONG_AGO = NOON - timedelta(hours=1)


def record(
    name: str = "rsi", state: State = "disabled", outcome: str | None = "disabled", at: datetime = LONG_AGO
) -> dict[str, Record]:
    engine = {} if outcome is None else {"outcome": outcome}
    return {name: Record(name, state, "because", "ann", "run", at, {}, 1, engine)}


def look(trades: list[Trade], records: dict[str, Record] | None = None, active: set[str] | None = None) -> Watch:
    seen = None if active is None else frozenset(active)
    return check(trades, EQUITY, records or {}, seen, Limits(), NOON)


def names(found: Watch) -> list[str]:
    return [verdict.name for verdict in found.to_disable]


def test_every_strategy_that_meets_a_condition_is_disabled_and_no_other() -> None:
    trades = [*row([-1] * 11, "rsi"), *row([-2_000.0], "macd"), *row([1.0] * 30, "volume")]
    found = look(trades)
    assert names(found) == ["macd", "rsi"]
    assert {verdict.name: verdict.reason for verdict in found.to_disable} == {
        "rsi": "Consecutive losses: 11 trades",
        "macd": "Daily loss: 20.0% of the equity at 00:00 UTC",
    }
    assert found.book is None, "what is about to be stopped is no trouble of the rest"


def test_trades_without_a_name_disable_nothing_and_put_the_book_in_trouble() -> None:
    found = look(row([-1] * 11, None))
    assert names(found) == []
    assert found.figures["unattributed"].losing_streak == 11
    assert found.book is not None
    assert found.book.reason == "Consecutive losses: 11 trades"
    assert found.book.evidence["conditions"][0]["threshold"] == 10


def test_book_is_in_trouble_when_the_strategies_together_lose_what_none_loses_alone() -> None:
    found = look([*row([-600.0], "rsi"), *row([-500.0], "macd")])
    assert names(found) == []
    assert found.book is not None
    assert found.book.reason.startswith("Daily loss: 11.0%")


def test_strategy_that_the_record_has_disabled_is_not_disabled_again_nor_part_of_the_book() -> None:
    found = look(row([-1] * 11, "rsi"), record(), active={"macd"})
    assert names(found) == []
    assert found.book is None
    assert found.to_reassert == ()


def test_losses_of_a_strategy_that_the_engine_did_not_stop_are_the_books() -> None:
    found = look(row([-1] * 11, "rsi"), record(outcome="not_supported"))
    assert names(found) == []
    assert found.book is not None


@pytest.mark.parametrize(
    ("records", "active", "reassert", "powerless"),
    [
        (record(), {"rsi", "macd"}, ("rsi",), ()),
        (record(), {"macd"}, (), ()),
        (record(), None, (), ()),
        (record(outcome="unavailable"), None, ("rsi",), ()),
        (record(outcome=None), None, ("rsi",), ()),
        (record(outcome="not_supported"), None, (), ("rsi",)),
        (record(outcome="not_supported"), {"rsi"}, ("rsi",), ()),
        (record(outcome=None, at=NOON - timedelta(seconds=30)), {"rsi"}, (), ()),
        (record(state="enabled", outcome="enabled"), {"rsi"}, (), ()),
        (record("book", outcome=None), {"rsi"}, (), ()),
    ],
)
def test_who_is_told_again(
    records: dict[str, Record], active: set[str] | None, reassert: tuple[str, ...], powerless: tuple[str, ...]
) -> None:
    found = look([], records, active)
    assert (found.to_reassert, found.powerless) == (reassert, powerless)


@pytest.mark.parametrize(
    ("opened", "active", "reassert"),
    [
        (LONG_AGO + timedelta(minutes=2), None, ("rsi",)),
        (LONG_AGO + timedelta(seconds=30), None, ()),
        (LONG_AGO - timedelta(minutes=2), None, ()),
        (LONG_AGO + timedelta(minutes=2), {"macd"}, ()),
    ],
    ids=["since", "in the minute of the order", "before", "the engine's list says otherwise"],
)
def test_engine_without_a_list_is_told_again_when_the_strategy_has_opened_a_trade_since(
    opened: datetime, active: set[str] | None, reassert: tuple[str, ...]
) -> None:
    trades = [replace(closed(5.0, NOON), open_time=opened), replace(closed(5.0, NOON, "macd"), open_time=NOON)]
    assert look(trades, record(), active).to_reassert == reassert
    told = {"rsi": replace(record()["rsi"], engine={"outcome": "disabled", "at": NOON})}
    assert look(trades, told, active).to_reassert == (), "told since, so it is not told for the same trade again"


def test_enabled_again_is_judged_only_on_trades_closed_since() -> None:
    trades = row([-1] * 30, "rsi")
    enabled = record(state="enabled", at=trades[-10].close_time)
    assert names(look(trades)) == ["rsi"]
    after = look(trades, enabled)
    assert names(after) == []
    assert after.figures["rsi"].losing_streak == 10
    one_more = [*trades, closed(-1, NOON, "rsi", id="one more")]
    relapse = look(one_more, enabled)
    assert names(relapse) == ["rsi"]
    assert relapse.to_disable[0].evidence["figures"]["judged_since"] == trades[-10].close_time.isoformat()


def test_halted_book_is_not_said_again_and_a_released_one_starts_anew() -> None:
    trades = row([-1] * 15, None)
    assert look(trades, record("book")).book is None
    assert look(trades, record("book", "enabled", at=trades[-5].close_time)).book is None
    assert look(trades, record("book", "enabled", at=trades[0].close_time)).book is not None


def test_what_cannot_be_computed_is_named() -> None:
    found = look([closed(None, strategy="rsi", return_pct=-1.0)])
    assert set(found.unknown) == {"rsi", "book"}


@pytest.mark.parametrize("trades", [[], row([1.0] * 50, "rsi"), row([1.0] * 50, None)])
def test_calm_is_calm(trades: list[Any]) -> None:
    found = look(trades, active={"rsi"})
    assert (found.to_disable, found.to_reassert, found.powerless, found.book, found.unknown) == ((), (), (), None, {})
