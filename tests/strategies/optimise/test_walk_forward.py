"""Walk-forward: the choice knows nothing of the test part, and what it says of a search is computed by hand here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment, Variation
from include.strategies.optimise.walk_forward import Stitched, WalkedWindow, efficiency, stability
from include.strategies.optimise.windows import Window
from include.strategies.registry import get_strategy
from tests.strategies.optimise.prices import martingale
from tests.strategies.optimise.scenes import optimised, request

PRICES = ("open", "high", "low", "close")


def window(number: int, inside: list[float], outside: list[float], period: int = 14, trades: int = 3) -> WalkedWindow:
    """Return a window with these daily returns."""

    def run(returns: list[float]) -> Variation:
        parameters = {"rsi_period": period, "rsi_overbought": 70.0, "rsi_oversold": 30.0}
        return Variation("key", parameters, {"total_trades": trades}, np.array(returns))

    test = Segment("test", number * len(outside) * DAY_MS, (number + 1) * len(outside) * DAY_MS)
    return WalkedWindow(Window(replace(test, name="train"), test), run(inside), run(outside))


def test_tc_async_073_test_parts_are_stitched_end_to_end_all_of_it_reinvested() -> None:
    stitched = Stitched.of([window(0, [0.0], [0.1, -0.5]), window(1, [0.0], [0.2, 0.0])])
    assert stitched.equity(1000.0) == pytest.approx([1100, 550, 660, 660])
    assert stitched.total_return_pct == pytest.approx(-34)
    assert stitched.max_drawdown_pct == pytest.approx(50)
    assert stitched.trades == 6
    assert stitched.day_ms.tolist() == [0, DAY_MS, 2 * DAY_MS, 3 * DAY_MS]


def test_efficiency_is_what_is_left_out_of_sample_of_what_was_earned_in_sample() -> None:
    value, reason = efficiency([window(0, [0.02, 0.04], [0.01, 0.01]), window(1, [0.02, 0.0], [0.02, 0.0])])
    assert value == pytest.approx(0.01 / 0.02)
    assert reason is None


def test_efficiency_has_no_meaning_where_nothing_was_earned_or_chosen() -> None:
    assert efficiency([window(0, [-0.02, 0.01], [0.01, 0.01])])[0] is None
    unchosen = WalkedWindow(window(0, [0.0], [0.0]).window, None, None)
    value, reason = efficiency([unchosen])
    assert value is None
    assert reason == "no variation traded in any window"


def test_stability_says_how_far_the_choices_lie_apart() -> None:
    space = SearchSpace.of(get_strategy("rsi"))
    found = stability([window(0, [0.0], [0.0], period=12), window(1, [0.0], [0.0], period=17)], space)
    assert found["rsi_period"] == {"values": [12, 17], "low": 10, "high": 20, "spread": 0.5}
    assert found["rsi_oversold"]["spread"] == 0.0


@pytest.fixture(scope="module")
def candles() -> Candles:
    return martingale(8, 45)


def test_choices_do_not_depend_on_what_comes_after_the_train_part(candles: Candles) -> None:
    """All prices after the first window's train part are others: its choice and the figures of it stay the same."""
    order = request(45, strategy="macd")
    before = optimised(candles, order).parts
    train_end = before.walked[0].window.train.end_ms
    assert train_end < before.plan.final.train.end_ms
    late = candles.open_time >= train_end
    factor = np.exp(np.cumsum(np.where(late, np.random.default_rng(1).normal(0, 0.03, len(late)), 0.0)))
    changed = replace(candles, **{name: getattr(candles, name) * factor for name in PRICES})
    after = optimised(changed, order).parts
    first, again = before.walked[0].chosen, after.walked[0].chosen
    assert first is not None
    assert again is not None
    assert again.to_stored() == first.to_stored()
    assert after.walked[0].returns.tolist() != before.walked[0].returns.tolist()


def test_a_choice_is_run_fresh_on_the_test_part(candles: Candles) -> None:
    """The test part's run is that of a period of its own: begun with the cash, closed at its end."""
    parts = optimised(candles, request(45)).parts
    for walked in (*parts.walked, WalkedWindow(parts.plan.final, parts.found.best, parts.tested)):
        assert walked.tested is not None
        figures = walked.tested.figures
        grown = 10_000.0 * np.prod(1 + walked.returns)
        assert figures["final_equity_usdt"] == pytest.approx(grown, rel=1e-6)
        assert len(walked.returns) == walked.window.test.days
