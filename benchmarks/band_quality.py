"""How honest a forecast band is: coverage, also month by month, and sharpness against the plain empirical band."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.ml.evaluation import coverage_pct, pinball_loss
from include.ml.features import trailing_volatility
from include.ml.labels import QUANTILE_HORIZONS, QUANTILES, scaled_returns

if TYPE_CHECKING:
    from include.market.candles import Candles
    from include.ml.predictor import Predictions

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BandQuality:
    """Keys are horizons in bars, as text.

    `coverage_pct` is the share of returns between the 10 and 90 % quantile (80 is right), `coverage_by_month` the
    same for each month ("2024-01"). `pinball_ratio` is the pinball loss over that of the empirical band on the same
    bars: below 1 the model knows more than the past's spread times the trailing volatility.
    """

    coverage_pct: dict[str, float]
    coverage_by_month: dict[str, dict[str, float]]
    pinball_ratio: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)


def empirical_band(candles: Candles, start_ms: int, end_ms: int) -> FloatArray:
    """Return the 10, 50 and 90 % quantiles `(H, 3)` of the scaled returns that began and ended in the range.

    Times the trailing volatility they are the band that needs no network.
    """
    returns = scaled_returns(candles.close, trailing_volatility(candles.close))
    band = np.empty((len(QUANTILE_HORIZONS), len(QUANTILES)))
    for column, horizon in enumerate(QUANTILE_HORIZONS):
        first, last = np.searchsorted(candles.open_time, [start_ms, end_ms])
        seen = returns[first : max(first, last - horizon), column]
        band[column] = np.quantile(seen[np.isfinite(seen)], QUANTILES)
    return band


def judge_band(forecast: Predictions, candles: Candles, empirical: FloatArray) -> BandQuality:
    """Compare the forecasts of bars of `candles` with what happened, and with the empirical band `(H, 3)`."""
    volatility = trailing_volatility(candles.close)
    rows = np.searchsorted(candles.open_time, forecast.open_time)
    unit = volatility[rows][:, None] * np.sqrt(QUANTILE_HORIZONS)
    actual = scaled_returns(candles.close, volatility)[rows] * unit
    quantiles = forecast.log_return_quantiles
    low, high = quantiles[:, :, 0], quantiles[:, :, -1]
    months = forecast.open_time.astype("datetime64[ms]").astype("datetime64[M]")
    mine = pinball_loss(quantiles, actual, QUANTILES, QUANTILE_HORIZONS)
    plain = pinball_loss(unit[:, :, None] * empirical, actual, QUANTILES, QUANTILE_HORIZONS)
    return BandQuality(
        coverage_pct=coverage_pct(low, high, actual, QUANTILE_HORIZONS),
        coverage_by_month={
            str(month): coverage_pct(low[at], high[at], actual[at], QUANTILE_HORIZONS)
            for month in np.unique(months)
            for at in [months == month]
        },
        pinball_ratio={horizon: mine[horizon] / plain[horizon] for horizon in mine},
    )
