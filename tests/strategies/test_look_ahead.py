"""Strategies that peek are caught with the bar at which they did; those that do not are left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from include.market.candles import Candles
from include.market.indicators import atr, ema, rolling_mean, rsi
from include.strategies.definition import Positions
from include.strategies.look_ahead import LookAheadError, check_look_ahead, cut_points
from include.strategies.registry import get_strategy, parse_strategy_params, strategy_names
from tests.ml.real_candles import real_candles
from tests.strategies.scenes import START, at_ms, standing, walk

Decide = Callable[[Candles], Positions]


def signs(values: np.ndarray) -> Positions:
    return np.sign(np.nan_to_num(values)).astype(np.int8)


def next_close(candles: Candles) -> Positions:
    """Peek: the sign of the next bar's move."""
    return signs(np.append(np.diff(candles.close), 0.0))


def next_close_or_none(candles: Candles) -> Positions:
    """Peek: the next bar's close where there is one, and the position of the bar before where there is none."""
    moves = np.diff(candles.close)
    return signs(np.append(moves, moves[-1:] if len(moves) else 0.0))


def centred_mean(candles: Candles) -> Positions:
    """Peek: a mean that reaches as far into the future as into the past."""
    padded = np.pad(candles.close, 10, mode="edge")
    return signs(candles.close - np.convolve(padded, np.full(21, 1 / 21), mode="valid"))


def whole_series(candles: Candles) -> Positions:
    """Peek: a price is high or low compared with all prices, later ones included."""
    score = (candles.close - candles.close.mean()) / candles.close.std() if len(candles) else candles.close
    return (-(score > 1).astype(np.int8) + (score < -1).astype(np.int8)).astype(np.int8)


def from_the_end(candles: Candles) -> Positions:
    """Peek: groups of four bars that are counted from the newest one."""
    position = np.arange(len(candles))[::-1] // 4 % 2
    return (2 * position - 1).astype(np.int8)


def highest_ever(candles: Candles) -> Positions:
    """Peek: long until the highest close of all."""
    return (np.arange(len(candles)) < np.argmax(candles.close)).astype(np.int8)


def filled_backwards(candles: Candles) -> Positions:
    """Peek: what is not known yet is filled in from later."""
    mean = rolling_mean(candles.close, 30)
    first = mean[np.argmax(~np.isnan(mean))]
    return signs(candles.close - np.where(np.isnan(mean), first, mean))


PEEKING: list[Decide] = [
    next_close, next_close_or_none, centred_mean, whole_series, from_the_end, highest_ever, filled_backwards,
]  # fmt: skip


@pytest.mark.parametrize("decide", PEEKING)
@pytest.mark.parametrize("seed", range(5))
def test_a_strategy_that_peeks_is_caught(decide: Decide, seed: int) -> None:
    with pytest.raises(LookAheadError, match="The strategy looks ahead: at the bar of 2024-"):
        check_look_ahead(walk(seed, 1000), decide)


def test_the_offending_bar_and_what_it_could_not_know_are_named() -> None:
    candles = walk(1, 300)
    with pytest.raises(LookAheadError) as caught:
        check_look_ahead(candles, next_close, cuts=4)
    end = next(end for end in cut_points(next_close(candles), 4) if next_close(candles)[end - 1] != 0)
    bar = np.datetime64(int(candles.open_time[end - 1]), "ms")
    assert f"at the bar of {bar}+00:00 it wants".replace(".000", "") in str(caught.value)
    assert f"when the data ends with the bar of {bar}+00:00".replace(".000", "") in str(caught.value)


def test_a_mean_that_reaches_ahead_is_caught_within_its_reach() -> None:
    candles = walk(4, 800)
    with pytest.raises(LookAheadError) as caught:
        check_look_ahead(candles, centred_mean)
    times = [str(caught.value).split("the bar of ")[part][:19] for part in (1, 2)]
    seen, known = (at_ms(time) for time in times)
    assert 0 <= (known - seen) / candles.bar_ms < 10


def rare_and_true(share: float) -> Decide:
    """Return a strategy that follows the RSI, but leaves some positions a bar early when the next bar says so."""

    def decide(candles: Candles) -> Positions:
        level = np.nan_to_num(rsi(candles.close, 14), nan=50.0)
        wanted = np.where(level < 40, 1, np.where(level > 60, -1, 0)).astype(np.int8)
        moves = np.append(np.diff(candles.close), 0.0)
        chosen = np.random.default_rng(1).random(100_000)[: len(candles)] < share
        wanted[chosen & (wanted > 0) & (moves < 0)] = 0
        return wanted

    return decide


@pytest.mark.parametrize("seed", range(5))
def test_peeking_at_one_bar_in_twenty_is_caught(seed: int) -> None:
    candles = walk(seed, 3000)
    honest, peeking = rare_and_true(0.0), rare_and_true(0.05)
    assert 0.001 < np.mean(honest(candles) != peeking(candles)) < 0.05
    check_look_ahead(candles, honest)
    with pytest.raises(LookAheadError):
        check_look_ahead(candles, peeking)


@pytest.mark.parametrize("bars_ahead", [1, 2, 5, 24])
def test_a_single_trade_in_a_year_that_peeks_is_caught(bars_ahead: int) -> None:
    candles = walk(11, 8760, 0.004)
    crash = 6000
    candles.close[crash:] *= 0.7

    def sells_before_the_crash(known: Candles) -> Positions:
        moves = np.diff(np.log(known.close))
        seen = np.flatnonzero(moves < -0.2)
        wanted = np.ones(len(known), dtype=np.int8)
        if len(seen):
            wanted[max(int(seen[0]) + 1 - bars_ahead, 0) :] = 0
        return wanted

    with pytest.raises(LookAheadError):
        check_look_ahead(candles, sells_before_the_crash)


@pytest.mark.parametrize("seed", range(5))
def test_a_position_that_changes_at_random_and_peeks_is_caught(seed: int) -> None:
    def decide(candles: Candles) -> Positions:
        # A hash of the next close: as good as random, and not to be had without it.
        following = np.append(candles.close[1:], candles.close[-1:])
        return (np.floor(following * 1e6) % 3 - 1).astype(np.int8)

    with pytest.raises(LookAheadError):
        check_look_ahead(walk(seed, 500), decide)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
@pytest.mark.parametrize("strategy", strategy_names())
def test_the_real_strategies_pass(market_data_dir: Path, strategy: str, symbol: str) -> None:
    candles = real_candles(market_data_dir, symbol, "2025-01-01", 120)
    definition, params = get_strategy(strategy), parse_strategy_params(strategy, {})
    check = check_look_ahead(candles, lambda known: definition.positions(known, params))
    assert check.to_dict()["passed"]
    assert check.cuts > 250
    assert check.decisions > 250 * len(candles) / 3


def test_averages_that_remember_everything_pass() -> None:
    def decide(candles: Candles) -> Positions:
        calm = atr(candles.high, candles.low, candles.close) < 2
        return np.where(calm, signs(candles.close - ema(candles.close, 100)), 0).astype(np.int8)

    check_look_ahead(walk(3, 1000), decide)


@pytest.mark.parametrize("bars", [1, 2, 3, 10, 50])
def test_short_series_are_checked_as_far_as_they_go(bars: int) -> None:
    candles = standing(1, bars, start=START)
    check = check_look_ahead(candles, lambda known: np.zeros(len(known), dtype=np.int8))
    assert check.cuts <= bars - 1


def test_all_changes_are_cut_when_they_are_few_and_each_has_a_chance_when_they_are_many() -> None:
    few = np.zeros(1000, dtype=np.int8)
    few[[200, 201, 700]] = 1
    ends = cut_points(few, 400)
    for change in (200, 202, 700, 701):
        assert {change, change + 1} <= set(ends)
    many = (np.arange(1000) // 2 % 2).astype(np.int8)
    ends = cut_points(many, 400)
    assert 250 <= len(ends) <= 400
    assert len({end // 100 for end in ends}) == 10
    assert ends == cut_points(many, 400)
