"""Per-strategy figures, against a naive reimplementation."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.trading.day_equity import DayEquity
from include.trading.strategy_figures import SHOWN_IDS, by_strategy, figures_by_strategy, figures_of
from include.trading.trades import Trade
from tests.trading.closed_trades import MIDNIGHT, NOON, closed, row

EQUITY = DayEquity(MIDNIGHT, 10_000.0, "equity_history", MIDNIGHT)

CENTS = st.integers(-50_000, 50_000).map(lambda cents: cents / 100)
MOMENTS = st.integers(-3 * 1440, 12 * 60).map(lambda minutes: MIDNIGHT + timedelta(minutes=minutes))
NAMES = st.sampled_from(["rsi", "macd", None])
BOOKS = st.lists(st.tuples(CENTS, MOMENTS, NAMES), max_size=60).map(
    lambda parts: [closed(pnl, at, name, id=f"t{n:03}") for n, (pnl, at, name) in enumerate(parts)]
)


def naive_streak(trades: list[Trade]) -> int:
    """Walk forwards, as a person with a tally sheet would."""
    tally = 0
    for trade in sorted(trades, key=lambda t: (t.close_time, t.id)):
        assert trade.pnl_usdt is not None
        if trade.pnl_usdt > 0:
            tally = 0
        elif trade.pnl_usdt < 0:
            tally += 1
    return tally


@given(BOOKS, st.integers(1, 25), st.none() | MOMENTS)
def test_figures_agree_with_a_naive_count(book: list[Trade], last: int, since: datetime | None) -> None:
    figures = figures_of("x", book, EQUITY, last, since)
    judged = [trade for trade in book if since is None or trade.close_time >= since]
    in_order = sorted(judged, key=lambda t: (t.close_time, t.id))
    today = [trade for trade in judged if (trade.close_time - MIDNIGHT).total_seconds() >= 0]
    lost = -sum(round((trade.pnl_usdt or 0) * 100) for trade in today)
    assert figures.trades == len(judged)
    assert figures.losing_streak == naive_streak(judged)
    assert figures.daily_trades == len(today)
    assert figures.daily_loss_pct == pytest.approx(max(0, lost) / 10_000, abs=1e-6)
    wins = [trade.pnl_usdt > 0 for trade in in_order if trade.pnl_usdt is not None][-last:]
    if len(in_order) < last:
        assert figures.win_rate_pct is None
    else:
        assert figures.win_rate_pct == pytest.approx(100 * sum(wins) / last, abs=1e-6)


@given(BOOKS)
def test_every_trade_belongs_to_exactly_one_group_and_the_order_does_not_matter(book: list[Trade]) -> None:
    groups = by_strategy(book)
    assert sorted(trade.id for group in groups.values() for trade in group) == sorted(trade.id for trade in book)
    assert set(groups) <= {"rsi", "macd", "unattributed"}
    assert figures_by_strategy(book, EQUITY, 20, {}) == figures_by_strategy(book[::-1], EQUITY, 20, {})


def test_streak_names_the_losses_and_stops_at_the_last_win() -> None:
    figures = figures_of("rsi", row([-1, 5, -1, -2, -3]), EQUITY, 20)
    assert figures.losing_streak == 3
    assert figures.streak_ids == ("rsi-2", "rsi-3", "rsi-4")
    assert figures.streak_first_id == "rsi-2"


def test_trade_of_exactly_zero_neither_counts_nor_ends_the_row_and_is_no_win() -> None:
    figures = figures_of("rsi", row([-1, 0, -2]), EQUITY, 3)
    assert figures.losing_streak == 2
    assert figures.win_rate_pct == 0


@pytest.mark.parametrize(("count", "known"), [(19, False), (20, True), (21, True)])
def test_win_rate_needs_all_its_trades(count: int, known: bool) -> None:
    figures = figures_of("rsi", row([1.0] * count), EQUITY, 20)
    assert (figures.win_rate_pct == 100) is known
    assert len(figures.win_rate_ids) == (20 if known else 0)


def test_the_day_begins_at_midnight_utc_exactly() -> None:
    just_before, at_midnight = closed(-50, MIDNIGHT - timedelta(microseconds=1)), closed(-70, MIDNIGHT)
    figures = figures_of("rsi", [just_before, at_midnight], EQUITY, 20)
    assert figures.daily_pnl_usdt == -70
    assert figures.daily_loss_pct == 0.7
    assert figures.daily_ids == (at_midnight.id,)
    assert figures.losing_streak == 2, "a row of losses does not end at midnight"


def test_profit_of_a_day_is_no_negative_loss() -> None:
    assert figures_of("rsi", [closed(500.0)], EQUITY, 20).daily_loss_pct == 0


def test_daily_loss_is_unknown_where_a_trade_lacks_its_pnl() -> None:
    figures = figures_of("rsi", [closed(-5), closed(None, return_pct=-3.0, id="?")], EQUITY, 20)
    assert figures.daily_loss_pct is None
    assert "have no pnl" in str(figures.daily_loss_reason)
    assert figures.losing_streak == 2, "its return says that it lost"


def test_daily_loss_without_an_equity_says_why_and_a_day_without_trades_has_none_to_know() -> None:
    nothing = DayEquity(MIDNIGHT, None, "balance_now", NOON, "the engine does not tell")
    assert figures_of("rsi", [closed(-5)], nothing, 20).daily_loss_reason == "the engine does not tell"
    assert figures_of("rsi", [], nothing, 20).daily_loss_pct == 0


def test_only_trades_since_the_enabling_are_judged_and_it_says_so() -> None:
    trades = row([-1] * 30)
    figures = figures_of("rsi", trades, EQUITY, 20, since=trades[-2].close_time)
    assert (figures.trades, figures.losing_streak, figures.win_rate_pct) == (2, 2, None)
    assert figures.to_dict()["judged_since"] == trades[-2].close_time.isoformat()


def test_evidence_stays_small() -> None:
    figures = figures_of("rsi", row([-1] * 300), EQUITY, 20)
    assert figures.losing_streak == 300
    assert len(figures.streak_ids) == SHOWN_IDS
    assert figures.streak_ids[-1] == "rsi-299"
    assert figures.streak_first_id == "rsi-0"
