"""How far the mean of a series of dependent differences may be off: a block-bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Mean and the limits of its confidence interval."""

    mean: float
    low: float
    high: float
    block: int


def block_interval(
    differences: FloatArray, *, min_block: int, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Interval:
    """Return the mean of `differences` (shape `(n,)`, in time order) with its circular block-bootstrap interval.

    Neighbouring bars share most of their labels' future, and forecasts persist, so whole blocks are drawn. The
    block is as long as the series' own memory (:func:`block_length`), at least `min_block`, at most n / 4.
    Two corrections keep a short or nearly constant series from looking certain: deviations are stretched by
    the quotient of Student's and the normal quantile for that many blocks, and every resample gets two further
    blocks of typical size and random sign, as Agresti and Min (Statistics in Medicine 24, 2005) add one success
    and one failure to matched pairs. Source of the bootstrap: Politis and Romano, 1992.
    """
    n = len(differences)
    if n == 0:
        return Interval(0.0, 0.0, 0.0, 0)
    mean = float(differences.mean())
    if not differences.any():
        return Interval(mean, 0.0, 0.0, 0)
    block = max(1, min(max(block_length(differences), min_block), n // 4))
    blocks = -(-n // block)
    rng = np.random.default_rng([seed, n])
    extended = np.concatenate([[0.0], np.cumsum(np.concatenate([differences, differences[:block]]))])
    sums = extended[block : block + n] - extended[:n]
    drawn = sums[rng.integers(n, size=(resamples, blocks))].sum(axis=1)
    typical = np.sqrt(np.mean(sums[sums != 0.0] ** 2)) if sums.any() else 1.0
    drawn = drawn + typical * rng.choice([-1.0, 1.0], size=(resamples, 2)).sum(axis=1)
    tail = (1.0 - confidence) / 2.0
    stretch = t.ppf(1.0 - tail, max(blocks - 1, 1)) / norm.ppf(1.0 - tail)
    low, high = np.quantile(drawn / (blocks * block) - mean, [tail, 1.0 - tail]) * stretch + mean
    return Interval(mean, max(float(low), -1.0), min(float(high), 1.0), block)


def block_length(values: FloatArray) -> int:
    """Return the block length that minimises the error of the bootstrapped variance of the mean.

    Source: Politis and White, Automatic Block-Length Selection for the Dependent Bootstrap, 2004, with the
    correction of Patton, Politis and White, 2009 (circular bootstrap). At least 1.
    """
    n = len(values)
    centred = values - values.mean()
    max_lag = min(n - 1, 2 * (int(np.ceil(np.sqrt(n))) + max(5, int(np.log10(max(n, 2))))))
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[: max_lag + 1] / n
    if max_lag < 2 or covariance[0] <= 0:
        return 1
    quiet = np.abs(covariance / covariance[0]) < 2.0 * np.sqrt(np.log10(n) / n)
    run = max(5, int(np.sqrt(np.log10(n))))
    lag = next((at for at in range(1, max_lag - run + 1) if quiet[at : at + run].all()), max_lag // 2)
    lags = np.arange(-min(2 * lag, max_lag), min(2 * lag, max_lag) + 1)
    weight = np.clip(2.0 * (1.0 - np.abs(lags) / (2.0 * lag)), 0.0, 1.0)
    both = covariance[np.abs(lags)]
    slope, level = float(np.sum(weight * np.abs(lags) * both)), float(np.sum(weight * both))
    if level <= 0:
        return 1
    return max(1, int(np.ceil((2.0 * slope**2 / (4.0 / 3.0 * level**2)) ** (1.0 / 3.0) * n ** (1.0 / 3.0))))
