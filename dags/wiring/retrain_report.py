"""The last word of a retraining run: gathers the branches' outcomes, stores, tells, frees the claims."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dags.wiring.training_operator import ERROR_KEY

if TYPE_CHECKING:
    from include.ml.retrain_report import ModelOutcome
    from include.tasks_api.params.adaptive_retrain import AdaptiveRetrainParams


def report_retraining(params: AdaptiveRetrainParams, context: Mapping[str, Any]) -> dict[str, Any]:
    """Build the result, store it in `retrain_history`, send the report, and free the run's claims.

    :raises include.errors.BadInputError: when the run was refused at admission, so that there is nothing to
        report on (the task `admit` says why).
    """
    from dags.wiring.runtime import send
    from dags.wiring.storage import free_claims, keep
    from include.errors import BadInputError
    from include.ml.retrain_report import RetrainRun, build_result, history_document
    from include.notify.retrain_complete import retrain_message
    from include.store.collections import RETRAIN_HISTORY

    ti, run_id = context["ti"], context["run_id"]
    if ti.xcom_pull(task_ids="admit") is None:
        raise BadInputError(f"nothing was trained: run {run_id} was refused, see its task admit")
    run = RetrainRun(
        task_id=run_id,
        symbol=params.symbol,
        timeframe="1h",
        trigger=params.trigger,
        analysis_reasoning=str(params.analysis_result.get("reasoning", "")),
        finished_at=datetime.now(UTC),
    )
    result = build_result(run, [outcome(ti, run_id, model_type) for model_type in params.model_types])
    keep(context, RETRAIN_HISTORY, history_document(run, result))
    free_claims(context)
    send(retrain_message(result))
    return result


def outcome(ti: Any, run_id: str, model_type: str) -> ModelOutcome:
    """Return how one branch ended, from what its tasks left behind."""
    from include.ml.retrain_report import ModelOutcome

    def pulled(task: str, key: str = "return_value") -> Any:
        return ti.xcom_pull(task_ids=f"{model_type}.{task}", key=key)

    training, judgement = pulled("train"), pulled("judge")
    deployed, kept = pulled("deploy"), pulled("keep")
    if deployed or kept:
        return ModelOutcome(model_type, training, judgement, deployed=bool(deployed))
    said = pulled("train", ERROR_KEY) or {}
    states = ti.get_task_states(dag_id=ti.dag_id, task_group_id=model_type, run_ids=[run_id]).get(run_id, {})
    last = ", ".join(f"{task}: {state or 'not started'}" for task, state in states.items())
    if training is None:
        return ModelOutcome(
            model_type,
            error=said.get("error") or f"the training did not finish ({last})",
            error_type=said.get("error_type") or "TrainingNotFinished",
        )
    return ModelOutcome(
        model_type,
        training,
        judgement,
        error=f"trained, but not judged or deployed to the end ({last})",
        error_type="DeploymentNotFinished",
    )
