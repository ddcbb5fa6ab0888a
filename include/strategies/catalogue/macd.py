"""MACD: goes with the trend, long or short, and turns when the MACD line crosses its signal line."""

from __future__ import annotations

import numpy as np
from pydantic import AliasChoices, model_validator

from include.market.candles import Candles
from include.market.indicators import macd
from include.strategies.definition import Indicator, Positions, StrategyDefinition, StrategyParams, searched


class MacdParams(StrategyParams):
    """Spans of the three exponential averages, in bars."""

    macd_fast: int = searched(
        12, 6, 20, 2, ge=2, le=200, validation_alias=AliasChoices("macd_fast", "fast", "fast_period")
    )
    macd_slow: int = searched(
        26, 20, 50, 5, ge=3, le=400, validation_alias=AliasChoices("macd_slow", "slow", "slow_period")
    )
    macd_signal: int = searched(
        9, 5, 15, 2, ge=2, le=200, validation_alias=AliasChoices("macd_signal", "signal", "signal_period")
    )

    @model_validator(mode="after")
    def _fast_below_slow(self) -> MacdParams:
        if self.macd_fast >= self.macd_slow:
            raise ValueError(f"macd_fast must be below macd_slow, got {self.macd_fast} and {self.macd_slow}")
        return self


class Macd(StrategyDefinition[MacdParams]):
    """Trend following."""

    title = "MACD"
    rule = "long while the MACD line is above its signal line, short while it is below, none while they are equal"
    params_model = MacdParams

    def lookback(self, params: MacdParams) -> int:
        return params.macd_slow + params.macd_signal

    def positions(self, candles: Candles, params: MacdParams) -> Positions:
        histogram = macd(candles.close, params.macd_fast, params.macd_slow, params.macd_signal).histogram
        # Where the price stands still, the two lines differ by rounding alone.
        flat = np.abs(histogram) <= 1e-12 * candles.close
        wanted = np.where(flat, 0, np.sign(histogram)).astype(np.int8)
        # Its averages start at the first close, so the first bars say more about the start than about the trend.
        wanted[: self.lookback(params)] = 0
        return wanted

    def indicators(self, candles: Candles, params: MacdParams) -> list[Indicator]:
        found = macd(candles.close, params.macd_fast, params.macd_slow, params.macd_signal)
        return [Indicator("MACD", found.line, overlay=False), Indicator("MACD signal", found.signal, overlay=False)]


STRATEGY = Macd()
