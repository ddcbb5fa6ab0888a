"""The models: how often a champion was deployed or rolled back, and how right the champions were last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import DESCENDING

from include.metrics.gauge import Gauge, Labels
from include.store.collections import CHAMPIONS, DEPLOYMENTS, MODEL_SCORES
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

FIGURES = ("accuracy", "baseline_accuracy", "skill")


def model_gauges(db: Database[dict[str, Any]]) -> list[Gauge]:
    """Return deployments by kind, and every champion's latest score.

    A champion without a score, or whose last score has no numbers, is absent from the scores.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    moves: dict[Labels, float] = {(("kind", kind),): 0.0 for kind in ("deploy", "rollback")}
    scores: dict[str, dict[Labels, float]] = {figure: {} for figure in FIGURES}
    with mongo_outage("reading the figures of the models"):
        for row in db[DEPLOYMENTS].aggregate([{"$group": {"_id": "$kind", "count": {"$sum": 1}}}]):
            moves[("kind", str(row["_id"])),] = row["count"]
        for pointer in db[CHAMPIONS].find({}, {"_id": 1}):
            model_type, symbol, timeframe = pointer["_id"].split(":")
            place = {"model_type": model_type, "symbol": symbol, "timeframe": timeframe}
            score = db[MODEL_SCORES].find_one(place, sort=[("date", DESCENDING)]) or {}
            for figure in FIGURES:
                if score.get(figure) is not None:
                    scores[figure][tuple(place.items())] = score[figure]
    return [
        Gauge("trading_ops_deployments", "Moves of a champion so far.", moves),
        *(
            Gauge(f"trading_ops_champion_{figure}", f"The champion's latest {figure}, a share.", values)
            for figure, values in scores.items()
        ),
    ]
