"""The probability of backtest overfitting, on matrices whose truth is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from include.strategies.optimise.cscv import Overfitting, blocks_for, overfitting

Returns = NDArray[np.float64]


def by_hand(returns: Returns, blocks: int) -> tuple[float, float]:
    """Return PBO and probability of loss as the paper says them, one split after the other."""
    parts = [returns[first:end] for first, end in zip(*_edges(len(returns), blocks), strict=True)]
    below = lost = splits = 0.0
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[i] for i in chosen])
        outside = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        ratios = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        rank = 1 + (ratios < ratios[best]).sum() + ((ratios == ratios[best]).sum() - 1) / 2
        place = rank / (returns.shape[1] + 1)
        below += 1.0 if place < 0.5 else 0.5 if place == 0.5 else 0.0
        lost += outside[:, best].mean() < 0
        splits += 1
    return below / splits, lost / splits


def _edges(days: int, blocks: int) -> tuple[list[int], list[int]]:
    edges = [int(edge) for edge in np.linspace(0, days, blocks + 1)]
    return edges[:-1], edges[1:]


def found(returns: Returns, blocks: int) -> Overfitting:
    """Return what CSCV says, there being something to say."""
    answer = overfitting(returns, blocks)
    assert answer is not None
    return answer


@pytest.mark.parametrize(("days", "variations", "blocks"), [(64, 7, 8), (67, 10, 8), (101, 5, 10)])
def test_block_sums_say_the_same_as_the_splits_one_by_one(days: int, variations: int, blocks: int) -> None:
    rng = np.random.default_rng([days, variations])
    returns = rng.normal(0.02, 1.0, (days, variations)) + rng.normal(0, 0.1, variations)
    pbo, loss = by_hand(returns, blocks)
    answer = found(returns, blocks)
    assert answer.pbo == pytest.approx(pbo, abs=1e-12)
    assert answer.loss_probability == pytest.approx(loss, abs=1e-12)
    assert answer.splits == len(list(combinations(range(blocks), blocks // 2)))


@pytest.mark.parametrize(("days", "variations"), [(128, 20), (131, 21)])
def test_on_noise_the_best_in_sample_is_below_the_median_every_other_time(days: int, variations: int) -> None:
    rng = np.random.default_rng([days, 11])
    pbos = [found(rng.normal(size=(days, variations)), 8).pbo for _ in range(400)]
    assert abs(np.mean(pbos) - 0.5) < 3 * np.std(pbos, ddof=1) / np.sqrt(len(pbos))


def test_a_variation_that_is_truly_better_is_chosen_again_and_again() -> None:
    returns = np.random.default_rng(1).normal(0, 1, (160, 20))
    returns[:, 7] += 1.0
    answer = found(returns, 16)
    assert answer.pbo < 0.01
    assert answer.loss_probability < 0.01


def test_what_was_good_in_one_half_only_is_overfitting() -> None:
    """Each variation is good in the blocks of one half and as bad in the others."""
    halves = list(combinations(range(8), 4))
    returns = np.array([[1.0 if block in half else -1.0 for half in halves] for block in range(8)]).repeat(8, axis=0)
    returns += np.random.default_rng(2).normal(0, 0.1, returns.shape)
    answer = found(returns, 8)
    assert answer.pbo == 1.0
    assert answer.loss_probability == 1.0
    assert answer.degradation_slope is not None


def test_where_all_variations_are_equally_good_no_choice_loses() -> None:
    answer = found(np.random.default_rng(3).normal(1.0, 1.0, (160, 30)), 16)
    assert 0.2 < answer.pbo < 0.8
    assert answer.loss_probability == 0.0


def test_identical_variations_share_their_ranks() -> None:
    returns = np.random.default_rng(4).normal(size=(64, 1)).repeat(6, axis=1)
    assert found(returns, 8).pbo == 0.5


def test_a_variation_that_never_traded_takes_no_part_and_one_that_seldom_did_is_not_chosen_for_nothing() -> None:
    rng = np.random.default_rng(5)
    returns = np.zeros((64, 4))
    returns[:, :2] = rng.normal(-0.5, 1, (64, 2))
    returns[:8, 2] = 5.0  # one good week, nothing in the other seven blocks
    answer = found(returns, 8)
    assert answer.variations == 3
    assert np.isfinite([answer.pbo, answer.loss_probability]).all()


@pytest.mark.parametrize("returns", [np.zeros((64, 5)), np.random.default_rng(6).normal(size=(64, 1))])
def test_fewer_than_two_variations_that_moved_have_no_answer(returns: Returns) -> None:
    assert overfitting(returns, 8) is None


@pytest.mark.parametrize(("days", "blocks"), [(1000, 16), (64, 16), (63, 14), (32, 8), (31, 0), (0, 0)])
def test_short_series_are_cut_into_fewer_blocks_or_not_at_all(days: int, blocks: int) -> None:
    assert blocks_for(days) == blocks
