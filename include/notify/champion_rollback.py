"""The messages about a champion that was taken back: by itself, or by a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from include.notify.message import Message, Severity

if TYPE_CHECKING:
    from include.ml.champion_health import Rollback


def rollback_message(rollback: Rollback, task_id: str) -> Message:
    """Return the CRITICAL message about an automatic rollback, or about one that was not possible.

    It is kept once per rollback, and once per row of failures where there was nothing to roll back to.
    """
    model_type, symbol, timeframe = rollback.champion_id.split(":")
    place = f"{model_type.upper()} {symbol} {timeframe}"
    train = f'train_model {{"model_type": "{model_type}", "symbol": "{symbol}", "timeframe": "{timeframe}"}}'
    why = f"{rollback.failures} failures in a row, the last one: {rollback.reason}"
    if rollback.done:
        title = f"{place}: the champion was rolled back"
        lines = [
            why,
            f"{rollback.from_model_id} was taken back, {rollback.to_model_id} forecasts again.",
            *(f"Not taken: {skipped}" for skipped in rollback.skipped),
            f"What to do: train a new model ({train}), since the former one is older; look at why the file or its "
            "forecasts broke before the failed model is deployed again.",
        ]
        key = f"rollback:{rollback.champion_id}:v{rollback.version}"
    else:
        title = f"{place}: the champion fails and could not be rolled back"
        lines = [
            why,
            f"{rollback.from_model_id} stays, and there are no forecasts: {rollback.why_not}",
            f"What to do: train a new model ({train}) and deploy it, or restore the database from a backup.",
        ]
        key = f"rollback_impossible:{rollback.from_model_id}:{rollback.since.isoformat(timespec='seconds')}"
    return Message(
        severity=Severity.CRITICAL,
        title=title,
        body="\n".join(lines),
        fields={
            "From": rollback.from_model_id,
            "To": rollback.to_model_id or "nothing",
            "Failures": str(rollback.failures),
            "Since": rollback.since.isoformat(timespec="seconds"),
            "Run": task_id,
        },
        dedupe_key=key,
    )


def manual_rollback_message(result: Mapping[str, Any]) -> Message:
    """Return the WARNING about a rollback that a person asked for.

    :param result: of the DAG `rollback_model`: `model_type`, `symbol`, `timeframe`, `model_id`, `previous_model_id`,
        `version`, `reason`, `rolled_back_by`, `skipped`, `task_id`.
    """
    place = f"{result['model_type'].upper()} {result['symbol']} {result['timeframe']}"
    lines = [
        f"{result['previous_model_id']} was taken back, {result['model_id']} forecasts again.",
        f"Reason: {result['reason']}",
        *(f"Not taken: {skipped}" for skipped in result["skipped"]),
    ]
    return Message(
        severity=Severity.WARNING,
        title=f"{place}: the champion was rolled back by {result['rolled_back_by']}",
        body="\n".join(lines),
        fields={"From": result["previous_model_id"], "To": result["model_id"], "Run": result["task_id"]},
        dedupe_key=f"rollback:{result['champion_id']}:v{result['version']}",
    )
