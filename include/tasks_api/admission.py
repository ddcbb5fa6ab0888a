"""What a run must have before work starts: its claims. Asked by the first task of a DAG and by the facade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import BadInputError
from include.ml.disk_space import require_free_disk
from include.ml.training_job import TrainingJob, close_abandoned_jobs, close_job
from include.settings import get_settings
from include.store.leases import Lease, LeaseStore, Owner

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.market.binance import BinanceClient
    from include.ml.train_request import TrainRequest

    OwnerIsOver = Callable[[Owner], bool]

ADMISSION_TRY = 0
"""The admission's claims count as try 0, so that every try of the training may take them over."""


def training_key(model_type: str, symbol: str) -> str:
    """Return the key of the claim on training one network on one symbol."""
    return f"train:{model_type}:{symbol}"


def refusal(model_type: str, symbol: str) -> str:
    """Return what the one is told who comes second."""
    return f"Training already in progress for {model_type}+{symbol}"


def require_room() -> None:
    """Refuse a training while there is less free space in the state directory than the settings ask for.

    :raises include.ml.errors.DiskFullError: `Insufficient disk space: ...`.
    """
    settings = get_settings()
    require_free_disk(settings.state_dir, settings.min_free_disk_gb)


def require_symbol(client: BinanceClient, symbol: str) -> None:
    """Refuse a symbol that the exchange does not know.

    :raises include.errors.BadInputError: `Invalid trading symbol ...`.
    """
    try:
        client.exchange_info(symbol)
    except BadInputError as error:
        raise BadInputError(f"Invalid trading symbol. {error}") from error


def queue_training(db: Database[dict[str, Any]], request: TrainRequest) -> None:
    """Write the job document of an admitted training as queued."""
    TrainingJob(db, request).queue()


def refuse_training(db: Database[dict[str, Any]], request: TrainRequest, error: BaseException) -> None:
    """End the job document of a training that was admitted and then found impossible."""
    at, newest_try = datetime.now(UTC), 2**31
    close_job(db, request.job_id, "failed", str(error), type(error).__name__, at, newest_try)


def claim_trainings(
    db: Database[dict[str, Any]], model_types: Sequence[str], symbol: str, owner: Owner, owner_is_over: OwnerIsOver
) -> list[str]:
    """Claim the trainings of a run, all or none; the claims outlast the wait for a training slot.

    What the run has claimed before is given back first: it was cleared and starts again. Job documents of runs that
    ended without being able to say so are ended here.

    :raises include.errors.LeaseHeldError: when a living run holds one of them.
    """
    keys = {training_key(model_type, symbol): model_type for model_type in model_types}
    leases = LeaseStore(db)
    leases.release_run(owner)
    leases.acquire_all(
        list(keys),
        owner,
        ADMISSION_TRY,
        get_settings().training_wait_s,
        owner_is_over,
        label=lambda key: refusal(keys[key], symbol),
    )
    for model_type in keys.values():
        close_abandoned_jobs(
            db, model_type, symbol, lambda dag_id, run_id: owner_is_over(Owner(dag_id, run_id)), datetime.now(UTC)
        )
    return list(keys)


def claim_training(
    db: Database[dict[str, Any]],
    model_type: str,
    symbol: str,
    owner: Owner,
    try_number: int,
    owner_is_over: OwnerIsOver,
) -> Lease:
    """Claim one training for one try of its task; an older try of the same task is fenced off.

    :raises include.errors.LeaseHeldError: when another living run holds it.
    :raises include.errors.FencedError: when a newer try of this run does.
    """
    return LeaseStore(db).acquire(
        training_key(model_type, symbol),
        owner,
        try_number,
        get_settings().training_lease_s,
        owner_is_over,
        label=refusal(model_type, symbol),
    )
