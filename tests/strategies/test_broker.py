"""What the broker does with orders, computed by hand on a few bars."""

from __future__ import annotations

import numpy as np
import pytest

from include.strategies.broker import funding_times
from include.strategies.costs import TradingCosts
from tests.strategies.scenes import FREE, market, standing, steps, traded, without


def test_a_decision_is_filled_at_the_next_open_also_that_of_the_first_bar() -> None:
    candles = market([(10, 12, 9, 11), (12, 15, 11, 14), (15, 16, 13, 13), (12, 13, 11, 12)])
    run = traded(candles, [1, 1, 0, 0])
    (trade,) = run.trades
    assert (trade.entry_bar, trade.entry_price) == (1, pytest.approx(12))
    assert (trade.exit_bar, trade.exit_price) == (3, pytest.approx(12))
    assert trade.exit_reason == "signal"
    assert run.equity_usdt == pytest.approx([1000, 1000 * 14 / 12, 1000 * 13 / 12, 1000], rel=1e-7)


@pytest.mark.parametrize("latency", [1, 2, 3, 7])
def test_latency_counts_the_bars_from_the_close_that_decides_to_the_open_that_fills(latency: int) -> None:
    candles = steps([float(price) for price in range(100, 121)])
    run = traded(candles, [0, 0, 0, 1, 1, 1, 1, 0], TradingCosts(**{**FREE.to_dict(), "latency_bars": latency}))
    (trade,) = run.trades
    assert (trade.entry_bar, trade.exit_bar) == (3 + latency, 7 + latency)
    assert trade.entry_price == pytest.approx(candles.open[3 + latency])


def test_a_position_that_is_wanted_for_one_bar_is_held_for_one_bar_however_late() -> None:
    run = traded(standing(100, 12), [0, 0, 1, 0], TradingCosts(latency_bars=4))
    assert [(trade.entry_bar, trade.exit_bar) for trade in run.trades] == [(6, 7)]


def test_a_turn_leaves_and_enters_at_the_same_open() -> None:
    run = traded(market([(10, 10, 10, 10), (10, 10, 10, 10), (20, 20, 20, 20), (10, 10, 10, 10)]), [1, -1])
    long, short = run.trades
    assert (long.exit_bar, short.entry_bar) == (2, 2)
    assert long.exit_price == short.entry_price == pytest.approx(20)
    assert run.equity_usdt[-1] == pytest.approx(1000 * 2 * 1.5)


def test_fees_spread_and_slippage_are_paid_at_both_fills() -> None:
    candles = market([(100, 100, 100, 100), (100, 100, 100, 100), (110, 110, 110, 110), (110, 110, 110, 110)])
    costs = TradingCosts(fee_pct=0.5, spread_pct=1, slippage_pct=0.25, slippage_atr_pct=0)
    (trade,) = traded(candles, [1, 0], costs).trades
    bought, sold = 100 * 1.0075, 110 * 0.9925
    size = 1000 / (bought * 1.005)
    assert trade.size == pytest.approx(size, abs=1e-8)
    assert trade.entry_price == pytest.approx(bought)
    assert trade.exit_price == pytest.approx(sold)
    assert trade.fees_usdt == pytest.approx(size * (bought + sold) * 0.005, rel=1e-7)
    assert trade.slippage_usdt == pytest.approx(size * (0.75 + 110 * 0.0075), rel=1e-7)
    assert trade.pnl_usdt == pytest.approx(size * (sold - bought) - size * (bought + sold) * 0.005, rel=1e-7)
    assert trade.return_pct == pytest.approx(100 * trade.pnl_usdt / (size * bought), rel=1e-7)


def test_a_short_sells_below_and_buys_back_above_the_price() -> None:
    costs = TradingCosts(fee_pct=0, spread_pct=2, slippage_pct=0, slippage_atr_pct=0)
    (trade,) = traded(standing(100, 4), [-1, 0], costs).trades
    assert trade.size == pytest.approx(-1000 / 99, abs=1e-8)
    assert (trade.entry_price, trade.exit_price) == (pytest.approx(99), pytest.approx(101))


def test_slippage_grows_with_the_range_of_the_bars_before_the_fill_alone() -> None:
    calm = [(100.0, 101.0, 99.0, 100.0)] * 16
    costs = TradingCosts(fee_pct=0, spread_pct=0, slippage_pct=0, slippage_atr_pct=10)
    (trade,) = traded(market([*calm, (100, 180, 20, 100), (100, 100, 100, 100)]), [0] * 15 + [1], costs).trades
    assert trade.entry_bar == 16
    assert trade.entry_price == pytest.approx(100 * (1 + 0.1 * 2 / 100))
    wild = (2 * 13 + 160) / 14
    assert trade.exit_price == pytest.approx(100 * (1 - 0.1 * wild / 100))


def test_without_volume_an_order_waits_for_the_next_bar_that_was_traded() -> None:
    bars = [(100, 100, 100, 100), (101, 101, 101, 101, 0), (102, 102, 102, 102, 0), (103, 103, 103, 103), (104,) * 4]
    run = traded(market(bars), [1])
    assert [(trade.entry_bar, trade.exit_bar) for trade in run.trades] == [(3, 4)]
    assert run.trades[0].entry_price == pytest.approx(103)


def test_an_exit_waits_as_well_and_the_position_is_valued_meanwhile() -> None:
    bars = [(100,) * 4, (100,) * 4, (90, 90, 90, 90, 0), (80, 80, 80, 80, 0), (70,) * 4, (60,) * 4]
    run = traded(market(bars), [1, 0])
    assert [(trade.entry_bar, trade.exit_bar) for trade in run.trades] == [(1, 4)]
    assert run.equity_usdt == pytest.approx([1000, 1000, 900, 800, 700, 700], rel=1e-7)


def test_a_waiting_order_is_gone_when_the_decision_is_taken_back() -> None:
    bars = [(100,) * 4, (101, 101, 101, 101, 0), (102, 102, 102, 102, 0), (103,) * 4, (104,) * 4]
    assert traded(market(bars), [1, 1, 0]).trades == ()


def test_a_market_that_is_never_traded_fills_nothing() -> None:
    run = traded(market([(100, 100, 100, 100, 0)] * 50), [1])
    assert run.trades == ()
    assert set(run.equity_usdt) == {1000.0}


@pytest.mark.parametrize("missing", [1, 5, 24, 500])
def test_after_an_outage_the_fill_is_the_first_price_that_was_traded(missing: int) -> None:
    candles = without(steps([100 + 0.1 * bar for bar in range(missing + 12)]), 4, missing)
    run = traded(candles, [0, 0, 0, 1, 1, 0])
    (trade,) = run.trades
    assert trade.entry_time_ms == candles.open_time[4]
    assert trade.entry_price == pytest.approx(candles.open[4])
    assert trade.entry_price != pytest.approx(candles.close[3])
    assert trade.duration_h == 2


def test_a_short_pays_funding_at_each_of_the_three_hours_of_its_value_then() -> None:
    candles = steps([100, 100, 100, *(100 + bar for bar in range(30))])
    costs = TradingCosts(**{**FREE.to_dict(), "short_funding_pct_per_8h": 0.1})
    run = traded(candles, [0, -1] + [-1] * 15 + [0], costs)
    (trade,) = run.trades
    assert (trade.entry_bar, trade.exit_bar) == (2, 18)
    due = [candles.open[8], candles.open[16]]
    assert trade.funding_usdt == pytest.approx(10 * sum(due) * 0.001, rel=1e-9)
    assert run.equity_usdt[8] == pytest.approx(1000 - 10 * (candles.close[8] - 100) - 10 * due[0] * 0.001)


def test_who_opens_at_the_hour_pays_nothing_for_it_and_who_closes_at_the_hour_pays() -> None:
    costs = TradingCosts(**{**FREE.to_dict(), "short_funding_pct_per_8h": 0.1})
    (trade,) = traded(standing(100, 20), [0] * 7 + [-1] * 8 + [0], costs).trades
    assert (trade.entry_bar, trade.exit_bar) == (8, 16)
    assert trade.funding_usdt == pytest.approx(1.0)


def test_a_long_position_pays_no_funding_and_a_negative_rate_is_received() -> None:
    costs = TradingCosts(**{**FREE.to_dict(), "short_funding_pct_per_8h": -0.1})
    assert traded(standing(100, 20), [1], costs).trades[0].funding_usdt == 0
    run = traded(standing(100, 20), [-1], costs)
    assert run.trades[0].funding_usdt == pytest.approx(-2.0)
    assert run.equity_usdt[-1] == pytest.approx(1002)


def test_funding_is_due_as_often_as_its_hours_were_passed_during_an_outage() -> None:
    candles = without(standing(100, 60), 5, 40)
    costs = TradingCosts(**{**FREE.to_dict(), "short_funding_pct_per_8h": 0.1})
    (trade,) = traded(candles, [-1], costs).trades
    assert trade.funding_usdt == pytest.approx(7.0)


@pytest.mark.parametrize(("timeframe", "per_day"), [("5m", 3), ("15m", 3), ("1h", 3), ("4h", 3)])
def test_funding_is_due_three_times_a_day_at_every_timeframe(timeframe: str, per_day: int) -> None:
    candles = standing(1, 2000, timeframe)
    days = (candles.open_time[-1] - candles.open_time[0]) / 86_400_000
    assert funding_times(candles.open_time).sum() == int(days * per_day)


def test_what_is_open_at_the_end_is_closed_at_the_last_close_with_its_costs() -> None:
    costs = TradingCosts(fee_pct=1, spread_pct=0, slippage_pct=0, slippage_atr_pct=0)
    run = traded(market([(100,) * 4, (100, 130, 100, 120)]), [1], costs)
    (trade,) = run.trades
    size = 1000 / 101
    assert (trade.entry_bar, trade.exit_bar, trade.exit_reason) == (1, 1, "end")
    assert trade.exit_price == pytest.approx(120)
    assert run.equity_usdt[-1] == pytest.approx(size * 120 * 0.99, rel=1e-7)
    assert run.equity_usdt[-1] == pytest.approx(1000 + trade.pnl_usdt)


def test_margin_and_fee_of_a_leveraged_position_come_out_of_the_account() -> None:
    costs = TradingCosts(fee_pct=0.5, spread_pct=0, slippage_pct=0, slippage_atr_pct=0, leverage=10)
    (trade,) = traded(standing(100, 5), [1, 0], costs).trades
    value = trade.size * 100
    assert value / 10 + value * 0.005 == pytest.approx(1000, rel=1e-7)


def test_nobody_spends_more_than_the_account_has() -> None:
    costs = TradingCosts(fee_pct=5, spread_pct=10, slippage_pct=10, slippage_atr_pct=0)
    (trade,) = traded(standing(100, 5), [1, 0], costs).trades
    assert trade.size * trade.entry_price * 1.05 == pytest.approx(1000, rel=1e-7)
    assert trade.size * trade.entry_price * 1.05 <= 1000


def test_position_pct_uses_that_part_of_the_account() -> None:
    run = traded(steps([100, 100, 100, 50, 50]), [1], TradingCosts(**{**FREE.to_dict(), "position_pct": 40}))
    assert run.trades[0].size == pytest.approx(4)
    assert run.equity_usdt[-1] == pytest.approx(800)


def test_a_leveraged_long_is_liquidated_within_the_bar_though_it_closes_higher() -> None:
    costs = TradingCosts(fee_pct=0.1, spread_pct=0, slippage_pct=0, slippage_atr_pct=0, leverage=5)
    run = traded(market([(100,) * 4, (100, 130, 75, 125), (125,) * 4, (125,) * 4]), [1], costs)
    (trade,) = run.trades
    value = 1000 / (1 / 5 + 0.001)
    size, money = value / 100, 1000 - value * 0.001
    ruin = (value - money) / (size * 0.999)
    assert trade.exit_reason == "liquidation"
    assert trade.exit_price == pytest.approx(ruin, rel=1e-6)
    assert 75 < trade.exit_price < 81
    assert trade.pnl_usdt == pytest.approx(-1000)
    assert list(run.equity_usdt) == [1000, 0, 0, 0]
    assert run.ruined


def test_a_leveraged_long_survives_a_bar_that_leaves_something() -> None:
    costs = TradingCosts(fee_pct=0, spread_pct=0, slippage_pct=0, slippage_atr_pct=0, leverage=5)
    run = traded(market([(100,) * 4, (100, 100, 81, 90), (90,) * 4]), [1], costs)
    assert [trade.exit_reason for trade in run.trades] == ["end"]
    assert run.equity_usdt[-1] == pytest.approx(500)


def test_a_short_without_leverage_is_liquidated_where_the_price_has_doubled() -> None:
    run = traded(market([(100,) * 4, (100, 205, 100, 110), (110,) * 4]), [-1])
    assert run.trades[0].exit_reason == "liquidation"
    assert run.trades[0].exit_price == pytest.approx(200)
    assert run.ruined


def test_a_long_without_leverage_is_never_liquidated() -> None:
    run = traded(market([(100,) * 4, (100, 100, 1e-6, 50), (50,) * 4]), [1])
    assert run.trades[0].exit_reason == "end"
    assert run.equity_usdt[-1] == pytest.approx(500)


@pytest.mark.parametrize(("side", "gap"), [(1, 20.0), (-1, 900.0)])
def test_an_exit_beyond_ruin_after_a_gap_owes_nothing(side: int, gap: float) -> None:
    candles = market([(100,) * 4, (100,) * 4, (gap,) * 4, (gap,) * 4])
    run = traded(candles, [side, -side], TradingCosts(leverage=3))
    (trade,) = run.trades
    assert trade.exit_reason == "liquidation"
    assert trade.pnl_usdt == pytest.approx(-1000)
    assert list(run.equity_usdt[2:]) == [0, 0]


def test_costs_of_an_exit_that_the_account_cannot_pay_liquidate_it() -> None:
    costs = TradingCosts(fee_pct=0.3, spread_pct=0.2, slippage_pct=0, slippage_atr_pct=0, leverage=100)
    run = traded(standing(100, 6), [1, 1, 0], costs)
    assert run.trades[0].pnl_usdt == pytest.approx(run.equity_usdt[-1] - 1000)
    assert run.equity_usdt.min() >= 0


def test_after_ruin_nothing_is_traded() -> None:
    candles = market([(100,) * 4, (100, 250, 100, 100), *[(100,) * 4] * 20])
    run = traded(candles, [-1, 1, -1, 1, -1, 1, -1])
    assert len(run.trades) == 1
    assert not run.equity_usdt[1:].any()


def test_an_account_too_small_for_any_unit_trades_nothing() -> None:
    run = traded(standing(1e9, 5), [1], cash=1e-3)
    assert run.trades == ()
    assert run.equity_usdt[-1] == 1e-3


@pytest.mark.parametrize("price", [1e-8, 3.3e-6, 0.5, 60_000.0, 5e7])
def test_coins_of_any_price_are_bought_with_all_that_there_is(price: float) -> None:
    (trade,) = traded(standing(price, 5), [1, 0], TradingCosts(), cash=10_000).trades
    assert trade.size * trade.entry_price * 1.001 == pytest.approx(10_000, rel=1e-4)


def test_equity_of_a_market_of_one_bar_is_the_cash() -> None:
    run = traded(standing(100, 1), [1])
    assert run.trades == ()
    assert np.array_equal(run.equity_usdt, [1000.0])
