"""From a model's quantiles at a few horizons to a price, a band and a confidence for every hour.

**Between the horizons** the quantiles are interpolated linearly in the hour, each divided by the square root of
its horizon: a random walk has the same scaled quantiles at every horizon, so what is interpolated is how the forecast
differs from one, and the band widens smoothly. Quantiles that were in order stay in order at every hour.

**Confidence** is a probability: that the price ends up within 1 % of the predicted one, under the forecast's own
distribution. 0.8 at hour 4 says: the model expects 80 of 100 such forecasts to be at most 1 % off. The distribution is
that of Student with 3 degrees of freedom, whose lower half goes through the 10 % quantile and whose upper half goes
through the 90 % quantile:

    confidence = F(x / low) + F(x / high) - 1,   x = ln(1.01),   low = (median - q10) / 1.638,  high alike

Hourly returns have heavy tails, about as heavy as these (R. Cont, Empirical properties of asset returns, 2001).
Measured on BTCUSDT, ETHUSDT and DOGEUSDT in 2024 with the year's own quantiles, confidence against the share of
prices within 1 %: 1 hour 0.93/0.93, 0.90/0.90, 0.76/0.77; 8 hours 0.60/0.63, 0.54/0.55, 0.40/0.39; 48 hours
0.26/0.27, 0.22/0.23, 0.16/0.16. A normal distribution was off by up to 0.07 (0.32 against 0.39 at 24 hours).

**Uncertainty accumulates**: nobody knows the price of hour 9 better than that of hour 8, whatever a band says.
So in the confidence (not in the band that is shown) each half's variance grows from hour to hour by at least a tenth
of what a random walk's would, and no confidence is above `1 - hour / 1000`: a coin that stands still is no certainty
either. With both, the confidence falls strictly from hour to hour, for every forecast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError, IntegrityError

MAX_HOURS = 48
HOUR_MS = 3_600_000
TOLERANCE_PCT = 1.0
"""The confidence is the probability that the price is at most this far from the predicted one."""

_STUDENT_90 = 1.6377443536962102
"""The 90 % quantile of Student's distribution with 3 degrees of freedom."""
_SMALLEST_SPREAD = 1e-9
_LEAST_GROWTH = 0.1
_DOUBT_PER_HOUR = 1e-3

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PricePoint:
    """One hour of a price path; prices in the quote asset, `confidence` between 0 and 1.

    `price_low` and `price_high` are the 10 and 90 % quantiles, `predicted_price` is the median. `time` is aware UTC.
    """

    hour: int
    time: datetime
    predicted_price: float
    price_low: float
    price_high: float
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able form."""
        return {
            "hour": self.hour,
            "time": self.time.isoformat(),
            "predicted_price": self.predicted_price,
            "price_low": self.price_low,
            "price_high": self.price_high,
            "confidence": self.confidence,
        }


def price_path(
    close: float, close_time_ms: int, horizons: Sequence[int], log_return_quantiles: FloatArray, hours: int = MAX_HOURS
) -> list[PricePoint]:
    """Return the hours 1 to `hours` after the close of an hourly candle.

    :param close: the price that the forecast was made at; `close_time_ms` is when, milliseconds since the epoch.
    :param horizons: hours of the quantiles, ascending from 1, the last at or after `hours`.
    :param log_return_quantiles: `(H, 3)`, the 10, 50 and 90 % quantiles of `ln(close[t + h] / close[t])`.
    :raises BadInputError: for hours outside of 1 to 48, or horizons that do not cover them.
    :raises IntegrityError: for quantiles that are not finite, or beyond what a price can do.
    """
    quantiles = hourly_quantiles(horizons, log_return_quantiles, hours)
    with np.errstate(over="ignore", under="ignore"):
        prices = close * np.exp(quantiles)
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise IntegrityError("the forecast is beyond what a price can do: a return of more than e^700, or below e^-700")
    return [
        PricePoint(
            hour=hour,
            time=datetime.fromtimestamp((close_time_ms + hour * HOUR_MS) / 1000, UTC),
            predicted_price=float(price[1]),
            price_low=float(price[0]),
            price_high=float(price[2]),
            confidence=confidence,
        )
        for hour, price, confidence in zip(range(1, hours + 1), prices, confidences(quantiles), strict=True)
    ]


def hourly_quantiles(horizons: Sequence[int], log_return_quantiles: FloatArray, hours: int) -> FloatArray:
    """Return the quantiles `(hours, 3)` of the log return at the hours 1, 2, ..., ascending at every hour.

    Quantiles that cross are put in order first (V. Chernozhukov and others, Quantile and probability curves without
    crossing, 2010).

    :raises BadInputError: for hours outside of 1 to 48, or horizons that do not cover them.
    :raises IntegrityError: for quantiles that are not finite.
    """
    known = np.asarray(horizons, np.float64)
    quantiles = np.asarray(log_return_quantiles, np.float64)
    if not 1 <= hours <= MAX_HOURS:
        raise BadInputError(f"horizon_hours must be between 1 and {MAX_HOURS}, got {hours}")
    if not len(known) or known[0] != 1 or (np.diff(known) <= 0).any() or known[-1] < hours:
        raise BadInputError(f"the horizons {list(horizons)} do not cover the hours 1 to {hours}; train the model again")
    if quantiles.shape != (len(known), 3) or not np.isfinite(quantiles).all():
        raise IntegrityError(f"the forecast is not {len(known)} times three finite quantiles; train the model again")
    scaled = np.sort(quantiles, axis=1) / np.sqrt(known)[:, None]
    at = np.arange(1, hours + 1, dtype=np.float64)
    columns = [np.interp(at, known, scaled[:, column]) * np.sqrt(at) for column in range(3)]
    return np.sort(np.column_stack(columns), axis=1)  # rounding could part equal quantiles


def confidences(quantiles: FloatArray) -> list[float]:
    """Return the confidence of each hour from its quantiles `(hours, 3)`: in (0, 1), strictly falling."""
    tolerance = math.log1p(TOLERANCE_PCT / 100.0)
    low = _accumulated((quantiles[:, 1] - quantiles[:, 0]) / _STUDENT_90)
    high = _accumulated((quantiles[:, 2] - quantiles[:, 1]) / _STUDENT_90)
    return [
        min(_half(tolerance / below) + _half(tolerance / above), 1.0 - _DOUBT_PER_HOUR * hour)
        for hour, (below, above) in enumerate(zip(low, high, strict=True), start=1)
    ]


def _accumulated(spread: FloatArray) -> list[float]:
    """Return spreads whose squares grow by at least a tenth of a random walk's growth from hour to hour."""
    grown: list[float] = []
    for hour, value in enumerate(spread, start=1):
        least = grown[-1] * math.sqrt(1.0 + _LEAST_GROWTH / (hour - 1)) if grown else _SMALLEST_SPREAD
        grown.append(max(float(value), least))
    return grown


def _half(x: float) -> float:
    """Return the probability of (0, x) under Student's distribution with 3 degrees of freedom."""
    scaled = x / math.sqrt(3.0)
    # Written so that it neither overflows for a large x nor loses a small one: u / (1 + u^2) = 1 / (u + 1/u).
    return (1.0 / (scaled + 1.0 / scaled) + math.atan(scaled)) / math.pi
