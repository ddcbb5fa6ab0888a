"""What is remembered of earlier analyses: has this finding been judged, and did a retraining follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from include.errors import BadInputError
from include.store.collections import GPT4_ANALYSIS_HISTORY
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database


def judged_analysis(db: Database[dict[str, Any]], finding_key: str, *, but_not: str | None = None) -> str | None:
    """Return the task id of the newest analysis in which GPT-4 judged this finding, or None.

    An analysis without a judge (fallback) or with an unusable answer does not count: the next run asks again.

    :param but_not: the task id of the asking run, so that a retry does not find itself.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    query: dict[str, Any] = {"finding_key": finding_key, "status": "success", "judge": "gpt4"}
    if but_not is not None:
        query["_id"] = {"$ne": but_not}
    with mongo_outage("looking for earlier GPT-4 analyses"):
        found = db[GPT4_ANALYSIS_HISTORY].find_one(query, {"_id": 1}, sort=[("timestamp", -1)])
    return None if found is None else str(found["_id"])


def mark_retrain_triggered(db: Database[dict[str, Any]], task_id: str, retrain_task_ids: Sequence[str]) -> None:
    """Record that the retraining runs exist; to be called only once they do. May be called again.

    `retrain_task_id` is the first of them (one per symbol), `retrain_task_ids` all.

    :raises BadInputError: without any id, or when there is no analysis document of that run.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    if not retrain_task_ids:
        raise BadInputError(f"no retraining run to record for analysis {task_id}")
    followed = {"retrain_triggered": True, "retrain_task_id": retrain_task_ids[0]}
    nested = {f"full_analysis.analysis.{key}": value for key, value in followed.items()}
    changes = {**followed, **nested, "retrain_task_ids": list(retrain_task_ids)}
    with mongo_outage(f"recording the retraining that analysis {task_id} has triggered"):
        if not db[GPT4_ANALYSIS_HISTORY].update_one({"_id": task_id}, {"$set": changes}).matched_count:
            raise BadInputError(f"there is no analysis of run {task_id} in {GPT4_ANALYSIS_HISTORY}; store it first")


def with_retrain(result: dict[str, Any], retrain_task_ids: Sequence[str]) -> dict[str, Any]:
    """Return the run's result with the retraining runs that really exist."""
    triggered = {"retrain_triggered": bool(retrain_task_ids), "retrain_task_id": next(iter(retrain_task_ids), None)}
    return {**result, "analysis": {**result["analysis"], **triggered}, "retrain_task_ids": list(retrain_task_ids)}
