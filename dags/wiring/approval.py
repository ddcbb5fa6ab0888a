"""The one way to ask a person: they see the evidence and answer in Airflow (human in the loop)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from include.settings import get_settings

TASK_ID = "approve"
ANSWER_KEY = "answer"
NOBODY = "nobody (no answer in time)"

Context = Mapping[str, Any]


class RecordedApproval(ApprovalOperator):
    """An approval that leaves its answer behind and skips nothing; what acts on the answer reads it with `approver`.

    Airflow's own keeps no XCom of a refusal. It also skips what follows before it has ended itself: where the scheduler
    loses an answer (one that comes before it has noticed the end of the asking process) and asks again, the lost
    refusal would hold, whatever the person then says.
    """

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Leave the answer as XCom `answer`."""
        user = event.get("responded_by_user")
        name = (user.get("name") or user.get("id")) if isinstance(user, Mapping) else None
        approved = event.get("chosen_options") == [self.APPROVE]
        context["ti"].xcom_push(ANSWER_KEY, {"approved": approved, "by": str(name) if name else NOBODY})
        self.hitl_summary_extra["approved"] = approved
        return super(ApprovalOperator, self).execute_complete(context, event)


def approval(subject: str, body: str) -> ApprovalOperator:
    """Return the step: it holds no slot while it waits, and takes silence for a refusal.

    :param subject: templated.
    :param body: templated, Markdown.
    """
    return RecordedApproval(
        task_id=TASK_ID,
        subject=subject,
        body=body,
        defaults=ApprovalOperator.REJECT,
        response_timeout=timedelta(hours=get_settings().approval_timeout_h),
    )


def answer(context: Context) -> tuple[bool, str] | None:
    """Return whether it was approved, and by whom; None where this run needed no approval."""
    given = context["ti"].xcom_pull(task_ids=TASK_ID, key=ANSWER_KEY)
    return None if given is None else (bool(given["approved"]), str(given["by"]))


def approver(context: Context) -> str | None:
    """Return who has approved; None where nobody has answered in this run.

    :raises airflow.sdk.exceptions.AirflowSkipException: when it was refused, so that the acting task is skipped.
    """
    given = answer(context)
    if given is None:
        return None
    approved, by = given
    if not approved:
        raise AirflowSkipException(f"refused by {by}: nothing is changed")
    return by
