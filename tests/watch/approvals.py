"""What a person does when Airflow asks: reads the case, answers."""

from __future__ import annotations

import contextlib

from ops.client import AirflowApiError
from tests.chain.conftest import Bundle, RunView, eventually


def detail(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def state(bundle: Bundle, dag_id: str, run_id: str) -> str | None:
    """Return the state of the run's question."""
    return {task["task_id"]: task["state"] for task in bundle.client.task_instances(dag_id, run_id)}.get("approve")


def case(bundle: Bundle, dag_id: str, run_id: str) -> str:
    """Return what is asked, once it is."""
    eventually(lambda: state(bundle, dag_id, run_id) == "awaiting_input")
    return str(bundle.client.request("GET", detail(dag_id, run_id))["body"])


def answer(bundle: Bundle, dag_id: str, run_id: str, choice: str) -> RunView:
    """Answer once Airflow asks, again when it asks again, and return the finished run.

    Airflow loses an answer that comes before its scheduler has noticed the end of the asking process, which only a
    program can be quick enough for: the task is then tried again, and asks again.
    """

    def taken() -> bool:
        if (now := state(bundle, dag_id, run_id)) == "awaiting_input":
            with contextlib.suppress(AirflowApiError):  # it was answered between the two requests
                body = {"chosen_options": [choice], "params_input": {}}
                bundle.client.request("PATCH", detail(dag_id, run_id), json=body)
        return now == "success"

    eventually(taken)
    return bundle.finish(dag_id, run_id)
