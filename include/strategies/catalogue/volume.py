"""Volume: follows the direction of a bar that was traded far more than usual, while the price keeps to its side."""

from __future__ import annotations

import numpy as np
from pydantic import AliasChoices

from include.market.candles import Candles
from include.market.indicators import FloatArray, rolling_mean
from include.strategies.definition import Indicator, Positions, StrategyDefinition, StrategyParams, searched
from include.strategies.holding import hold


class VolumeParams(StrategyParams):
    """Bars of the two means, and how many times the usual volume is a spike."""

    volume_period: int = searched(
        20, 10, 50, 5, ge=2, le=400, validation_alias=AliasChoices("volume_period", "sma_period", "period")
    )
    volume_spike: float = searched(
        2.0, 1.5, 4.0, 0.25, gt=1, le=100,
        validation_alias=AliasChoices("volume_spike", "spike_threshold", "volume_threshold", "threshold"),
    )  # fmt: skip


class VolumeSpike(StrategyDefinition[VolumeParams]):
    """Breakout."""

    title = "Volume spikes"
    rule = (
        "long after a rising bar with volume_spike times the mean volume of the bars before it, until a close below "
        "the mean close; short after a falling one, until a close above it"
    )
    params_model = VolumeParams

    def lookback(self, params: VolumeParams) -> int:
        return params.volume_period + 1

    def positions(self, candles: Candles, params: VolumeParams) -> Positions:
        usual, mean = self._means(candles, params)
        close = candles.close
        spike = (candles.volume >= params.volume_spike * usual) & (usual > 0)
        rising, falling = close > candles.open, close < candles.open
        return hold(spike & rising, close < mean, spike & falling, close > mean)

    def indicators(self, candles: Candles, params: VolumeParams) -> list[Indicator]:
        usual, mean = self._means(candles, params)
        return [Indicator("mean close", mean, overlay=True), Indicator("usual volume", usual, overlay=False)]

    @staticmethod
    def _means(candles: Candles, params: VolumeParams) -> tuple[FloatArray, FloatArray]:
        """Return the mean volume of the bars before each bar, and the mean close up to it."""
        usual = np.full(len(candles), np.nan)
        usual[1:] = rolling_mean(candles.volume, params.volume_period)[:-1]
        return usual, rolling_mean(candles.close, params.volume_period)


STRATEGY = VolumeSpike()
