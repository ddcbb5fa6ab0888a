"""What is kept for how long, and how the rest is removed: in batches, so that nothing waits behind a long delete.

Never removed here: models, champions, deployments, model files, weights and scores' champions, candles, switches and
their histories, the kill switch and its history, states, leases. Caches expire by themselves (TTL).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.store import collections as names
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.settings import Settings

BATCH = 1_000
LEDGER_DAYS = 62
"""What the cost of GPT-4 and of the AI service is added up from, for this month and the one before, is kept so long."""


@dataclass(frozen=True)
class Rule:
    """One collection's rule.

    :param time_field: the document's age is counted from it; documents without it stay.
    :param only: which documents may be removed at all.
    """

    collection: str
    time_field: str
    days: int
    only: Mapping[str, Any] = field(default_factory=dict)

    def query(self, now: datetime) -> dict[str, Any]:
        """Return what is to be removed at that moment."""
        return {**self.only, self.time_field: {"$lt": now - timedelta(days=self.days)}}


RESULTS = (
    names.PERFORMANCE_METRICS,
    names.GPT4_ANALYSIS_HISTORY,
    names.RETRAIN_HISTORY,
    names.BULK_ANALYSES,
    names.PRICE_PREDICTIONS,
    names.MODEL_SCORES,
    names.HEALTH_REPORTS,
    names.PORTFOLIO_REPORTS,
    names.EQUITY_HISTORY,
    names.BACKTEST_RESULTS,
    names.OPTIMIZATION_RESULTS,
)
"""Collections with one document per run and the field `timestamp`."""


def rules(settings: Settings) -> list[Rule]:
    """Return the rule of every collection that is ever cleared."""
    days = settings.result_retention_days
    open_job = {"status": {"$nin": ["queued", "running"]}}
    return [
        *(Rule(collection, "timestamp", days) for collection in RESULTS),
        Rule(names.TRAINING_JOBS, "created_at", days, open_job),
        *(Rule(name, "timestamp", max(days, LEDGER_DAYS)) for name in (names.GPT4_COSTS, names.API_COST_HISTORY)),
        # Of optimisations that ended without a result: the others have removed them.
        Rule(names.OPTIMIZATION_VARIATIONS, "at", settings.checkpoint_retention_days),
        Rule(names.OUTBOX, "created_at", days, {"state": {"$ne": "pending"}}),
        Rule(names.DEAD_LETTERS, "failed_at", days, {"state": {"$in": ["replayed", "dismissed"]}}),
        Rule(names.AUDIT_LOG, "started_at", settings.audit_retention_days),
        # Tasks that never started: skipped ones, those behind a failure.
        Rule(names.AUDIT_LOG, "noted_at", settings.audit_retention_days, {"started_at": None}),
    ]


def remove_old(db: Database[dict[str, Any]], rule: Rule, now: datetime, *, dry_run: bool = False) -> int:
    """Remove what a rule does not keep, a thousand documents at a time; return how many (would be) removed.

    :raises ServiceUnavailableError: while MongoDB is away; what was removed by then stays removed.
    """
    query, removed = rule.query(now), 0
    with mongo_outage(f"removing old documents of {rule.collection}"):
        if dry_run:
            return db[rule.collection].count_documents(query)
        while ids := [found["_id"] for found in db[rule.collection].find(query, {"_id": 1}).limit(BATCH)]:
            # The query once more: a document may have changed since, for instance to a letter that waits again.
            gone = db[rule.collection].delete_many({"_id": {"$in": ids}, **query}).deleted_count
            removed += gone
            if gone == 0:
                break
    return removed
