"""A strategy is one file: put into the catalogue it is known, checked and traded."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from include.errors import BadInputError
from include.market import indicators
from include.strategies import registry
from include.strategies.backtest import run_backtest
from include.strategies.definition import StrategyDefinition
from include.strategies.registry import get_strategy, parse_strategy_params, strategy_names
from include.strategies.request import BacktestRequest
from tests.conftest import REPOSITORY
from tests.ml.real_candles import at_ms
from tests.strategies.scenes import walk

FIFTH = '''"""Momentum: holds what is dearer than some bars ago."""

from include.market.candles import Candles
from include.market.indicators import log_returns
from include.strategies.definition import Indicator, Positions, StrategyDefinition, StrategyParams, searched
import numpy as np


class MomentumParams(StrategyParams):
    """Bars to look back."""

    momentum_period: int = searched(24, 6, 48, 6, ge=1, le=200)


class Momentum(StrategyDefinition[MomentumParams]):
    """Trend following."""

    title = "Momentum"
    rule = "long while the close is above that of momentum_period bars ago"
    params_model = MomentumParams

    def lookback(self, params: MomentumParams) -> int:
        return params.momentum_period

    def positions(self, candles: Candles, params: MomentumParams) -> Positions:
        return (log_returns(candles.close, params.momentum_period) > 0).astype(np.int8)

    def indicators(self, candles: Candles, params: MomentumParams) -> list[Indicator]:
        return [Indicator("momentum", log_returns(candles.close, params.momentum_period), overlay=False)]


STRATEGY = Momentum()
'''


@pytest.fixture
def bigger_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the catalogue's package a second folder, with a fifth strategy in it; the checkout stays as it is."""
    package = importlib.import_module(registry.CATALOGUE)
    (tmp_path / "momentum.py").write_text(FIFTH)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    yield "momentum"
    sys.modules.pop(f"{registry.CATALOGUE}.momentum", None)


def test_the_four_strategies_are_known() -> None:
    assert strategy_names() == ("bollinger", "macd", "rsi", "volume")


def test_a_fifth_strategy_is_one_file(bigger_catalogue: str) -> None:
    assert strategy_names() == ("bollinger", "macd", "momentum", "rsi", "volume")
    assert get_strategy("momentum").search_space()["momentum_period"].values() == (6, 12, 18, 24, 30, 36, 42, 48)
    params = parse_strategy_params("momentum", {"momentum_period": 12})
    request = BacktestRequest("momentum", "TESTUSDT", "1h", at_ms("2024-03-01"), at_ms("2024-03-21"), params)
    outcome = run_backtest(request, walk(2, 24 * 20), lambda _percent, _details: None)
    assert outcome.results["total_trades"] > 5
    assert outcome.results["parameters_used"] == {"momentum_period": 12}
    assert outcome.look_ahead["passed"]
    with pytest.raises(BadInputError, match="momentum_period must be a whole number >= 1 and <= 200"):
        parse_strategy_params("momentum", {"momentum_period": 0})


def test_without_the_file_the_fifth_strategy_is_unknown() -> None:
    with pytest.raises(BadInputError, match="one of: bollinger, macd, rsi, volume, got 'momentum'"):
        get_strategy("momentum")


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_explains_itself_and_can_be_searched(name: str) -> None:
    definition: StrategyDefinition = get_strategy(name)
    assert definition.title
    assert definition.rule
    params = parse_strategy_params(name, {})
    candles = walk(1, 200)
    for indicator in definition.indicators(candles, params):
        assert indicator.values.shape == (200,)
        assert np.isfinite(indicator.values[definition.lookback(params) :]).all()
    positions = definition.positions(candles, params)
    assert positions.dtype == np.int8
    # The first position may follow from the bar at which the longest indicator is known.
    assert not positions[: definition.lookback(params) - 1].any()
    for parameter, values in definition.search_space().items():
        for value in (values.values()[0], values.values()[-1]):
            ready = {"macd_fast": 2} if parameter == "macd_slow" else {"macd_slow": 400}
            extra = ready if name == "macd" and parameter != "macd_signal" and parameter not in ready else {}
            assert getattr(parse_strategy_params(name, {**extra, parameter: value}), parameter) == value
        assert getattr(params, parameter) is not None


def test_there_is_one_rsi_in_the_project() -> None:
    definition, params = get_strategy("rsi"), parse_strategy_params("rsi", {})
    candles = walk(1, 100)
    (shown,) = definition.indicators(candles, params)
    np.testing.assert_array_equal(shown.values, indicators.rsi(candles.close, 14))
    found = subprocess.run(
        ["grep", "-rlE", r"def (rsi|_rsi|macd|bollinger|rolling_mean)\(", "include"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.split() == ["include/market/indicators.py"]


def test_the_names_are_known_without_loading_a_library() -> None:
    code = (
        "import sys; from include.strategies.registry import strategy_names; strategy_names(); "
        "assert not {'numpy', 'backtesting', 'bokeh', 'pandas'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
