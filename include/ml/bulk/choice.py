"""Which champions take part in a symbol's analysis, and why others do not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from include.market.binance_wire import iso
from include.ml.bulk.failure import Failure, training_advice
from include.ml.champion_health import ChampionFailure
from include.ml.config import MODEL_TYPES
from include.ml.light.champions import LightChampion, Place, UnreadableChampion
from include.ml.prediction.answer import model_age_days

ENSEMBLE = "ensemble"

Loaded = Mapping[Place, LightChampion | UnreadableChampion]


def asked_types(model_type: str) -> tuple[str, ...]:
    """Return the networks that a request names: one, or all three for the ensemble."""
    return MODEL_TYPES if model_type == ENSEMBLE else (model_type,)


@dataclass(frozen=True)
class Choice:
    """The champions of one symbol that are asked, the reasons of the networks that are not, and the broken ones."""

    champions: tuple[LightChampion, ...]
    missing: Mapping[str, str]
    faults: tuple[ChampionFailure, ...]


def choose(
    symbols: Collection[str],
    timeframe: str,
    model_types: tuple[str, ...],
    loaded: Loaded,
    now_ms: int,
    max_age_days: float,
) -> tuple[dict[str, Choice], dict[str, Failure]]:
    """Return the choice per symbol, and why a symbol has none.

    :param now_ms: the exchange's time; a model's age counts from the newest candle that it has seen.
    """
    choices: dict[str, Choice] = {}
    failures: dict[str, Failure] = {}
    for symbol in symbols:
        taken: list[LightChampion] = []
        missing: dict[str, str] = {}
        faults: list[ChampionFailure] = []
        old = unreadable = False
        for model_type in model_types:
            champion = loaded.get((model_type, symbol, timeframe))
            if champion is None:
                missing[model_type] = f"no {model_type} model is deployed for {symbol} {timeframe}"
            elif isinstance(champion, UnreadableChampion):
                unreadable = True
                missing[model_type] = champion.reason
                if champion.champion_at_fault:
                    faults.append(ChampionFailure(champion.model_id, model_type, symbol, timeframe, champion.reason))
            elif (age := model_age_days(champion, now_ms)) > max_age_days:
                old = True
                missing[model_type] = (
                    f"the deployed {model_type} model {champion.record.id} has seen candles up to "
                    f"{iso(champion.spec.data_end_ms)}, {age:.1f} days ago, more than {max_age_days:g}"
                )
            else:
                taken.append(champion)
        choices[symbol] = Choice(tuple(taken), missing, tuple(faults))
        if not taken:
            failures[symbol] = _none(symbol, timeframe, model_types, missing, unreadable=unreadable, old=old)
    return choices, failures


def _none(
    symbol: str,
    timeframe: str,
    model_types: tuple[str, ...],
    missing: Mapping[str, str],
    *,
    unreadable: bool,
    old: bool,
) -> Failure:
    advice = training_advice(model_types, symbol, timeframe)
    if not unreadable and not old:
        which = f"{model_types[0]} model" if len(model_types) == 1 else "model"
        return Failure("no model deployed", f"No {which} is deployed for {symbol} {timeframe}: {advice}")
    why = "; ".join(missing.values())
    return Failure("model unreadable" if unreadable else "model too old", f"{why}: {advice}")
