"""Forecasts at the newest bar of many symbols, each by the champions given: NumPy alone, no TensorFlow.

The numbers are those of `include.ml.predictor.predict` at the same bar from the same candles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError
from include.market.candles import Candles, check_candles
from include.ml.drift import DRIFT_BARS
from include.ml.features import VOLATILITY_BARS, WARMUP_BARS, compute_features, trailing_volatility
from include.ml.light.champions import LightChampion
from include.ml.light.forward import forward
from include.ml.light.layout import Signature, signature
from include.ml.spec import history_bars

__all__ = ["DRIFT_BARS", "FailedForecast", "Forecast", "SymbolFeatures", "bars_needed", "forecast_newest"]

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a model says at the close of the newest bar, which opened at `open_time_ms` and closed at `close`.

    `volatility` is the standard deviation of one bar's log return over the last 48 bars. `probability_up` is the
    probability that the label is 1. `log_return_quantiles` `(H, 3)` are the 10, 50 and 90 % quantiles of
    `ln(close[t + h] / close[t])` at the spec's horizons.
    """

    model_id: str
    open_time_ms: int
    close: float
    volatility: float
    probability_up: float
    log_return_quantiles: NDArray[np.float64]


@dataclass(frozen=True)
class FailedForecast:
    """Why there is no forecast. `champion_at_fault`: another model of the same place could have made one."""

    model_id: str
    reason: str
    champion_at_fault: bool


@dataclass(frozen=True, eq=False)
class SymbolFeatures:
    """A symbol's candles and what the networks see of them, computed once and read by every model of the symbol.

    `features` `(n, F)` are unscaled, aligned with `candles`, the newest of those that were `given`; the first
    `WARMUP_BARS` rows are still warming up.
    """

    given: Candles
    candles: Candles
    names: tuple[str, ...]
    features: Float32Array
    volatility: float

    @classmethod
    def of(cls, candles: Candles, window: int = 60) -> SymbolFeatures:
        """Compute the features of the newest `bars_needed(window)` candles; older ones change nothing.

        :raises BadInputError: for corrupt candles, or too few for any row; the message names the remedy.
        """
        used = candles.tail(bars_needed(window))
        if len(used) <= WARMUP_BARS:
            raise BadInputError(_too_few(used, history_bars(window)))
        check_candles(used)
        names, features = compute_features(used)
        volatility = float(trailing_volatility(used.close[-VOLATILITY_BARS - 1 :])[-1])
        return cls(candles, used, names, features, volatility)


def bars_needed(window: int = 60) -> int:
    """Return the candles to load per symbol: enough for a forecast of such a window, and for the drift."""
    return WARMUP_BARS + max(window, DRIFT_BARS)


def forecast_newest(
    champions: Sequence[LightChampion], candles: Mapping[str, Candles | SymbolFeatures]
) -> dict[str, Forecast | FailedForecast]:
    """Return every champion's forecast, or why there is none, by its model's id.

    Types, sizes, windows and targets may be mixed. A forecast depends on its own model and on the newest
    `bars_needed(window)` candles of its own symbol, on nothing else in the call (but for the last bits of a float32).

    :param candles: by symbol, at least `bars_needed()` of each; `SymbolFeatures` where they were computed already.
    """
    market = _Market(candles)
    result: dict[str, Forecast | FailedForecast] = {}
    groups: defaultdict[tuple[str, Signature, int], list[_Question]] = defaultdict(list)
    for champion in champions:
        question = _question(champion, market)
        if isinstance(question, FailedForecast):
            result[champion.record.id] = question
        else:
            spec = champion.spec
            groups[spec.model_type, signature(champion.arrays), spec.window].append(question)
    for (model_type, _, _), questions in groups.items():
        outputs = forward(
            model_type,
            [question.champion.arrays for question in questions],
            np.stack([question.window for question in questions]),
        )
        for question, probability, quantiles in zip(
            questions, outputs.probability_up.tolist(), outputs.quantiles, strict=True
        ):
            result[question.champion.record.id] = _answer(question, probability, quantiles)
    return {champion.record.id: result[champion.record.id] for champion in champions}


@dataclass(frozen=True, eq=False)
class _Question:
    champion: LightChampion
    features: SymbolFeatures
    window: Float32Array


class _Market:
    """The features of the symbols, computed when they are first asked for."""

    def __init__(self, candles: Mapping[str, Candles | SymbolFeatures]) -> None:
        self._candles = candles
        self._known: dict[tuple[str, int], SymbolFeatures | str] = {}

    def features(self, symbol: str, timeframe: str, window: int) -> SymbolFeatures | str:
        """Return the symbol's features, or why there are none."""
        given = self._candles.get(symbol)
        if given is None:
            return f"There are no candles of {symbol} {timeframe}; ingest them"
        candles = given.given if isinstance(given, SymbolFeatures) else given
        if (candles.symbol, candles.timeframe) != (symbol, timeframe):
            return f"The model is one of {symbol} {timeframe}, the candles are {candles.symbol} {candles.timeframe}"
        if isinstance(given, SymbolFeatures) and len(given.candles) == min(bars_needed(window), len(candles)):
            return given
        key = (symbol, bars_needed(window))
        if key not in self._known:
            try:
                self._known[key] = SymbolFeatures.of(candles, window)
            except BadInputError as error:
                self._known[key] = str(error)
        return self._known[key]


def _question(champion: LightChampion, market: _Market) -> _Question | FailedForecast:
    spec, model_id = champion.spec, champion.record.id
    features = market.features(spec.symbol, spec.timeframe, spec.window)
    if isinstance(features, str):
        return FailedForecast(model_id, features, champion_at_fault=False)
    if len(features.candles) < spec.history_bars:
        return FailedForecast(model_id, _too_few(features.candles, spec.history_bars), champion_at_fault=False)
    if features.names != spec.feature_names:
        reason = (
            f"The model was trained with other features ({', '.join(spec.feature_names)}) than this code computes "
            f"({', '.join(features.names)}); train it again"
        )
        return FailedForecast(model_id, reason, champion_at_fault=True)
    newest = features.features[-spec.window :]
    if not np.isfinite(newest).all():
        reason = f"The features of {spec.symbol} {spec.timeframe} are not all numbers; look at its newest candles"
        return FailedForecast(model_id, reason, champion_at_fault=False)
    return _Question(champion, features, spec.scale(newest))


def _answer(question: _Question, probability: float, quantiles: Float32Array) -> Forecast | FailedForecast:
    champion, features = question.champion, question.features
    spec, record = champion.spec, champion.record
    unit = features.volatility * np.sqrt(np.asarray(spec.quantile_horizons, np.float64))
    returns = quantiles.astype(np.float64) * unit[:, None]
    if not (np.isfinite(probability) and np.isfinite(returns).all()):
        reason = f"The {spec.model_type} model of {spec.symbol} forecasts values that are not numbers; train it again"
        return FailedForecast(record.id, reason, champion_at_fault=True)
    candles = features.candles
    return Forecast(
        record.id, int(candles.open_time[-1]), float(candles.close[-1]), features.volatility, probability, returns
    )


def _too_few(candles: Candles, needed: int) -> str:
    return (
        f"Insufficient data: a forecast needs {needed} candles up to its bar, found {len(candles)} of "
        f"{candles.symbol} {candles.timeframe}; ingest older candles"
    )
