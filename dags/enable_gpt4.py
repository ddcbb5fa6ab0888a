"""# Switch GPT-4 on again

Critical costs switch GPT-4 off. This run shows why, what has been spent and who has asked, and waits for an approval;
only then may GPT-4 be asked again.

- **When:** on demand, with a reason.
- **Approval:** in the UI under *Required Actions*, or `PATCH .../taskInstances/approve/-1/hitlDetails`, by whoever has
  the right to answer (RiskOfficer, Admin). Unanswered, it is refused after the configured time (24 hours).
- **Result:** who approved or refused, as XCom of `result`; every change is kept in `gpt4_switch_history`.
- **GPT-4 is on already:** the run says so and asks nobody.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Label, dag, task

from dags.wiring.approval import TASK_ID, approval
from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from include.settings import get_settings
from include.tasks_api.params.reports import EnableGpt4Params


@dag(
    dag_id="enable_gpt4",
    description="Switches GPT-4 on again after a critical cost, once a person has approved.",
    schedule=None,
    params=dag_params(EnableGpt4Params),
    tags=["ai-improvement", "on-demand"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=get_settings().approval_timeout_h + 1),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin", "RiskOfficer"),
)
def enable_gpt4() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def gather_evidence(**context: Any) -> dict[str, Any]:
        """Collect what a person should see: why it is off, what was spent, who asks."""
        from dags.wiring.gpt4_switch import gather_evidence

        return gather_evidence(context)

    @task.branch
    def is_switched_off(evidence: dict[str, Any]) -> str:
        """Choose the way: nothing to approve while GPT-4 is on."""
        return "result" if evidence["on"] else TASK_ID

    @task(multiple_outputs=False)
    def switch_on(**context: Any) -> dict[str, Any]:
        """Switch GPT-4 on, in the name of whoever approved."""
        from dags.wiring.gpt4_switch import switch_on_again

        return switch_on_again(context)

    # A refusal skips the acting task before it.
    @task(trigger_rule="none_failed", multiple_outputs=False)
    def result(**context: Any) -> dict[str, Any]:
        """Return what the run has come to; say a refusal."""
        from dags.wiring.gpt4_switch import end

        return end(context)

    approve = approval("May GPT-4 be asked again?", "{{ ti.xcom_pull(task_ids='gather_evidence')['text'] }}")
    way, last = is_switched_off(gather_evidence()), result()
    way >> Label("switched off") >> approve >> switch_on() >> last
    way >> Label("on already: nothing to ask") >> last


enable_gpt4()
