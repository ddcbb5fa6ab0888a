"""Bollinger bands: buys below the lower band, sells above the upper one, and leaves at the mean."""

from __future__ import annotations

from pydantic import AliasChoices

from include.market.candles import Candles
from include.market.indicators import bollinger
from include.strategies.definition import Indicator, Positions, StrategyDefinition, StrategyParams, searched
from include.strategies.holding import hold


class BollingerParams(StrategyParams):
    """Bars of the mean, and the bands' distance from it in standard deviations."""

    bb_period: int = searched(
        20, 10, 40, 2, ge=2, le=400, validation_alias=AliasChoices("bb_period", "bollinger_period", "period")
    )
    bb_std: float = searched(
        2.0, 1.5, 3.0, 0.25, gt=0, le=10,
        validation_alias=AliasChoices("bb_std", "bollinger_std", "std_dev", "multiplier"),
    )  # fmt: skip


class BollingerBands(StrategyDefinition[BollingerParams]):
    """Mean reversion."""

    title = "Bollinger bands"
    rule = (
        "long when the close is below the lower band, until it is back at the mean; "
        "short when it is above the upper band, likewise"
    )
    params_model = BollingerParams

    def lookback(self, params: BollingerParams) -> int:
        return params.bb_period

    def positions(self, candles: Candles, params: BollingerParams) -> Positions:
        # 0 on the lower band, 1 on the upper one, and 0.5 also where a price that stands still leaves no room between.
        at = bollinger(candles.close, params.bb_period, params.bb_std).position
        return hold(at < 0, at >= 0.5, at > 1, at <= 0.5)

    def indicators(self, candles: Candles, params: BollingerParams) -> list[Indicator]:
        bands = bollinger(candles.close, params.bb_period, params.bb_std)
        return [
            Indicator("lower band", bands.lower, overlay=True),
            Indicator("mean", bands.middle, overlay=True),
            Indicator("upper band", bands.upper, overlay=True),
        ]


STRATEGY = BollingerBands()
