"""# Adaptive retrain

Trains the requested networks on the newest candles of one symbol, judges each against the champion on
bars that neither has seen, and deploys only what is good enough and not worse.

- **When:** started by `gpt4_self_analysis`, or on demand.
- **Rule:** deploy at an accuracy of at least 60 %, a skill of at least -3 points against the baseline, and an
  accuracy not below the champion's on the same bars (equal deploys: fresher data). With fewer than 150 bars to
  compare on, the champion stays. The first model ever is compared with nobody.
- **Result:** `retrain_history`, one report to the channels, and the XCom of `report`.
- **Fails** when a requested training failed; what was good is deployed all the same. When all failed or nothing
  was deployed, the report is CRITICAL.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Label, TaskGroup, dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from dags.wiring.training import admit_trainings, deploy_better, train
from include.tasks_api.params.adaptive_retrain import AdaptiveRetrainParams
from include.tasks_api.params.fields import MODEL_TYPES


@dag(
    dag_id="adaptive_retrain",
    description="Retrains up to three networks on one symbol and deploys only better ones.",
    schedule=None,
    params=dag_params(AdaptiveRetrainParams),
    tags=["ml", "ai-improvement", "on-demand"],
    dagrun_timeout=timedelta(hours=8),
    doc_md=__doc__,
    **dag_defaults("ml_training", "MLAdmin"),
)
def adaptive_retrain() -> None:
    """Wire the DAG."""

    @task
    def admit(**context: Any) -> list[str]:
        """Check the params and claim the trainings; another run on the same symbol is refused here."""
        params = run_params(AdaptiveRetrainParams, context)
        return admit_trainings(context, params.model_types, params.symbol)

    @task(multiple_outputs=False)
    def refresh_candles(**context: Any) -> dict[str, Any]:
        """Fetch what is missing of the days to learn from and of the warm-up before them."""
        from dags.wiring.training import refresh

        params = run_params(AdaptiveRetrainParams, context)
        return refresh(params.symbol, "1h", params.days_of_data)

    @task.branch
    def choose_networks(**context: Any) -> list[str]:
        """Choose the groups of the requested networks."""
        return [f"{model_type}.train" for model_type in run_params(AdaptiveRetrainParams, context).model_types]

    @task(trigger_rule="all_done", multiple_outputs=False)
    def report(**context: Any) -> dict[str, Any]:
        """Say what happened to each requested network, whatever happened; free the claims."""
        from dags.wiring.retrain_report import report_retraining

        return report_retraining(run_params(AdaptiveRetrainParams, context), context)

    @task(retries=0)
    def every_network_trained(result: dict[str, Any]) -> None:
        """Fail the run when a requested network could not be trained, so that nothing looks green."""
        from include.errors import TradingOpsError
        from include.ml.retrain_report import run_succeeded

        if not run_succeeded(result):
            failed = {name: model["error"] for name, model in result["models"].items() if model["status"] == "failed"}
            raise TradingOpsError(f"training failed: {failed}; see those tasks' logs, their champions are unchanged")

    admitted = admit()
    candles = refresh_candles()
    choice = choose_networks()
    reported = report()
    admitted >> candles >> choice
    for model_type in MODEL_TYPES:
        with TaskGroup(model_type, prefix_group_id=True):
            trained = train(model_type, AdaptiveRetrainParams, transient_retries=1)
            _, ends = deploy_better(trained)
        choice >> Label(model_type) >> trained
        ends >> reported
    [admitted, candles, choice] >> reported
    every_network_trained(reported)


adaptive_retrain()
