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

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Label, dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.gpt4_switch import APPROVE, REJECT
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
        return "already_on" if evidence["on"] else "approve"

    @task
    def already_on() -> None:
        """Do nothing: GPT-4 may be asked."""

    @task.branch
    def is_approved(answer: dict[str, Any]) -> str:
        """Choose by the answer."""
        return "switch_on" if answer["chosen_options"] == [APPROVE] else "keep_off"

    @task(multiple_outputs=False)
    def switch_on(**context: Any) -> dict[str, Any]:
        """Switch GPT-4 on, in the name of whoever approved."""
        from dags.wiring.gpt4_switch import switch_on_again

        return switch_on_again(context)

    @task(multiple_outputs=False)
    def keep_off(**context: Any) -> dict[str, Any]:
        """Say that it was refused, and by whom."""
        from dags.wiring.gpt4_switch import refused

        return refused(context)

    @task(trigger_rule="none_failed_min_one_success", multiple_outputs=False)
    def result(**context: Any) -> dict[str, Any]:
        """Return what the run has come to."""
        from dags.wiring.gpt4_switch import outcome

        return outcome(context)

    # Not the ApprovalOperator: after a refusal that keeps no answer, so nobody would know who has refused.
    approve = HITLOperator(
        task_id="approve",
        subject="May GPT-4 be asked again?",
        body="{{ ti.xcom_pull(task_ids='gather_evidence')['text'] }}",
        options=[APPROVE, REJECT],
        defaults=REJECT,
        response_timeout=timedelta(hours=get_settings().approval_timeout_h),
    )
    way = is_switched_off(gather_evidence())
    approved, end = is_approved(approve.output), result()
    way >> Label("on already") >> already_on() >> end
    way >> Label("switched off") >> approve
    approved >> Label("approved") >> switch_on() >> end
    approved >> Label("refused, or nobody answered") >> keep_off() >> end


enable_gpt4()
