"""Child runs: started once, whatever happens to the parent.

The child's run id derives from the parent's. An existing child makes Airflow's operator skip, which
counts as triggered: the task after it asks Airflow whether the child is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from include.tasks_api.run_ids import child_run_id


class TriggerAsGiven(TriggerDagRunOperator):
    """Starts runs with exactly the conf it is given, for confs that people, services or models have written.

    Airflow's own operator renders its conf as a template, also where it comes out of an XCom: a text such as
    `{{ conn.mongo_default.password }}` in it would be carried out.
    """

    template_fields: Sequence[str] = ()


def trigger_child(task_id: str, dag_id: str, conf: Any, prefix: str) -> TriggerDagRunOperator:
    """Return the operator that starts one child run, `{prefix}__{run id of the parent}`.

    :param conf: the child's params, templated.
    """
    return TriggerDagRunOperator(
        task_id=task_id,
        trigger_dag_id=dag_id,
        trigger_run_id=child_run_id(prefix, "{{ run_id }}"),
        conf=conf,
        logical_date=None,
        skip_when_already_exists=True,
        fail_when_dag_is_paused=True,
    )


def existing_child(ti: Any, dag_id: str, run_id: str) -> bool:
    """Ask Airflow whether that run exists.

    :param ti: the running task instance.
    """
    return bool(ti.get_dr_count(dag_id=dag_id, run_ids=[run_id]))
