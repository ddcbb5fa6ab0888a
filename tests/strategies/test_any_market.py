"""What holds for every run, whatever the market, the positions and the terms of trading."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from include.errors import BadInputError
from include.market.candles import Candles, check_candles
from include.market.timeframes import DAY_MS
from include.store.documents import storable
from include.strategies.costs import TradingCosts
from include.strategies.daily import daily_equity
from include.strategies.definition import Positions
from include.strategies.figures import measure
from include.strategies.monte_carlo import monte_carlo
from include.strategies.monthly import monthly_table
from include.strategies.simulation import Simulation, simulate
from tests.ml.real_candles import at_ms
from tests.strategies import plain_loop
from tests.strategies.plain_loop import Bars
from tests.strategies.scenes import START, walk, without

CASH = 1000.0


@dataclass(frozen=True, eq=False)
class Case:
    """A market, what is wanted in it, and the terms."""

    candles: Candles
    wanted: Positions
    costs: TradingCosts

    def run(self) -> Simulation:
        return simulate(self.candles, self.wanted, self.costs, CASH)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a random walk of any wildness, with outages, quiet bars and wanted positions that last or do not."""
    bars = draw(st.integers(3, 90))
    seed = draw(st.integers(0, 10_000))
    timeframe = draw(st.sampled_from(["5m", "1h", "4h"]))
    candles = walk(seed, bars, draw(st.sampled_from([0.0, 0.001, 0.02, 0.3])), timeframe)
    rng = np.random.default_rng(seed)
    quiet = rng.random(bars) < draw(st.sampled_from([0.0, 0.3]))
    candles = dataclasses.replace(candles, volume=np.where(quiet, 0.0, candles.volume))
    if bars > 10 and draw(st.booleans()):
        candles = without(candles, draw(st.integers(1, bars - 5)), draw(st.integers(1, 4)))
    stay = draw(st.sampled_from([0.1, 0.8]))
    wanted = [int(rng.integers(-1, 2))]
    for _ in range(len(candles) - 1):
        wanted.append(wanted[-1] if rng.random() < stay else int(rng.integers(-1, 2)))
    try:
        costs = TradingCosts(
            fee_pct=draw(st.sampled_from([0.0, 0.1, 2.0])),
            spread_pct=draw(st.sampled_from([0.0, 0.02, 3.0])),
            slippage_pct=draw(st.sampled_from([0.0, 0.1])),
            slippage_atr_pct=draw(st.sampled_from([0.0, 1.0, 100.0])),
            latency_bars=draw(st.sampled_from([1, 1, 2, 5])),
            leverage=draw(st.sampled_from([1.0, 1.0, 2.5, 20.0])),
            position_pct=draw(st.sampled_from([100.0, 33.0])),
            short_funding_pct_per_8h=draw(st.sampled_from([0.0, 0.05, -0.05])),
        )
    except BadInputError:
        assume(False)
    return Case(candles, np.array(wanted, dtype=np.int8), costs)


EXAMPLES = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=50, **EXAMPLES)
@given(cases())
def test_every_run_keeps_the_rules(case: Case) -> None:
    check_candles(case.candles)
    run = case.run()
    the_plain_loop_finds_the_same(case, run)
    the_trades_account_for_every_cent(run)
    fills_are_at_prices_that_were_traded(case, run)
    positions_do_not_overlap_and_fit_the_account(case, run)
    every_figure_is_finite_or_has_a_reason(case, run)


def the_plain_loop_finds_the_same(case: Case, run: Simulation) -> None:
    plain = plain_loop.trade(Bars.of(case.candles), case.wanted.tolist(), case.costs, CASH)
    assert [(t.entry_bar, t.exit_bar, t.exit_reason) for t in run.trades] == [
        (t.entry_bar, t.exit_bar, t.why) for t in plain.trades
    ]
    for mine, theirs in zip(run.trades, plain.trades, strict=True):
        value = abs(theirs.size) * theirs.entry_price
        # A unit more or less, where rounding falls on the edge between two, goes on in all later trades.
        assert mine.size == pytest.approx(theirs.size, rel=1e-6, abs=2e-8)
        assert mine.exit_price == pytest.approx(theirs.exit_price, rel=1e-6)
        assert mine.pnl_usdt == pytest.approx(theirs.pnl, rel=1e-6, abs=1e-6 * value)
    np.testing.assert_allclose(run.equity_usdt, plain.equity, rtol=1e-6, atol=1e-6)


def the_trades_account_for_every_cent(run: Simulation) -> None:
    assert math.fsum(trade.pnl_usdt for trade in run.trades) == pytest.approx(run.equity_usdt[-1] - CASH, abs=1e-6)
    for trade in run.trades:
        gross = trade.size * (trade.exit_price - trade.entry_price)
        assert trade.pnl_usdt == pytest.approx(gross - trade.fees_usdt - trade.funding_usdt, abs=1e-6)
        assert trade.fees_usdt >= 0
        assert trade.slippage_usdt >= 0
    assert run.equity_usdt.min() >= 0


def fills_are_at_prices_that_were_traded(case: Case, run: Simulation) -> None:
    candles, lost = case.candles, plain_loop.lost_at_each_bar(Bars.of(case.candles), case.costs)
    for trade in run.trades:
        sign = 1 if trade.size > 0 else -1
        assert candles.volume[trade.entry_bar] > 0
        assert trade.entry_price / (1 + sign * lost[trade.entry_bar]) == pytest.approx(candles.open[trade.entry_bar])
        before_costs = trade.exit_price / (1 - sign * lost[trade.exit_bar])
        if trade.exit_reason == "signal":
            assert candles.volume[trade.exit_bar] > 0
            assert before_costs == pytest.approx(candles.open[trade.exit_bar])
        elif trade.exit_reason == "end":
            assert trade.exit_bar == len(candles) - 1
            assert before_costs == pytest.approx(candles.close[-1])
        assert trade.entry_time_ms in candles.open_time
        assert trade.exit_time_ms in candles.open_time


def positions_do_not_overlap_and_fit_the_account(case: Case, run: Simulation) -> None:
    for trade, following in itertools.pairwise(run.trades):
        assert trade.entry_bar < trade.exit_bar <= following.entry_bar
    money = CASH
    for trade in run.trades:
        value = abs(trade.size) * trade.entry_price
        margin = value / case.costs.leverage + value * case.costs.fee_pct / 100
        assert margin <= money * case.costs.position_pct / 100 * (1 + 1e-9)
        money += trade.pnl_usdt


def every_figure_is_finite_or_has_a_reason(case: Case, run: Simulation) -> None:
    start = at_ms(START)
    end = start + ((int(case.candles.open_time[-1]) - start) // DAY_MS + 1) * DAY_MS
    daily = daily_equity(case.candles.open_time, run.equity_usdt, CASH, start, end)
    figures = measure(run, start, end, daily).to_dict()
    document = storable(
        {
            "figures": figures,
            "monte_carlo": monte_carlo(run.trades, CASH, 1, 200),
            "monthly": monthly_table(daily, run.trades),
            "equity_curve": daily.to_list(),
        }
    )
    assert set(figures["undefined"]) == {name for name, value in figures.items() if value is None}
    assert len(document["equity_curve"]) == (end - start) // DAY_MS


@settings(max_examples=25, **EXAMPLES)
@given(cases(), st.floats(0.1, 0.9))
def test_nothing_that_happened_depends_on_what_comes_later(case: Case, share: float) -> None:
    known = max(2, int(share * len(case.candles)))
    whole = case.run()
    early = simulate(
        case.candles.between(None, int(case.candles.open_time[known])), case.wanted[:known], case.costs, CASH
    )
    # The last bar of the shorter run closes what is open.
    np.testing.assert_array_equal(early.equity_usdt[: known - 1], whole.equity_usdt[: known - 1])
    done = [trade for trade in whole.trades if trade.exit_bar < known - 1]
    assert list(early.trades[: len(done)]) == done
