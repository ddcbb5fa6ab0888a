"""Quantiles of redrawn histories against the exact distribution."""

from __future__ import annotations

import dataclasses
import itertools
from math import comb

import numpy as np
import pytest

from include.strategies.monte_carlo import monte_carlo
from include.strategies.simulation import TradeRecord

CASH = 1000.0


def trades_of(shares: list[float], cash: float = CASH) -> list[TradeRecord]:
    """Return trades that earned these shares of the equity before each of them."""
    blank = TradeRecord(0, 0, 0, 1, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, "signal")
    answer = []
    for share in shares:
        answer.append(dataclasses.replace(blank, pnl_usdt=cash * share))
        cash *= 1 + share
    return answer


def test_of_two_outcomes_the_quantiles_are_those_of_the_binomial_distribution() -> None:
    count, won = 20, 0.1
    trades = trades_of([won, -won] * (count // 2))
    answer = monte_carlo(trades, CASH, seed=1, draws=40_000)
    chances = np.cumsum([comb(count, wins) * 0.5**count for wins in range(count + 1)])
    for level in (5, 50, 95):
        wins = int(np.searchsorted(chances, level / 100))
        exact = 100 * ((1 + won) ** wins * (1 - won) ** (count - wins) - 1)
        assert answer["total_return_pct"][f"p{level}"] == pytest.approx(exact, abs=1e-5)
    losing = [wins for wins in range(count + 1) if (1 + won) ** wins * (1 - won) ** (count - wins) < 1]
    assert answer["loss_probability_pct"] == pytest.approx(100 * chances[losing[-1]], abs=1)


def test_drawdowns_are_those_of_all_possible_histories() -> None:
    shares = [0.2, -0.1, 0.05, -0.3, 0.1]
    returns, falls = [], []
    for history in itertools.product(shares, repeat=5):
        equity = np.cumprod([1.0, *(1 + share for share in history)])
        returns.append(100 * (equity[-1] - 1))
        falls.append(100 * np.max(1 - equity / np.maximum.accumulate(equity)))
    answer = monte_carlo(trades_of(shares), CASH, seed=3, draws=60_000)
    for name, values in (("total_return_pct", returns), ("max_drawdown_pct", falls)):
        for level in (5, 50, 95):
            low, high = np.percentile(values, [level - 1, level + 1])
            assert low - 1e-6 <= answer[name][f"p{level}"] <= high + 1e-6


def test_a_seed_repeats_its_answer_and_another_one_does_not() -> None:
    trades = trades_of([0.03, -0.02, 0.05, -0.04, 0.01, 0.02, -0.06])
    assert monte_carlo(trades, CASH, seed=7) == monte_carlo(trades, CASH, seed=7)
    assert monte_carlo(trades, CASH, seed=7) != monte_carlo(trades, CASH, seed=8)


def test_what_a_trade_earned_counts_as_a_share_of_the_equity_then() -> None:
    answer = monte_carlo(trades_of([0.1] * 5), CASH, seed=1)
    exact = 100 * (1.1**5 - 1)
    assert answer["total_return_pct"] == {
        "p5": pytest.approx(exact),
        "p50": pytest.approx(exact),
        "p95": pytest.approx(exact),
    }
    assert answer["max_drawdown_pct"] == {"p5": 0, "p50": 0, "p95": 0}
    assert answer["loss_probability_pct"] == 0


def test_a_trade_that_lost_everything_ends_the_histories_that_draw_it() -> None:
    answer = monte_carlo(trades_of([0.1, 0.1, 0.1, 0.1, -1.0]), CASH, seed=1, draws=20_000)
    assert answer["total_return_pct"]["p5"] == -100
    assert answer["max_drawdown_pct"]["p95"] == 100
    assert answer["loss_probability_pct"] == pytest.approx(100 * (1 - 0.8**5), abs=1.5)


def test_gains_beyond_all_numbers_stay_numbers() -> None:
    answer = monte_carlo(trades_of([9.0] * 302), CASH, seed=1)
    assert answer["total_return_pct"]["p95"] == pytest.approx(1e302)
    assert answer["max_drawdown_pct"]["p95"] == 0


def test_below_five_trades_there_is_a_reason_instead() -> None:
    assert monte_carlo(trades_of([0.1] * 4), CASH, seed=1) == {
        "draws": 0,
        "reason": "4 trades; at least 5 are needed",
    }
