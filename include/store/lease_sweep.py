"""Ends claims whose runs are over: a killed worker gives nothing back, and a claim may live for hours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include.store.leases import LeaseStore, Owner

if TYPE_CHECKING:
    from pymongo.database import Database


def sweep_leases(db: Database[dict[str, Any]], owner_is_over: Callable[[Owner], bool]) -> list[dict[str, Any]]:
    """End every lease whose run has ended or is gone, and return what was ended; no clock has a say in it.

    A run that still runs keeps its leases, also expired ones: taking them over is the business of whoever needs them. A
    lease that is taken anew between the look and the removal has another token, and stays.

    :raises ServiceUnavailableError: while MongoDB is away.
    """
    store = LeaseStore(db)
    over: dict[Owner, bool] = {}
    ended = []
    for lease in store.all():
        if lease.owner not in over:
            over[lease.owner] = owner_is_over(lease.owner)
        if over[lease.owner] and store.release(lease):
            ended.append(
                {
                    "key": lease.key,
                    "dag_id": lease.owner.dag_id,
                    "run_id": lease.owner.run_id,
                    "try_number": lease.try_number,
                    "expires_at": lease.expires_at.isoformat(),
                }
            )
    return ended
