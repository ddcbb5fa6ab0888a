"""The daily score of every champion, from which the accuracy history is read.

A champion is scored on all bars since its training end, so a day's point says how right it has been on what
it never saw. One document per champion and day: a repeated run overwrites it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import IntegrityError
from include.market.timeframes import timeframe_ms
from include.ml.comparison import first_unseen_ms
from include.ml.encryption import is_other_key
from include.ml.loaded_model import load_model, score_model
from include.ml.registry import ModelRegistry
from include.store.collections import MODEL_SCORES
from include.store.documents import storable
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database

    from include.market.candle_store import CandleStore
    from include.ml.loaded_model import LoadedModel
    from include.ml.model_files import ModelFileStore
    from include.ml.model_record import ModelRecord

MIN_SCORED_BARS = 24
"""Below that an accuracy says nothing at all (each bar would weigh 4 points)."""


def score_champions(
    db: Database[dict[str, Any]],
    files: ModelFileStore,
    candle_store: CandleStore,
    now: datetime,
    until_ms: int | None = None,
    check: Callable[[ModelRecord], object] = lambda _: None,
) -> list[dict[str, Any]]:
    """Score every champion on the bars since its training end and store one document each.

    :param now: aware; its UTC date names the documents.
    :param until_ms: bars opened before this moment of the market count; `now` when omitted.
    :param check: raises `IntegrityError` for a champion that forecasts could not use (`Promotions.require_readable`).
    :returns: the stored documents. One whose champion has too few bars, cannot be read, or forecasts what is no
        number, has `accuracy` None and a `reason`; `unreadable` tells the first apart from the others, and
        `champion_at_fault` is False where the configured key is another one than the model's.
    """
    registry = ModelRegistry(db)
    end_ms = int(now.timestamp() * 1000) if until_ms is None else until_ms
    documents = []
    for pointer in registry.pointers.all():
        document = storable(
            _score(registry.get(pointer.model_id), files, candle_store, now.astimezone(UTC), end_ms, check)
        )
        with mongo_outage(f"storing the score of {pointer.champion_id}"):
            db[MODEL_SCORES].replace_one({"_id": document["_id"]}, document, upsert=True)
        documents.append(document)
    return documents


def _score(
    record: ModelRecord,
    files: ModelFileStore,
    candle_store: CandleStore,
    now: datetime,
    end_ms: int,
    check: Callable[[ModelRecord], object],
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_id": f"{record.id}@{now.date().isoformat()}",
        "timestamp": now,
        "date": now.date().isoformat(),
        "model_type": record.model_type,
        "symbol": record.symbol,
        "timeframe": record.timeframe,
        "model_id": record.id,
        "bars": 0,
        **dict.fromkeys(
            ("accuracy", "baseline_accuracy", "skill", "skill_low", "skill_high", "edge", "quantile_coverage_pct")
        ),
        "reason": None,
        "unreadable": False,
        "champion_at_fault": False,
    }
    try:
        loaded = load_model(record, files)
        check(record)
        return {**document, **_numbers(loaded, candle_store, end_ms)}
    except IntegrityError as error:
        fault = not is_other_key(error)
        return {**document, "reason": str(error), "unreadable": True, "champion_at_fault": fault}


def _numbers(loaded: LoadedModel, candle_store: CandleStore, end_ms: int) -> dict[str, Any]:
    """Return the score's numbers, or the number of bars and why they are too few."""
    spec = loaded.spec
    start_ms = first_unseen_ms(spec)
    history_ms = 2 * spec.history_bars * timeframe_ms(spec.timeframe)  # twice: gaps cost candles
    candles = candle_store.load(spec.symbol, spec.timeframe, start_ms - history_ms, end_ms)
    bars = max(0, len(candles.between(start_ms, end_ms)) - spec.label_horizon)
    if bars >= MIN_SCORED_BARS:
        evaluation = score_model(loaded, candles, start_ms, end_ms)
        if evaluation.bars >= MIN_SCORED_BARS:
            return evaluation.to_dict()
        bars = evaluation.bars
    reason = f"{bars} bars with a known label since its training end, {MIN_SCORED_BARS} are needed"
    return {"bars": bars, "reason": reason}
