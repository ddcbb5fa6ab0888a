"""The three conditions: their exact bounds, their words, their evidence."""

from __future__ import annotations

from datetime import datetime

import pytest

from include.trading.day_equity import DayEquity
from include.trading.risk_rules import Finding, Limits, evidence_of, judge, reason_of, situation_of
from include.trading.strategy_figures import figures_of
from include.trading.trades import Trade
from tests.trading.closed_trades import MIDNIGHT, closed, row

EQUITY = DayEquity(MIDNIGHT, 10_000.0, "equity_history", MIDNIGHT)
TWENTY_WITH_WINS = {wins: ([1.0] * wins + [-0.001] * (20 - wins)) for wins in (5, 6, 7)}


def found(trades: list[Trade], equity: DayEquity = EQUITY, limits: Limits | None = None) -> tuple[Finding, ...]:
    return judge(figures_of("rsi", trades, equity, 20), equity, limits or Limits())


@pytest.mark.critical
@pytest.mark.parametrize(("losses", "meets"), [(10, False), (11, True), (12, True)])
def test_ten_losses_in_a_row_are_allowed_eleven_are_not(losses: int, meets: bool) -> None:
    findings = found(row([0.5] + [-0.01] * losses))
    assert [finding.kind for finding in findings] == (["consecutive_losses"] if meets else [])


@pytest.mark.critical
@pytest.mark.parametrize(("pnl", "meets"), [(-999.99, False), (-1000.0, False), (-1000.01, True)])
def test_ten_percent_of_the_equity_may_be_lost_in_a_day_not_more(pnl: float, meets: bool) -> None:
    findings = found([closed(pnl)])
    assert [finding.kind for finding in findings] == (["daily_loss"] if meets else [])


def test_a_thousand_cents_that_add_up_to_ten_percent_are_not_more_than_ten_percent() -> None:
    equity = DayEquity(MIDNIGHT, 100.0, "equity_history", MIDNIGHT)
    wins_between = [pnl for _ in range(100) for pnl in (-0.3, 0.2)]
    assert [finding.kind for finding in found(row(wins_between), equity)] == []
    assert [finding.kind for finding in found(row([*wins_between, -0.001, 0.0001]), equity)] == ["daily_loss"]


@pytest.mark.critical
@pytest.mark.parametrize(("wins", "meets"), [(5, True), (6, False), (7, False)])
def test_thirty_percent_of_the_last_twenty_is_enough_less_is_not(wins: int, meets: bool) -> None:
    mixed = sorted(TWENTY_WITH_WINS[wins], key=lambda pnl: pnl)
    spread = [mixed[(at * 7) % 20] for at in range(20)]
    assert ["win_rate"] * meets == [finding.kind for finding in found(row(spread))]


def test_nineteen_losses_say_nothing_about_the_win_rate() -> None:
    findings = found(row([-0.01] * 19))
    assert [finding.kind for finding in findings] == ["consecutive_losses"]


def test_reasons_have_the_specified_words() -> None:
    assert reason_of(found(row([-0.01] * 12))) == "Consecutive losses: 12 trades"
    assert reason_of(found([closed(-1120)])) == "Daily loss: 11.2% of the equity at 00:00 UTC"
    poor = [1.0, -0.01, -0.01, -0.01] * 5
    assert reason_of(found(row(poor))) == "Win rate: 25.0% over the last 20 trades"


def test_number_in_a_reason_never_equals_its_limit() -> None:
    assert "10.004%" in reason_of(found([closed(-1000.4)]))


def test_unknown_equity_is_no_alarm_for_the_day_and_hides_no_other_condition() -> None:
    unknown = DayEquity(MIDNIGHT, None, "balance_now", MIDNIGHT, "away")
    assert [finding.kind for finding in found(row([-500.0] * 11), unknown)] == ["consecutive_losses"]


def test_no_trades_meet_nothing() -> None:
    assert found([]) == ()


def test_evidence_has_numbers_thresholds_trade_ids_and_where_the_equity_comes_from() -> None:
    trades = row([-100.0] * 11)
    figures = figures_of("rsi", trades, EQUITY, 20)
    evidence = evidence_of(figures, judge(figures, EQUITY, Limits()), EQUITY)
    daily, streak = evidence["conditions"]
    assert (daily["value"], daily["threshold"]) == (11.0, 10.0)
    assert (streak["value"], streak["threshold"]) == (11, 10)
    assert streak["trade_ids"] == [trade.id for trade in trades]
    assert evidence["equity_at_midnight"]["source"] == "equity_history"
    assert evidence["figures"]["daily_pnl_usdt"] == -1100


def situation(trades: list[Trade], strategy: str = "rsi", since: datetime | None = None) -> str:
    figures = figures_of(strategy, trades, EQUITY, 20, since)
    return situation_of(figures, judge(figures, EQUITY, Limits()))


def test_situation_stays_the_same_while_the_numbers_move_and_changes_with_what_began_it() -> None:
    eleven, twelve = row([-0.01] * 11), row([-0.01] * 11)
    twelve.append(closed(-0.01, twelve[-1].close_time.replace(second=30), id="next"))
    assert situation(eleven) == situation(twelve)
    other = [closed(-0.01, trade.close_time, id=f"other-{trade.id}") for trade in eleven]
    assert situation(eleven) != situation(other)
    assert situation(eleven) != situation(eleven, "macd")


def test_what_goes_wrong_again_on_the_day_of_an_approval_is_another_situation() -> None:
    morning, noon = closed(-1500, MIDNIGHT, id="morning"), closed(-1600, id="noon")
    assert situation([morning]) == situation([morning, noon])
    assert situation([morning, noon]) != situation([morning, noon], since=morning.close_time.replace(hour=9))
