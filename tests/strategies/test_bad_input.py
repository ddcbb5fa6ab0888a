"""Every parameter beyond its bounds, of the wrong type, under a wrong name: refused by name before any work."""

from __future__ import annotations

import math
from typing import Any

import pytest

from include.errors import BadInputError
from include.strategies.costs import LIMITS, TradingCosts
from include.strategies.registry import get_strategy, parse_strategy_params, strategy_names
from include.strategies.request import BacktestRequest
from tests.ml.real_candles import at_ms

BOUNDS: dict[str, dict[str, tuple[Any, Any, Any, Any]]] = {
    "rsi": {
        "rsi_period": (1, 2, 200, 201),
        "rsi_overbought": (50, 50.01, 99.9, 100),
        "rsi_oversold": (0, 0.1, 49.9, 50),
    },
    "macd": {"macd_fast": (1, 2, 25, 201), "macd_slow": (2, 13, 400, 401), "macd_signal": (1, 2, 200, 201)},
    "bollinger": {"bb_period": (1, 2, 400, 401), "bb_std": (0, 0.1, 10, 10.1)},
    "volume": {"volume_period": (1, 2, 400, 401), "volume_spike": (1, 1.01, 100, 100.1)},
}
"""Of each parameter: too low, lowest, highest and too high."""

EVERY = [(strategy, name) for strategy, names in BOUNDS.items() for name in names]


def test_the_bounds_of_every_parameter_of_every_strategy_are_tested() -> None:
    assert set(EVERY) == {
        (strategy, name) for strategy in strategy_names() for name in get_strategy(strategy).params_model.model_fields
    }


@pytest.mark.parametrize(("strategy", "name"), EVERY)
def test_values_at_the_bounds_are_accepted(strategy: str, name: str) -> None:
    for value in BOUNDS[strategy][name][1:3]:
        assert getattr(parse_strategy_params(strategy, {name: value}), name) == value


@pytest.mark.parametrize("which", [0, 3])
@pytest.mark.parametrize(("strategy", "name"), EVERY)
def test_values_beyond_the_bounds_are_refused_by_name_value_and_bounds(strategy: str, name: str, which: int) -> None:
    value = BOUNDS[strategy][name][which]
    with pytest.raises(BadInputError, match=rf"^{name} must be a (whole )?number >=? .* and <=? .*, got {value}$"):
        parse_strategy_params(strategy, {name: value})


@pytest.mark.parametrize("value", ["14", None, [14], {"low": 1}, True, math.nan, math.inf, -math.inf, "abc", 10**400])
@pytest.mark.parametrize(("strategy", "name"), EVERY)
def test_values_of_the_wrong_type_are_refused_by_name(strategy: str, name: str, value: Any) -> None:
    with pytest.raises(BadInputError, match=rf"^{name} must be a"):
        parse_strategy_params(strategy, {name: value})


@pytest.mark.parametrize("name", [name for _, name in EVERY if name.endswith(("period", "fast", "slow", "signal"))])
def test_half_a_bar_is_refused(name: str) -> None:
    strategy = next(strategy for strategy, given in EVERY if given == name)
    with pytest.raises(BadInputError, match=rf"^{name} must be a whole number"):
        parse_strategy_params(strategy, {name: 14.5})


@pytest.mark.parametrize("strategy", strategy_names())
def test_an_unknown_parameter_is_refused_with_the_known_ones(strategy: str) -> None:
    known = ", ".join(BOUNDS[strategy])
    with pytest.raises(
        BadInputError, match=rf"^unknown parameter 'stop_loss' of the strategy {strategy}; known: {known}"
    ):
        parse_strategy_params(strategy, {"stop_loss": 2})


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(BadInputError, match=r"rsi_period must be .*; rsi_oversold must be .*; unknown parameter 'x'"):
        parse_strategy_params("rsi", {"rsi_period": 0, "oversold": 90, "x": 1})


@pytest.mark.parametrize(
    ("strategy", "short", "canonical"),
    [
        ("rsi", {"period": 10, "overbought": 75, "oversold": 25}, ("rsi_period", "rsi_overbought", "rsi_oversold")),
        ("rsi", {"rsi_period": 14, "overbought": 70, "oversold": 30}, ("rsi_period", "rsi_overbought", "rsi_oversold")),
        ("macd", {"fast": 5, "slow": 30, "signal": 4}, ("macd_fast", "macd_slow", "macd_signal")),
        ("macd", {"fast_period": 5, "slow_period": 30, "signal_period": 4}, ("macd_fast", "macd_slow", "macd_signal")),
        ("bollinger", {"period": 30, "std_dev": 1.5}, ("bb_period", "bb_std")),
        ("bollinger", {"bollinger_period": 30, "multiplier": 1.5}, ("bb_period", "bb_std")),
        ("volume", {"period": 30, "threshold": 3}, ("volume_period", "volume_spike")),
        ("volume", {"sma_period": 30, "spike_threshold": 3.0}, ("volume_period", "volume_spike")),
    ],
)
def test_short_names_are_understood_and_kept_under_the_canonical_ones(
    strategy: str, short: dict[str, Any], canonical: tuple[str, ...]
) -> None:
    params = parse_strategy_params(strategy, short).model_dump()
    assert params == dict(zip(canonical, short.values(), strict=True))


@pytest.mark.parametrize(
    ("strategy", "canonical", "alias"),
    [("rsi", "rsi_period", "period"), ("macd", "macd_fast", "fast"), ("bollinger", "bb_std", "std_dev"),
     ("volume", "volume_spike", "threshold")],
)  # fmt: skip
def test_a_parameter_given_by_two_names_is_refused(strategy: str, canonical: str, alias: str) -> None:
    with pytest.raises(BadInputError, match=f"{canonical} is given twice, also as '{alias}'"):
        parse_strategy_params(strategy, {canonical: 3, alias: 5})


@pytest.mark.parametrize(("fast", "slow"), [(26, 26), (30, 26), (200, 3)])
def test_a_fast_average_that_is_not_below_the_slow_one_is_refused(fast: int, slow: int) -> None:
    with pytest.raises(BadInputError, match=f"^macd_fast must be below macd_slow, got {fast} and {slow}"):
        parse_strategy_params("macd", {"macd_fast": fast, "macd_slow": slow})


@pytest.mark.parametrize("name", ["", "RSI", "rsi ", "moving_average", "__init__", "../rsi", "rsi.py", "definition"])
def test_an_unknown_strategy_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(BadInputError, match=r"^strategy_name must be one of: bollinger, macd, rsi, volume, got "):
        parse_strategy_params(name, {})


# The account and the terms of trading


def ask(**more: Any) -> BacktestRequest:
    given = {"start_ms": at_ms("2024-03-01"), "end_ms": at_ms("2024-03-05"), **more}
    return BacktestRequest("rsi", "BTCUSDT", "1h", params=parse_strategy_params("rsi", {}), **given)


@pytest.mark.parametrize("cash", [0, -1, -1e-9, math.nan, math.inf])
def test_no_cash_or_none_that_is_a_number_is_refused(cash: float) -> None:
    with pytest.raises(BadInputError, match=f"^initial_cash_usdt must be a number above 0, got {cash}"):
        ask(cash_usdt=cash)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    for end in ("2024-03-01", "2024-02-01"):
        with pytest.raises(BadInputError, match=f"end_date must lie after start_date, got 2024-03-01 to {end}"):
            ask(end_ms=at_ms(end))


def test_parts_of_days_are_refused() -> None:
    with pytest.raises(BadInputError, match="whole days"):
        ask(start_ms=at_ms("2024-03-01T12:00"))


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(BadInputError, match="direction must be one of: both, long, short, got 'up'"):
        ask(direction="up")


@pytest.mark.parametrize("name", LIMITS)
def test_terms_of_trading_beyond_their_limits_are_refused_by_name(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low - 0.001, high + 0.001, math.nan, math.inf):
        with pytest.raises(BadInputError, match=f"^{name} must be between {low} and {high}, got {value}"):
            TradingCosts(**{name: value})


@pytest.mark.parametrize("name", LIMITS)
def test_terms_of_trading_at_their_limits_are_accepted(name: str) -> None:
    for value in LIMITS[name]:
        assert getattr(TradingCosts(**{name: value}), name) == value


def test_half_a_bar_of_latency_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"latency_bars must be a whole number, got 1\.5"):
        TradingCosts(latency_bars=1.5)  # type: ignore[arg-type]


def test_costs_that_would_take_the_whole_account_at_a_leverage_are_refused_before_any_trade() -> None:
    with pytest.raises(BadInputError, match=r"leverage must be below 9\.901 .* got 10: .* 101 % of the account"):
        TradingCosts(fee_pct=5, spread_pct=0.06, slippage_pct=0.02, leverage=10)
    assert TradingCosts(fee_pct=5, spread_pct=0.06, slippage_pct=0.02, leverage=9.9)
