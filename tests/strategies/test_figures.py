"""Every figure against one computed by hand, on two days of four-hour bars."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.strategies.costs import TradingCosts
from include.strategies.daily import DailyEquity, daily_equity
from include.strategies.drawdown import drawdown
from include.strategies.figures import Figures, buy_and_hold_return_pct, measure
from include.strategies.monthly import monthly_table
from include.strategies.ratios import annual_return_pct, sharpe_ratio, sortino_ratio
from include.strategies.simulation import Simulation, simulate
from include.trading.performance import sharpe_ratio as sharpe_of_trades
from tests.ml.real_candles import at_ms
from tests.strategies.scenes import market, steps, traded, walk

DAYS = (at_ms("2024-03-01"), at_ms("2024-03-03"))
HALF_PCT_FEE = TradingCosts(fee_pct=0.5, spread_pct=0, slippage_pct=0, slippage_atr_pct=0)

PRICES = [100.0, 100.0, 100.0, 120.0, 120.0, 90.0, 90.0, 90.0, 81.0, 90.0, 90.0, 99.0]
"""Opens and closes of twelve bars, the last warm-up bar first: each bar stands at its price."""
WANTED = [0, 1, 1, 0, -1, -1, 0, 1, 0, 1, 1, 1]


def at_prices(prices: list[float]) -> Candles:
    # The first bar belongs to the day before.
    return market([(price,) * 4 for price in prices], "4h", "2024-02-29T20:00")


def played() -> Simulation:
    return traded(at_prices(PRICES), WANTED, HALF_PCT_FEE)


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    """Return the four trades and the equity after each bar, computed step by step."""
    fee = 0.005
    money, equity = 1000.0, [1000.0, 1000.0]
    # Decided after bar 1, bought at bar 2's 100, sold at bar 4's 120.
    first = money / (100 * 1.005)
    fees_1 = first * 100 * fee + first * 120 * fee
    pnl_1 = first * 20 - fees_1
    equity += [money - first * 100 * fee, money - first * 100 * fee + first * 20]
    money += pnl_1
    equity += [money]
    # Sold short at bar 5's 90, bought back at bar 7's 90: only the fees are lost.
    second = money / (90 * 1.005)
    pnl_2 = -2 * second * 90 * fee
    equity += [money - second * 90 * fee] * 2
    money += pnl_2
    equity += [money]
    # Bought at bar 8's 81, sold at bar 9's 90.
    third = money / (81 * 1.005)
    pnl_3 = third * 9 - third * 171 * fee
    equity += [money - third * 81 * fee]
    money += pnl_3
    equity += [money]
    # Bought at bar 10's 90, closed at the last close of 99.
    fourth = money / (90 * 1.005)
    pnl_4 = fourth * 9 - fourth * 189 * fee
    equity += [money - fourth * 90 * fee]
    money += pnl_4
    equity += [money]
    fees = fees_1 - pnl_2 + third * 171 * fee + fourth * 189 * fee
    return {
        "pnl": [pnl_1, pnl_2, pnl_3, pnl_4],
        "values": [first * 100, second * 90, third * 81, fourth * 90],
        "equity": equity, "final": money, "fees": fees,
        "turnover": (first * 220 + second * 180 + third * 171 + fourth * 189) / 1000,
    }  # fmt: skip


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(played(), *DAYS)


def test_equity_after_every_bar(by_hand: dict[str, Any]) -> None:
    assert played().equity_usdt == pytest.approx(by_hand["equity"], rel=1e-7)


def test_trades_won_and_lost(figures: Figures, by_hand: dict[str, Any]) -> None:
    assert [pnl > 0 for pnl in by_hand["pnl"]] == [True, False, True, True]
    assert (figures.total_trades, figures.winning_trades, figures.losing_trades) == (4, 3, 1)
    assert figures.win_rate == 75


def test_returns(figures: Figures, by_hand: dict[str, Any]) -> None:
    final = by_hand["final"]
    assert figures.final_equity_usdt == pytest.approx(final, rel=1e-7)
    assert figures.total_return == pytest.approx(100 * (final / 1000 - 1), rel=1e-6)
    assert figures.annual_return_pct is None
    assert annual_return_pct(1000, 1100, 73) == pytest.approx(100 * (1.1**5 - 1))
    assert annual_return_pct(1000, 500, 730) == pytest.approx(100 * (math.sqrt(0.5) - 1))
    assert annual_return_pct(1000, 0, 10) == -100


def test_trades_on_average_best_and_worst(figures: Figures, by_hand: dict[str, Any]) -> None:
    returns = [100 * pnl / value for pnl, value in zip(by_hand["pnl"], by_hand["values"], strict=True)]
    assert figures.avg_trade_pct == pytest.approx(sum(returns) / 4, rel=1e-6)
    assert figures.best_trade_pct == pytest.approx(max(returns), rel=1e-6)
    assert figures.worst_trade_pct == pytest.approx(-1, rel=1e-6)
    # Two bars, two bars, one bar, one bar of four hours each: the last one's exit is in its bar at the end.
    assert figures.avg_trade_duration_hours == pytest.approx((8 + 8 + 4 + 4) / 4)
    assert figures.longest_losing_run == 1


def test_profit_factor(figures: Figures, by_hand: dict[str, Any]) -> None:
    pnl = by_hand["pnl"]
    assert figures.profit_factor == pytest.approx((pnl[0] + pnl[2] + pnl[3]) / -pnl[1], rel=1e-6)


def test_drawdown_and_time_under_water(figures: Figures, by_hand: dict[str, Any]) -> None:
    equity = by_hand["equity"]
    # Under water at bar 2 (the first fee), from bar 4 (the second one) to bar 8, when the third trade has been paid.
    peak = equity[3]
    assert equity[9] > peak > max(equity[4:9])
    assert figures.max_drawdown == pytest.approx(100 * (1 - equity[8] / peak), rel=1e-6)
    # Bars 2, 4 to 8, and 10 lie below the peak before them; eleven bars can be traded.
    assert equity[10] < equity[9] < equity[11]
    assert figures.time_under_water_pct == pytest.approx(100 * 7 / 11)
    # From the close of bar 3 to that of bar 9.
    assert figures.longest_time_under_water_days == 1


def test_exposure(figures: Figures) -> None:
    # Bars 2 and 3, 5 and 6, 8, 10 and 11 of eleven.
    assert figures.exposure_pct == pytest.approx(100 * 7 / 11)


def test_what_it_cost(figures: Figures, by_hand: dict[str, Any]) -> None:
    assert figures.fees_usdt == pytest.approx(by_hand["fees"], rel=1e-6)
    assert figures.slippage_usdt == 0
    assert figures.funding_usdt == 0
    assert figures.turnover == pytest.approx(by_hand["turnover"], rel=1e-6)


def test_daily_returns_and_their_ratios(figures: Figures, by_hand: dict[str, Any]) -> None:
    equity = by_hand["equity"]
    # The first day ends with bar 6, the second with bar 11 (bar 12 would be the second day's last).
    returns = [equity[6] / 1000 - 1, equity[11] / equity[6] - 1]
    mean = sum(returns) / 2
    deviation = math.sqrt(sum((value - mean) ** 2 for value in returns))
    assert figures.sharpe_ratio == pytest.approx(mean / deviation * math.sqrt(365), rel=1e-5)
    assert figures.sortino_ratio is None
    assert figures.to_dict()["undefined"]["sortino_ratio"] == "no losing day"


def test_buy_and_hold(figures: Figures) -> None:
    # Bought at bar 1's open, the first of the period, sold at the last close.
    assert figures.buy_and_hold_return_pct == pytest.approx(100 * (99 * 0.995 / (100 * 1.005) - 1))


def test_who_is_always_long_has_the_return_of_buy_and_hold() -> None:
    for seed in range(5):
        candles = walk(seed, 200)
        costs = TradingCosts(fee_pct=0.2, spread_pct=0.5, slippage_pct=0.1, slippage_atr_pct=10)
        run = traded(candles, [1], costs)
        assert buy_and_hold_return_pct(run) == pytest.approx(100 * (run.equity_usdt[-1] / 1000 - 1), abs=1e-5)


def test_buy_and_hold_waits_for_a_bar_with_volume_like_everybody() -> None:
    candles = market([(10,) * 4, (10, 10, 10, 10, 0), (20,) * 4, (30,) * 4])
    run = traded(candles, [1])
    assert buy_and_hold_return_pct(run) == pytest.approx(50)
    assert run.equity_usdt[-1] == pytest.approx(1500)


def test_sortino_takes_the_root_mean_square_of_losing_days_over_all_days() -> None:
    returns = np.array([0.02, -0.01, 0.0, -0.03])
    downside = math.sqrt((0.01**2 + 0.03**2) / 4)
    assert sortino_ratio(returns) == pytest.approx(-0.005 / downside * math.sqrt(365))


def test_calmar_is_the_yearly_return_over_the_deepest_drawdown() -> None:
    run = traded(steps([100, 100, 120, 90, 110], "4h"), [1])
    figures = measure(run, at_ms("2024-03-01"), at_ms("2024-03-11"))
    assert figures.max_drawdown == pytest.approx(25, rel=1e-6)
    assert figures.annual_return_pct == pytest.approx(100 * (1.1**36.5 - 1), rel=1e-5)
    assert figures.calmar_ratio == pytest.approx(100 * (1.1**36.5 - 1) / 25, rel=1e-5)


def test_the_longest_losing_run_counts_trades_that_earned_nothing() -> None:
    run = traded(at_prices([100.0] * 8 + [150.0] * 3), [1, 0] * 5)
    assert [trade.pnl_usdt > 0 for trade in run.trades] == [False, False, False, True, False]
    assert measure(run, *DAYS).longest_losing_run == 3


def test_slippage_and_funding_are_summed_over_the_trades() -> None:
    costs = TradingCosts(fee_pct=0, spread_pct=2, slippage_pct=0, slippage_atr_pct=0, short_funding_pct_per_8h=0.1)
    run = traded(steps([100.0] * 50), [-1] * 20 + [0], costs)
    figures = measure(run, at_ms("2024-03-01"), at_ms("2024-03-04"))
    size = 1000 / 99
    assert figures.slippage_usdt == pytest.approx(size * 2, rel=1e-6)
    assert figures.funding_usdt == pytest.approx(size * 100 * 0.002, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_sharpe_ratio_is_that_of_the_performance_analysis_for_the_same_daily_returns(seed: int) -> None:
    candles = walk(seed, 24 * 30)
    wanted = np.sign(np.sin(np.arange(len(candles)) / (7 + seed))).astype(np.int8)
    run = simulate(candles, wanted, TradingCosts(), 1000)
    daily = daily_equity(candles.open_time, run.equity_usdt, 1000, at_ms("2024-03-01"), at_ms("2024-03-31"))
    by_date = {date(2024, 3, 1) + timedelta(days=day): float(value) for day, value in enumerate(daily.returns)}
    expected, reason = sharpe_of_trades(by_date)
    assert reason is None
    assert sharpe_ratio(daily.returns) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0], [0.02, 0.02]])
def test_there_is_no_sharpe_ratio_below_two_distinct_daily_returns(returns: list[float]) -> None:
    assert sharpe_ratio(np.array(returns)) is None


def test_days_without_candles_end_where_the_day_before_ended() -> None:
    times = np.array([at_ms("2024-03-02T20:00"), at_ms("2024-03-04T04:00")])
    daily = daily_equity(times, np.array([900.0, 990.0]), 1000, at_ms("2024-03-01"), at_ms("2024-03-07"))
    assert daily.equity_usdt.tolist() == [1000, 900, 900, 990, 990, 990]
    assert daily.returns == pytest.approx([0, -0.1, 0, 0.1, 0, 0])
    assert [point["date"] for point in daily.to_list()] == [f"2024-03-0{day}" for day in range(1, 7)]


def test_a_lost_account_returns_nothing_more() -> None:
    daily = DailyEquity(np.arange(4) * DAY_MS, np.array([500.0, 0.0, 0.0, 0.0]), 1000)
    assert daily.returns.tolist() == [-0.5, -1, 0, 0]


def test_the_longest_time_under_water_ends_with_the_close_that_reaches_the_peak_again() -> None:
    times = np.arange(8, dtype=np.int64) * DAY_MS
    fall = drawdown(np.array([100.0, 110, 105, 100, 110, 108, 120, 119]), 100, times)
    assert fall.longest_days == 3
    assert fall.max_pct == pytest.approx(100 * (1 - 100 / 110))
    assert fall.time_under_water_pct == pytest.approx(100 * 4 / 7)


def test_an_account_that_never_gets_back_is_under_water_to_the_end() -> None:
    times = np.arange(5, dtype=np.int64) * DAY_MS
    assert drawdown(np.array([100.0, 99, 98, 97, 96]), 100, times).longest_days == 4
    assert drawdown(np.array([100.0, 100, 100, 100, 100]), 100, times).longest_days == 0
    assert drawdown(np.array([100.0, 101, 102, 103, 104]), 100, times).longest_days == 0


def test_the_cash_is_a_peak_as_well() -> None:
    times = np.arange(3, dtype=np.int64) * DAY_MS
    assert drawdown(np.array([90.0, 95, 99]), 100, times).max_pct == pytest.approx(10)


def test_monthly_returns_compound_to_the_total_and_count_the_trades() -> None:
    candles = walk(3, 24 * 100, start="2024-01-20")
    wanted = np.sign(np.sin(np.arange(len(candles)) / 30)).astype(np.int8)
    run = simulate(candles, wanted, TradingCosts(), 1000)
    start, end = at_ms("2024-01-20"), at_ms("2024-04-29")
    table = monthly_table(daily_equity(candles.open_time, run.equity_usdt, 1000, start, end), run.trades)
    assert [row["month"] for row in table] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    total = math.prod(1 + row["return_pct"] / 100 for row in table)
    assert 1000 * total == pytest.approx(run.equity_usdt[-1], rel=1e-6)
    assert sum(row["trades"] for row in table) == len(run.trades)
    assert sum(row["winning_trades"] for row in table) == sum(trade.pnl_usdt > 0 for trade in run.trades)
    assert table[-1]["end_equity_usdt"] == pytest.approx(run.equity_usdt[-1])


def test_a_month_after_the_account_was_lost_returns_nothing() -> None:
    days = at_ms("2024-01-31") + np.arange(3, dtype=np.int64) * DAY_MS
    rows = monthly_table(DailyEquity(days, np.array([0.0, 0.0, 0.0]), 1000), [])
    assert [row["return_pct"] for row in rows] == [-100, 0]
