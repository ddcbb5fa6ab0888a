"""The equity at 00:00 UTC: from the day's first row, else from the balance now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from include.store.collections import EQUITY_HISTORY
from include.trading.day_equity import EquityPoint, equity_at_midnight, equity_row, first_row_since, midnight
from tests.trading.closed_trades import MIDNIGHT, NOON, closed


def test_midnight_is_that_of_utc_whatever_the_zone() -> None:
    saigon = timezone(timedelta(hours=7))
    assert midnight(datetime(2025, 11, 22, 6, 59, tzinfo=saigon)) == datetime(2025, 11, 21, tzinfo=UTC)
    assert midnight(datetime(2025, 11, 22, 7, 0, tzinfo=saigon)) == MIDNIGHT


def test_first_row_of_the_day_is_the_anchor() -> None:
    row = EquityPoint(MIDNIGHT, 9_900.0, 10_100.0)
    equity = equity_at_midnight(NOON, [closed(-500.0)], row, 9_400.0)
    assert (equity.usdt, equity.source, equity.anchor_at) == (10_100.0, "equity_history", MIDNIGHT)


def test_what_was_realised_before_a_late_first_row_is_taken_off() -> None:
    late = MIDNIGHT + timedelta(hours=9)
    trades = [closed(-300.0, MIDNIGHT + timedelta(hours=1)), closed(-50.0, late + timedelta(minutes=1))]
    equity = equity_at_midnight(NOON, trades, EquityPoint(late, 9_700.0, 9_700.0), 9_650.0)
    assert equity.usdt == 10_000.0


def test_without_a_row_it_is_the_balance_now_less_what_the_day_realised() -> None:
    trades = [closed(-300.0), closed(40.0, MIDNIGHT), closed(-9_000.0, MIDNIGHT - timedelta(seconds=1))]
    equity = equity_at_midnight(NOON, trades, None, 9_740.0)
    assert (equity.usdt, equity.source, equity.anchor_at) == (10_000.0, "balance_now", NOON)
    yesterday = EquityPoint(MIDNIGHT - timedelta(minutes=5), 1.0, 1.0)
    assert equity_at_midnight(NOON, trades, yesterday, 9_740.0) == equity


def test_it_is_unknown_with_a_reason_where_it_cannot_be_had() -> None:
    unknown = equity_at_midnight(NOON, [closed(None)], None, 10_000.0)
    assert unknown.usdt is None
    assert "have no pnl" in str(unknown.reason)
    ruined = equity_at_midnight(NOON, [], None, 0.0)
    assert ruined.usdt is None
    assert "no percentage" in str(ruined.reason)


@given(st.lists(st.integers(-10_000, 10_000), max_size=30), st.integers(500_000, 2_000_000))
def test_balance_that_moved_only_by_closed_trades_gives_the_same_from_both_sources(
    cents: list[int], start_cents: int
) -> None:
    trades = [closed(c / 100, MIDNIGHT + timedelta(minutes=n), id=f"t{n}") for n, c in enumerate(cents)]
    balance_now = (start_cents + sum(cents)) / 100
    from_row = equity_at_midnight(NOON, trades, EquityPoint(MIDNIGHT, start_cents / 100, start_cents / 100), 0.0)
    from_now = equity_at_midnight(NOON, trades, None, balance_now)
    assert from_row.usdt == from_now.usdt == start_cents / 100


def test_rows_are_read_back_from_the_first_of_the_day(db: Database[dict[str, Any]]) -> None:
    for name, minutes in (("late", 10), ("first", 0), ("yesterday", -5)):
        point = EquityPoint(MIDNIGHT + timedelta(minutes=minutes), 1.0 + minutes, 2.0 + minutes)
        db[EQUITY_HISTORY].insert_one(equity_row(name, point))
    assert first_row_since(db, MIDNIGHT) == EquityPoint(MIDNIGHT, 1.0, 2.0)
    assert first_row_since(db, MIDNIGHT + timedelta(days=1)) is None
