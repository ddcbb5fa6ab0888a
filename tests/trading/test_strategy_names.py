"""One strategy, two spellings."""

from __future__ import annotations

import pytest

from include.errors import MalformedAnswerError
from include.trading.strategy_names import ENGINE_NAMES, canonical_name, engine_name
from include.trading.trades import parse_trade, parse_trades
from tests.trading.engine_answers import trade


@pytest.mark.parametrize(("short", "long"), ENGINE_NAMES.items())
def test_both_spellings_mean_the_same_strategy(short: str, long: str) -> None:
    for spelling in (short, long, short.upper(), long.lower(), f" {long} "):
        assert canonical_name(spelling) == short
        assert engine_name(spelling) == long


@pytest.mark.parametrize("name", ["RSI", "rsi strategy", "macd"])
def test_case_does_not_matter(name: str) -> None:
    assert canonical_name(name) in ENGINE_NAMES


@pytest.mark.parametrize("name", ["RSI Strategy v2", "rsi2", "Grid", "bollinger bands"])
def test_unknown_names_are_kept_and_never_guessed(name: str) -> None:
    assert canonical_name(name) == name
    assert engine_name(name) == name


def test_trade_carries_the_canonical_name_or_none() -> None:
    assert parse_trade(trade()).strategy is None
    assert parse_trade(trade(strategy=None)).strategy is None
    assert parse_trade(trade(strategy=" ")).strategy is None
    assert parse_trade(trade(strategy="RSI Strategy")).strategy == "rsi"
    assert parse_trade(trade(strategy="Grid")).strategy == "Grid"


@pytest.mark.parametrize("wrong", [5, True, ["rsi"], {"name": "rsi"}])
def test_strategy_that_is_no_text_is_malformed(wrong: object) -> None:
    with pytest.raises(MalformedAnswerError, match="strategy"):
        parse_trade(trade(strategy=wrong))


def test_one_trade_of_two_strategies_cannot_be_believed() -> None:
    with pytest.raises(MalformedAnswerError, match="comes twice"):
        parse_trades([trade(id="a", strategy="rsi"), trade(id="a", strategy="macd")])
