"""No edge from nothing, and an edge where there is one. The full form is `python -m benchmarks edge`."""

from __future__ import annotations

from tests.strategies.optimise.experiment import Trial, examine, gross_z, mean_pbo

DAYS, VARIATIONS, WINDOWS = 180, 16, 3


def test_on_prices_without_an_edge_nothing_is_earned_before_costs_and_hardly_anything_is_called_robust() -> None:
    found = [examine(Trial(seed, False, DAYS, VARIATIONS, windows=WINDOWS)) for seed in range(12)]
    assert abs(gross_z(found)) < 3
    assert 0.25 < mean_pbo(found) < 0.7
    assert sum(finding.verdict == "robust" for finding in found) <= 1


def test_planted_mean_reversion_is_found_and_called_robust() -> None:
    found = [examine(Trial(seed, True, DAYS, VARIATIONS, windows=WINDOWS)) for seed in range(3)]
    assert [finding.verdict for finding in found] == ["robust"] * 3, [finding.reasons for finding in found]
