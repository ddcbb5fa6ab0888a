"""# Roll back model

Takes a champion back: the model that it replaced forecasts again. Nothing is deleted.

- **When:** on demand, with a reason.
- **Recorded** in `deployments`: from, to, reason, and who asked for it.
- **Once:** the champion that the first task saw is the one that is taken back; when another one has been deployed
  meanwhile, nothing changes and the run fails.
- **Result:** the XCom of `roll_back`, a message to the channels.
- **Fails** without retries when there is no champion, nothing before it, or the previous model cannot be opened (then
  *Go further back if need be* helps, or `train_model`).

A champion that fails three times in a row to load or to forecast is rolled back without this DAG.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from include.tasks_api.params.rollback_model import RollbackModelParams


@dag(
    dag_id="rollback_model",
    description="Brings a model's previous champion back.",
    schedule=None,
    params=dag_params(RollbackModelParams),
    tags=["ml", "on-demand"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin", "RiskOfficer"),
)
def rollback_model() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def admit(**context: Any) -> dict[str, Any]:
        """Check the params, and note the champion that is to be taken back."""
        from dags.wiring.rollback import admit_rollback

        return admit_rollback(context)

    @task(multiple_outputs=False)
    def roll_back(champion: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Move the champion's pointer if it still is where it was, and say so."""
        from dags.wiring.rollback import roll_back as take_back

        return take_back(champion, context)

    roll_back(admit())


rollback_model()
