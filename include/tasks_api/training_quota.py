"""How many trainings a user may start in a day (UTC): counted when a run is admitted, once per run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from include.errors import TradingOpsError
from include.store.collections import TRAINING_QUOTA
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

NOBODY = "(unknown user)"
KEPT = timedelta(days=31)
"""A run that is cleared and starts again within this time is not counted a second time."""


class RateLimitError(TradingOpsError):
    """The user has started as many trainings as a day allows."""


def count_training(
    db: Database[dict[str, Any]], user: str | None, run_id: str, limit: int, now: datetime | None = None
) -> int:
    """Count one training of `user` and return how many the day has now; one atomic write decides at the limit.

    :param user: Airflow's `triggering_user_name`; runs without one share a count.
    :param run_id: a run that was counted before, today or earlier, is not counted again.
    :param now: aware UTC.
    :raises RateLimitError: `Rate limit exceeded: max 10 trainings per user per day ...` with the time of the reset.
    :raises ServiceUnavailableError: while MongoDB is away.
    """
    name, at = user or NOBODY, now or datetime.now(UTC)
    day = at.astimezone(UTC).date().isoformat()
    key = f"{day}:{name}"
    quota = db[TRAINING_QUOTA]
    with mongo_outage(f"counting the trainings of {name}"):
        known = quota.find_one({"user": name, "runs": run_id})
        if known is not None:
            return len(known["runs"])
        try:
            # Matches only below the limit; at the limit the upsert meets the document that is there.
            quota.update_one(
                {"_id": key, f"runs.{limit - 1}": {"$exists": False}},
                {
                    "$addToSet": {"runs": run_id},
                    "$setOnInsert": {"user": name, "day": day, "expires_at": at + KEPT},
                },
                upsert=True,
            )
        except DuplicateKeyError:
            return _at_the_limit(quota, key, name, run_id, limit, at)
        counted = quota.find_one({"_id": key})
    return len(counted["runs"]) if counted else 0


def _at_the_limit(quota: Any, key: str, name: str, run_id: str, limit: int, at: datetime) -> int:
    """Refuse, unless two upserts of a new day's document met and there is room after all."""
    changed = quota.update_one({"_id": key, f"runs.{limit - 1}": {"$exists": False}}, {"$addToSet": {"runs": run_id}})
    used = len(quota.find_one({"_id": key})["runs"])
    if changed.matched_count:
        return used
    reset = (at.astimezone(UTC) + timedelta(days=1)).date()
    raise RateLimitError(
        f"Rate limit exceeded: max {limit} trainings per user per day ({name} has started {used}); "
        f"the count starts again at {reset.isoformat()}T00:00:00Z (TRADING_OPS_TRAININGS_PER_USER_PER_DAY)"
    )
