"""Measures the drift of the configured symbols' champions for the GPT-4 self-analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from include.settings import get_settings

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.analyst.drift import ModelDrift
    from include.ml.champions import Pointer


def drifts_of(db: Database[dict[str, Any]], symbols: Sequence[str]) -> list[ModelDrift]:
    """Return the drift of every champion of the symbols, from the newest stored candles; a reason where unknown.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    from include.ml.champions import ChampionPointers

    return [
        _drift_of(db, pointer) for pointer in ChampionPointers(db).all() if pointer.champion_id.split(":")[1] in symbols
    ]


def _drift_of(db: Database[dict[str, Any]], pointer: Pointer) -> ModelDrift:
    import time
    from typing import cast

    from include.analyst.drift import model_drift, unknown_drift
    from include.errors import BadInputError, IntegrityError
    from include.market.candle_store import CandleStore
    from include.market.timeframes import timeframe_ms
    from include.ml.drift import drift_report
    from include.ml.light.forecast import SymbolFeatures, bars_needed
    from include.ml.registry import ModelRegistry

    threshold = get_settings().drift_psi_warning
    model_type, symbol, timeframe = pointer.champion_id.split(":")
    kind = cast(Any, model_type)
    try:
        record = ModelRegistry(db).get(pointer.model_id)
        store = CandleStore(db)
        newest = store.last_open_time(symbol, timeframe)
        end_ms = int(time.time() * 1000) if newest is None else newest + 1
        bars = 2 * bars_needed(int(record.spec.get("window", 60)))  # twice: gaps cost candles
        candles = store.load(symbol, timeframe, end_ms - bars * timeframe_ms(timeframe), end_ms)
        features = SymbolFeatures.of(candles)
        report = drift_report(record.feature_distribution, features.names, features.features, threshold)
    except (BadInputError, IntegrityError) as error:
        return unknown_drift(kind, symbol, timeframe, threshold, str(error))
    return model_drift(kind, symbol, timeframe, report)
