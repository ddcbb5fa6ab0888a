"""What backtests and optimisations refuse before any work, in words that name the parameter and what is allowed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from dags.wiring.params import dag_params
from include.errors import BadInputError
from include.market.timeframes import TIMEFRAME_MS
from include.strategies.costs import LIMITS, TradingCosts
from include.strategies.optimise import request as optimise_request
from include.strategies.optimise.methods import METHODS
from include.strategies.optimise.objective import OBJECTIVES
from include.strategies.optimise.request import OptimisationRequest
from include.strategies.registry import get_strategy, strategy_names
from include.strategies.request import RUN_IN, BacktestRequest
from include.tasks_api.params import optimize_strategy
from include.tasks_api.params.backtest_strategy import BacktestStrategyParams
from include.tasks_api.params.base import parse_params, rule_of
from include.tasks_api.params.optimize_strategy import OptimizeStrategyParams
from include.tasks_api.params.strategy_lab import StrategyLabParams, day_ms
from include.tasks_api.strategy_request import (
    backtest_demand,
    backtest_request,
    optimisation_demand,
    optimisation_request,
    require_over,
)

pytestmark = pytest.mark.critical

DAYS = {"start_date": "2024-05-22", "end_date": "2024-11-22"}


def backtest(**more: Any) -> BacktestStrategyParams:
    return parse_params(BacktestStrategyParams, {**DAYS, **more})


def optimise(**more: Any) -> OptimizeStrategyParams:
    return parse_params(OptimizeStrategyParams, {**DAYS, **more})


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"strategy_name": "astrology"}, "strategy_name must be one of: bollinger, macd, rsi, volume, got 'astrology'"),
        ({"start_date": "2024-11-22", "end_date": "2024-05-22"}, "end_date must lie after start_date, got 2024-11-22"),
        ({"start_date": "2024-11-22"}, "end_date must lie after start_date, got 2024-11-22 to 2024-11-22"),
        ({"start_date": "2024-02-30"}, "start_date is required: a day such as 2024-01-31, not before 2017-07-14"),
        ({"start_date": "2017-07-13"}, "not before 2017-07-14, and before end_date, got '2017-07-13'"),
        ({"end_date": None}, "end_date is required: the first day after the period, such as 2024-07-31"),
        (
            {"start_date": "2019-01-01", "timeframe": "5m"},
            "end_date must lie at most 1,180 days after start_date (timeframe 5m), got 2019-01-01 to 2024-11-22",
        ),
        ({"initial_cash_usdt": 0}, "initial_cash_usdt must be from 1 to 1000000000, got 0"),
        ({"initial_cash_usdt": -10_000}, "initial_cash_usdt must be from 1 to 1000000000, got -10000"),
        ({"leverage": 126}, "leverage must be from 1 to 125, got 126"),
        ({"latency_bars": 0}, "latency_bars must be a whole number from 1 to 100, got 0"),
        ({"latency_bars": 1.5}, "latency_bars must be a whole number from 1 to 100, got 1.5"),
        ({"fee_pct": "0.1"}, "fee_pct must be from 0 to 5, got '0.1'"),
        ({"direction": "up"}, "direction must be one of: both, long, short, got 'up'"),
        ({"parameters": {"rsi_period": 1}}, "parameters: rsi_period must be a whole number >= 2 and <= 200, got 1"),
        (
            {"parameters": {"rsi_period": "14"}},
            "rsi_period must be a whole number >= 2 and <= 200, got '14'",
        ),
        ({"parameters": {"overbought": 49}}, "parameters: rsi_overbought must be a number > 50 and < 100, got 49"),
        (
            {"parameters": {"macd_fast": 12}},
            "unknown parameter 'macd_fast' of the strategy rsi; known: rsi_",
        ),
        (
            {"strategy_name": "macd", "parameters": {"fast": 30, "slow": 20}},
            "parameters: macd_fast must be below macd_slow, got 30 and 20",
        ),
        ({"parameters": [1]}, "parameters must be an object such as"),
        ({"parameter_variations": 50}, "unknown parameter 'parameter_variations'; known: strategy_name, symbol"),
    ],
)
def test_a_backtest_that_cannot_be_is_refused_in_words(conf: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as refused:
        backtest(**conf)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"parameter_variations": 501}, "parameter_variations must be between 10 and 500, got 501"),
        ({"parameter_variations": 9}, "parameter_variations must be between 10 and 500, got 9"),
        ({"method": "luck"}, "method must be one of: grid, genetic, model, got 'luck'"),
        ({"objective": "fame"}, "objective must be one of: sharpe_ratio, sortino_ratio, calmar_ratio, total_return"),
        ({"windows": 1}, "windows must be between 2 and 24, got 1"),
        ({"train_share": 0.95}, "train_share must be between 0.5 and 0.9, got 0.95"),
        ({"embargo_days": -1}, "embargo_days must be between 0 and 90, got -1"),
        ({"parameters": {"rsi_period": 14}}, "unknown parameter 'parameters'"),
    ],
)
def test_an_optimisation_that_cannot_be_is_refused_in_words(conf: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as refused:
        optimise(**conf)
    assert message in str(refused.value)


def test_several_problems_are_said_at_once() -> None:
    with pytest.raises(BadInputError) as refused:
        backtest(strategy_name="macd", end_date="2024-05-01", fee_pct=-1, parameters={"macd_slow": 1, "x": 2})
    for part in ("end_date must lie after", "fee_pct must be", "macd_slow must be", "unknown parameter 'x'"):
        assert part in str(refused.value)


def test_the_days_before_the_period_and_the_days_themselves_are_demanded() -> None:
    demand = backtest_demand(backtest(parameters={"rsi_period": 20}))
    assert (demand.start_ms, demand.end_ms) == (at("2024-05-22"), at("2024-11-22"))
    assert demand.bars == 184 * 24
    assert demand.first_ms == demand.start_ms - RUN_IN * 21 * TIMEFRAME_MS["1h"]
    oldest = backtest_demand(backtest(start_date="2017-07-14", timeframe="4h"))
    assert oldest.first_ms == oldest.start_ms == day_ms("2017-07-14"), "Binance has nothing older"


def test_fewer_bars_than_the_longest_indicator_are_refused_before_any_are_fetched() -> None:
    short = {"start_date": "2024-05-22", "end_date": "2024-05-24", "timeframe": "4h"}
    assert backtest_demand(backtest(**short, parameters={"rsi_period": 9})).bars == 12
    with pytest.raises(BadInputError, match=r"Insufficient data: RSI .*'rsi_period': 14.* needs at least 17 candles"):
        backtest_demand(backtest(**short))
    with pytest.raises(BadInputError, match=r"Insufficient data: RSI .* found 12"):
        optimisation_demand(optimise(**short))


def test_a_period_too_short_for_the_windows_is_refused_with_what_would_do() -> None:
    assert optimisation_demand(optimise()).least == 23
    with pytest.raises(BadInputError, match=r"the period of 184 days is too short for 24 walk-forward windows"):
        optimisation_demand(optimise(windows=24, timeframe="4h", embargo_days=60))


def test_a_period_is_over_when_the_exchanges_clock_says_so() -> None:
    end_ms = at("2024-11-22")
    require_over(end_ms, end_ms)
    with pytest.raises(BadInputError, match=r"by the exchange's clock it is 2024-11-21 \(UTC\), got 2024-11-22"):
        require_over(end_ms, end_ms - 1)


def test_what_is_asked_for_reaches_the_request() -> None:
    asked = {
        "strategy_name": "MACD", "symbol": "ethusdt", "timeframe": "15m", "initial_cash_usdt": 500, "direction": "long",
        "position_pct": 50, "leverage": 3, "fee_pct": 0.2, "spread_pct": 0, "slippage_pct": 0.5, "slippage_atr_pct": 2,
        "latency_bars": 4, "short_funding_pct_per_8h": -0.01, "seed": 3,
    }  # fmt: skip
    costs = TradingCosts(0.2, 0.0, 0.5, 2.0, 4, 3.0, 50.0, -0.01)
    request = backtest_request(backtest(**asked, parameters={"fast": 5}))
    macd = get_strategy("macd").params_model
    assert request == BacktestRequest(
        "macd", "ETHUSDT", "15m", at("2024-05-22"), at("2024-11-22"), macd(macd_fast=5), costs, 500.0, "long", 3
    )
    search = {
        "parameter_variations": 20, "method": "genetic", "objective": "total_return", "windows": 3, "anchored": True,
        "train_share": 0.8, "embargo_days": 2,
    }  # fmt: skip
    assert optimisation_request(optimise(**asked, **search)) == OptimisationRequest(
        "macd", "ETHUSDT", "15m", at("2024-05-22"), at("2024-11-22"), "genetic", 20, "total_return", costs, 500.0,
        "long", 3, 3, True, 0.8, 2,
    )  # fmt: skip


def test_defaults_and_limits_are_those_of_the_laboratory_itself() -> None:
    plain = backtest()
    assert plain.costs == TradingCosts()
    assert (plain.initial_cash_usdt, plain.seed, plain.direction) == (
        BacktestRequest.cash_usdt, BacktestRequest.seed, BacktestRequest.direction,
    )  # fmt: skip
    for name, (low, high) in LIMITS.items():
        TradingCosts(**{name: low})
        TradingCosts(**{name: high})
        schema = StrategyLabParams.model_json_schema()["properties"][name]
        assert (schema["minimum"], schema["maximum"]) == (low, high)
    defaults = {field: getattr(OptimisationRequest, field) for field in ("method", "objective", "windows", "anchored")}
    search = optimise()
    assert {field: getattr(search, field) for field in defaults} == defaults
    assert (search.parameter_variations, search.train_share, search.embargo_days) == (
        OptimisationRequest.variations, OptimisationRequest.train_share, OptimisationRequest.embargo_days,
    )  # fmt: skip
    for limit in (
        "FEWEST_VARIATIONS", "MOST_VARIATIONS", "FEWEST_WINDOWS", "MOST_WINDOWS", "LEAST_TRAIN_SHARE",
        "MOST_TRAIN_SHARE", "MOST_EMBARGO_DAYS",
    ):  # fmt: skip
        assert getattr(optimize_strategy, limit) == getattr(optimise_request, limit)
    fields = OptimizeStrategyParams.model_fields
    assert get_args(fields["method"].annotation) == METHODS
    assert get_args(fields["objective"].annotation) == OBJECTIVES


@pytest.mark.parametrize("model", [BacktestStrategyParams, OptimizeStrategyParams])
def test_the_form_offers_every_strategy_and_asks_for_days(model: type[StrategyLabParams]) -> None:
    params = dag_params(model)
    assert params["strategy_name"].schema["enum"] == list(strategy_names())
    assert set(params["strategy_name"].schema["values_display"]) == set(strategy_names())
    for name in ("start_date", "end_date"):
        assert params[name].value is None
        assert params[name].schema["format"] == "date"
    assert all(rule_of(model, field) for field in model.model_fields)
