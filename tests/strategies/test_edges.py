"""Markets that die, stand still or are hardly there, through the whole backtest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from include.errors import BadInputError
from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.store.documents import storable
from include.strategies.backtest import BacktestOutcome, run_backtest
from include.strategies.costs import TradingCosts
from include.strategies.daily import daily_equity
from include.strategies.figures import measure
from include.strategies.monte_carlo import monte_carlo
from include.strategies.monthly import monthly_table
from include.strategies.positions import wanted_positions
from include.strategies.registry import get_strategy, parse_strategy_params, strategy_names
from include.strategies.request import BacktestRequest
from include.strategies.simulation import simulate
from tests.ml.real_candles import at_ms
from tests.strategies.scenes import FREE, START, joined, market, standing, steps, walk, without

pytestmark = pytest.mark.filterwarnings("error")


def ask(strategy: str, days: int, *, timeframe: str = "1h", params: Any = None, **more: Any) -> BacktestRequest:
    start = at_ms(START)
    typed = parse_strategy_params(strategy, params or {})
    return BacktestRequest(strategy, "TESTUSDT", timeframe, start, start + days * DAY_MS, typed, **more)


def run(request: BacktestRequest, candles: Candles) -> BacktestOutcome:
    return run_backtest(request, candles, lambda _percent, _details: None)


def dying(direction: str, seed: int = 3) -> Candles:
    """Return ten days of a quiet market, and a day in which its price goes to a thousandth (or times a thousand)."""
    quiet = walk(seed, 240, 0.004)
    sign = -1 if direction == "down" else 1
    fall = quiet.close[-1] * np.exp(sign * math.log(1000) * np.linspace(0, 1, 25))
    return joined(quiet, steps(fall.tolist(), start="2024-03-11"), after(fall[-1]))


def after(price: float) -> Candles:
    return standing(float(price), 72, start="2024-03-12")


@pytest.mark.parametrize("leverage", [1, 5, 50])
@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("strategy", strategy_names())
def test_a_symbol_that_dies_or_explodes_leaves_finite_numbers(strategy: str, direction: str, leverage: int) -> None:
    candles = dying(direction)
    start, end = at_ms(START), at_ms(START) + 14 * DAY_MS
    wanted = wanted_positions(get_strategy(strategy), parse_strategy_params(strategy, {}), candles)
    played = simulate(
        candles, wanted, TradingCosts(leverage=leverage, short_funding_pct_per_8h=0.01, slippage_atr_pct=20), 10_000
    )
    daily = daily_equity(candles.open_time, played.equity_usdt, 10_000, start, end)
    figures = measure(played, start, end, daily).to_dict()
    chances = monte_carlo(played.trades, 10_000, 1)
    storable({"figures": figures, "chances": chances, "months": monthly_table(daily, played.trades)})
    assert played.equity_usdt.min() >= 0
    assert math.fsum(trade.pnl_usdt for trade in played.trades) == pytest.approx(played.equity_usdt[-1] - 10_000)


@pytest.mark.parametrize("side", [1, -1])
def test_the_account_that_was_on_the_wrong_side_of_a_death_is_ruined_and_its_report_is_drawn(side: int) -> None:
    candles = dying("down" if side > 0 else "up")
    outcome = run(ask("rsi", 14, costs=TradingCosts(leverage=20), direction="long" if side > 0 else "short"), candles)
    document = storable(outcome.document())
    results = document["results"]
    assert results["ruined"]
    assert results["final_equity_usdt"] == 0
    assert results["total_return"] == -100
    assert results["annual_return_pct"] == -100
    assert results["max_drawdown"] == 100
    assert document["trades"][-1]["exit_reason"] == "liquidation"
    assert document["equity_curve"][-1] == {"date": "2024-03-14", "equity_usdt": 0}
    assert document["data"]["ended_by_ruin"]
    assert "<html" in outcome.report_html


@pytest.mark.parametrize("price", [3.3e-7, 0.1, 1.0, 63_211.17])
@pytest.mark.parametrize("strategy", strategy_names())
def test_a_price_that_stands_still_is_not_traded(strategy: str, price: float) -> None:
    candles = standing(price, 300)
    wanted = wanted_positions(get_strategy(strategy), parse_strategy_params(strategy, {}), candles)
    assert not wanted.any()


def test_narrow_bands_and_short_averages_do_not_trade_the_rounding_of_a_still_price() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        candles = standing(float(np.exp(rng.uniform(-12, 12))), 80)
        for strategy, params in (
            ("bollinger", {"bb_period": 7, "bb_std": 0.01}),
            ("macd", {"fast": 13, "slow": 47, "signal": 9}),
        ):
            typed = parse_strategy_params(strategy, params)
            assert not wanted_positions(get_strategy(strategy), typed, candles).any()


def test_without_any_trade_the_figures_say_so() -> None:
    outcome = run(ask("macd", 5), standing(0.1, 120))
    results = storable(outcome.document())["results"]
    assert results["total_trades"] == 0
    assert results["total_return"] == 0
    assert set(results["undefined"]) == {
        "win_rate", "avg_trade_duration_hours", "avg_trade_pct", "best_trade_pct", "worst_trade_pct", "profit_factor",
        "sharpe_ratio", "sortino_ratio", "calmar_ratio",
    }  # fmt: skip
    assert results["undefined"]["win_rate"] == "no trade"
    assert "spread" in results["undefined"]["sharpe_ratio"]
    assert results["calmar_ratio"] is None
    assert outcome.monte_carlo["reason"] == "0 trades; at least 5 are needed"
    assert "<html" in outcome.report_html


def test_a_trade_that_is_open_at_the_end_is_closed_and_counted() -> None:
    candles = steps([100.0] * 40 + [100 + 1.5 * bar for bar in range(81)])
    outcome = run(ask("macd", 5, direction="long", costs=FREE), candles)
    assert outcome.results["max_drawdown"] == 0
    assert outcome.results["undefined"]["calmar_ratio"].startswith("no drawdown")
    (trade,) = outcome.trades
    assert trade["exit_reason"] == "end"
    assert trade["exit_time"] == "2024-03-05T23:00:00+00:00"
    assert outcome.results["total_trades"] == outcome.results["winning_trades"] == 1
    assert outcome.results["final_equity_usdt"] == pytest.approx(10_000 + trade["pnl_usdt"])
    assert outcome.equity_curve[-1]["equity_usdt"] == pytest.approx(10_000 + trade["pnl_usdt"])


def test_days_before_the_first_candle_keep_the_cash_and_are_reported_missing() -> None:
    late = walk(8, 24 * 9, start="2024-03-04")
    outcome = run(ask("bollinger", 12), late)
    assert len(outcome.equity_curve) == 12
    assert [point["equity_usdt"] for point in outcome.equity_curve[:3]] == [10_000] * 3
    assert outcome.data["missing"] == 72
    assert outcome.data["first_candle"] == "2024-03-04T00:00:00+00:00"
    assert all(trade["entry_time"] > "2024-03-04" for trade in outcome.trades)


def test_an_outage_of_days_is_reported_and_its_days_stand_still() -> None:
    candles = without(walk(9, 24 * 20), 24 * 8, 24 * 3)
    outcome = run(ask("volume", 20, params={"volume_spike": 1.5}), candles)
    (gap,) = outcome.data["gaps"]
    assert (gap["start"], gap["end"], gap["bars"]) == ("2024-03-09T00:00:00+00:00", "2024-03-12T00:00:00+00:00", 72)
    assert len({point["equity_usdt"] for point in outcome.equity_curve[7:11]}) == 1
    assert not any("2024-03-09" <= trade["entry_time"] < "2024-03-12" for trade in outcome.trades)


@pytest.mark.parametrize(("timeframe", "params"), [("4h", {"rsi_period": 2}), ("5m", {})])
def test_a_single_day_is_enough_where_it_has_enough_bars(timeframe: str, params: Any) -> None:
    candles = walk(5, 288 * 3 if timeframe == "5m" else 18, timeframe=timeframe, start="2024-02-28")
    outcome = run(ask("rsi", 1, timeframe=timeframe, params=params), candles)
    storable(outcome.document())
    assert len(outcome.equity_curve) == 1
    assert outcome.results["sharpe_ratio"] is None
    assert "<html" in outcome.report_html


@pytest.mark.parametrize(
    ("strategy", "params", "needed"),
    [
        ("rsi", {"rsi_period": 30}, 33),
        ("macd", {}, 37),
        ("bollinger", {"bb_period": 40}, 42),
        ("volume", {"volume_period": 50}, 53),
    ],
)
def test_fewer_bars_than_the_longest_indicator_are_refused(strategy: str, params: Any, needed: int) -> None:
    with pytest.raises(BadInputError, match=rf"at least {needed} candles, found 24; choose a longer period"):
        run(ask(strategy, 1, params=params), walk(1, 24 * 5, start="2024-02-28"))


def test_a_period_without_any_candle_is_refused() -> None:
    with pytest.raises(BadInputError, match="found 0"):
        run(ask("rsi", 3), walk(1, 100, start="2024-01-01"))


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_corrupt_candles_are_refused_by_name(field: str, value: float) -> None:
    candles = walk(1, 24 * 5)
    getattr(candles, field)[50] = value
    with pytest.raises(BadInputError, match=r"Corrupt data: TESTUSDT 1h candle of 2024-03-03T02:00"):
        run(ask("rsi", 5), candles)


def test_the_same_question_has_the_same_answer_whatever_candles_lie_around_it() -> None:
    request = ask("bollinger", 12)
    candles = walk(6, 24 * 21, start="2024-02-21")
    elsewhere = joined(walk(7, 24 * 12, start="2024-02-09"), candles, walk(8, 24 * 5, start="2024-03-13"))
    enough = candles.between(request.start_ms - 200 * 3_600_000, request.end_ms)
    first, second = run(request, enough).document(), run(request, elsewhere).document()
    assert first == second
    assert first["data"]["sha256"] == enough.sha256()


def test_the_first_open_of_the_period_is_traded_on_what_was_known_before_it() -> None:
    candles = steps([200 - bar for bar in range(24 * 5 + 1)], start="2024-02-27")
    outcome = run(ask("rsi", 2, direction="long"), candles)
    assert outcome.trades[0]["entry_time"] == "2024-03-01T00:00:00+00:00"


def test_bars_without_volume_are_counted() -> None:
    rows = [(100.0, 101.0, 99.0, 100.0, float(bar % 3)) for bar in range(72)]
    assert run(ask("rsi", 3), market(rows)).data["bars_without_volume"] == 24
