"""The core of the analysis: from champions and candles to answers. No database, no network.

A symbol's answer depends on its own champions, candles and price alone, so neither the order of the symbols nor
how they are divided changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.errors import BadInputError
from include.market.candles import Candles
from include.ml.bulk.choice import Choice
from include.ml.bulk.failure import Failure, training_advice
from include.ml.bulk.symbol_answer import Opinion, has_horizon, symbol_answer
from include.ml.champion_health import ChampionFailure
from include.ml.light.champions import LightChampion
from include.ml.light.forecast import FailedForecast, Forecast, SymbolFeatures, forecast_newest


@dataclass(frozen=True)
class Terms:
    """What an analysis is made by: the timeframe, the exchange's time, and the limits of the settings."""

    timeframe: str
    model_types: tuple[str, ...]
    now_ms: int
    max_candle_age_bars: int
    max_model_age_days: float
    psi_threshold: float


@dataclass
class Analysed:
    """What an analysis found, by symbol: answers, failures, broken champions; and the models that did well."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    faults: dict[str, list[ChampionFailure]] = field(default_factory=dict)
    well: set[str] = field(default_factory=set)

    def add(self, other: Analysed) -> None:
        """Take in what another analysis found."""
        self.answers |= other.answers
        self.failures |= other.failures
        self.faults |= other.faults
        self.well |= other.well


def analyse(
    choices: Mapping[str, Choice],
    candles: Mapping[str, Candles | BadInputError],
    prices: Mapping[str, float],
    troubles: Mapping[str, Failure],
    terms: Terms,
) -> Analysed:
    """Return the answers of the symbols in `choices`.

    :param candles: by symbol; the newest bars, or why they cannot be believed.
    :param prices: the exchange's last prices; the newest close stands for one that is missing or 0.
    :param troubles: why a symbol's candles could not be completed; said where what is there does not suffice.
    """
    done = Analysed(faults={symbol: list(choice.faults) for symbol, choice in choices.items() if choice.faults})
    features: dict[str, SymbolFeatures] = {}
    for symbol in choices:
        found = _features(symbol, candles.get(symbol), troubles.get(symbol), terms)
        if isinstance(found, Failure):
            done.failures[symbol] = found
        else:
            features[symbol] = found
    asked = [champion for symbol in features for champion in choices[symbol].champions]
    forecasts = forecast_newest(asked, features)
    for symbol, seen in features.items():
        choice = choices[symbol]
        opinions, missing, faults, no_data = _opinions(choice, forecasts)
        if faults:
            done.faults.setdefault(symbol, []).extend(faults)
        if opinions:
            done.well.update(champion.record.id for champion, _ in opinions)
            price = prices.get(symbol)
            done.answers[symbol] = symbol_answer(opinions, missing, seen, price, terms.now_ms, terms.psi_threshold)
        else:
            advice = "" if no_data else f": {training_advice(terms.model_types, symbol, terms.timeframe)}"
            done.failures[symbol] = Failure(
                "too few candles" if no_data else "no forecast", "; ".join(missing.values()) + advice
            )
    return done


def _features(
    symbol: str, candles: Candles | BadInputError | None, trouble: Failure | None, terms: Terms
) -> SymbolFeatures | Failure:
    """Return what the networks see of a symbol, or why its candles are of no use."""
    if isinstance(candles, BadInputError):
        return Failure("corrupt candles", str(candles))
    if candles is None or not len(candles):
        return trouble or Failure(
            "no candles",
            f"No data: Binance has no closed {terms.timeframe} candle of {symbol} in the time that a forecast needs",
        )
    age_bars = (terms.now_ms - int(candles.open_time[-1]) - candles.bar_ms) / candles.bar_ms
    if age_bars > terms.max_candle_age_bars:
        return Failure(
            "candles too old",
            f"The newest candle of {symbol} {terms.timeframe} closed {age_bars:.0f} bars ago, more than "
            f"{terms.max_candle_age_bars}" + (f": {trouble.reason}" if trouble else "; is it still traded?"),
            trouble is not None and trouble.transient,
        )
    try:
        return SymbolFeatures.of(candles)
    except BadInputError as error:
        return Failure("too few candles", f"{error}" + (f" ({trouble.reason})" if trouble else ""))


def _opinions(
    choice: Choice, forecasts: Mapping[str, Forecast | FailedForecast]
) -> tuple[list[Opinion], dict[str, str], list[ChampionFailure], bool]:
    """Return the forecasts that count, why others do not, the broken champions, and whether data alone is lacking."""
    opinions: list[Opinion] = []
    missing = dict(choice.missing)
    faults: list[ChampionFailure] = []
    lacks_data = False
    for champion in choice.champions:
        forecast = forecasts[champion.record.id]
        if isinstance(forecast, Forecast) and has_horizon(champion):
            opinions.append((champion, forecast))
            continue
        record = champion.record
        if isinstance(forecast, Forecast):
            forecast = FailedForecast(record.id, _no_horizon(champion), champion_at_fault=True)
        missing[record.model_type] = forecast.reason
        if forecast.champion_at_fault:
            faults.append(
                ChampionFailure(record.id, record.model_type, record.symbol, record.timeframe, forecast.reason)
            )
        else:
            lacks_data = True
    return opinions, missing, faults, lacks_data and not faults


def _no_horizon(champion: LightChampion) -> str:
    horizons = ", ".join(map(str, champion.spec.quantile_horizons))
    return f"Model {champion.record.id} forecasts {horizons} bars ahead, not 8; train it again"
