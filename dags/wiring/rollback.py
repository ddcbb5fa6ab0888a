"""The steps of `rollback_model` between Airflow and the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dags.wiring.params import run_params
from include.tasks_api.params.rollback_model import RollbackModelParams

Context = Mapping[str, Any]


def admit_rollback(context: Context) -> dict[str, Any]:
    """Return the champion as it is now; refuse where there is nothing to take back, or to go back to.

    :raises include.errors.BadInputError: naming the champion.
    """
    from dags.wiring.runtime import promotions

    params = run_params(RollbackModelParams, context)
    pointer, target = promotions().registry.rollback_target(params.model_type, params.symbol, params.timeframe)
    return {
        "champion_id": pointer.champion_id,
        "model_id": pointer.model_id,
        "version": pointer.version,
        "moved_at": pointer.moved_at.isoformat(),
        "previous": target.id,
    }


def roll_back(champion: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Roll the noted champion back by compare-and-set, send the message and return the result; repeatable.

    :raises include.errors.IntegrityError: when the previous model cannot be opened.
    :raises include.ml.champions.ChampionMovedError: when the champion is another one by now.
    """
    from datetime import datetime

    from dags.wiring.runtime import promotions, send, triggering_user
    from include.ml.champions import Pointer
    from include.notify.champion_rollback import manual_rollback_message

    params = run_params(RollbackModelParams, context)
    pointer = Pointer(
        champion["champion_id"],
        champion["model_id"],
        champion["version"],
        datetime.fromisoformat(champion["moved_at"]),
    )
    who = triggering_user(context) or "unknown user"
    moved = promotions().rollback_from(
        pointer,
        who=f"{who} (rollback_model/{context['run_id']})",
        why=params.reason,
        skip_unreadable=params.skip_unreadable,
    )
    result = {
        "status": "success",
        "task_id": context["run_id"],
        "model_type": params.model_type,
        "symbol": params.symbol,
        "timeframe": params.timeframe,
        **moved,
        "reason": params.reason,
        "rolled_back_by": who,
    }
    send(manual_rollback_message(result))
    return result
