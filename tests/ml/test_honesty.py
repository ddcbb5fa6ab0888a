"""Where nothing can be learned no edge may be shown, and where something can it must be found.

The quick form; `benchmarks/bench_honesty.py` is the full one: 40 walks and 20 signals for each type, and
at least 1,752 bars held out. An honest 95 % interval lies above zero in 2.5 % of the walks.
"""

from __future__ import annotations

import pytest

from include.ml.config import ModelType, Target
from tests.ml.trials import Trial, run_trial

pytestmark = pytest.mark.long


@pytest.mark.parametrize("target", ["return", "trend"])
def test_lstm_shows_an_edge_on_at_most_two_of_ten_random_walks(target: Target) -> None:
    results = [run_trial(Trial("lstm", target, False, seed, bars=1800, epochs=3)) for seed in range(10)]
    assert sum(result.edge for result in results) <= 2, results


@pytest.mark.parametrize("model_type", ["gru", "transformer"])
def test_the_other_types_show_an_edge_on_at_most_one_of_three_random_walks(model_type: ModelType) -> None:
    results = [run_trial(Trial(model_type, "return", False, seed, bars=1800, epochs=3)) for seed in range(3)]
    assert sum(result.edge for result in results) <= 1, results


@pytest.mark.parametrize(("model_type", "seeds"), [("lstm", 3), ("gru", 1), ("transformer", 1)])
def test_a_planted_signal_that_the_baseline_cannot_see_is_found(model_type: ModelType, seeds: int) -> None:
    results = [run_trial(Trial(model_type, "return", True, seed, bars=4400, epochs=5)) for seed in range(seeds)]
    assert all(result.edge for result in results), results
    assert all(result.bars >= 1752 for result in results)
