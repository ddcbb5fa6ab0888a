"""A small client of Airflow's REST API, for the demo, the tests and `make status`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

FINISHED_RUN_STATES = frozenset({"success", "failed"})
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
PATIENCE_S = 90.0
"""Longer than a writer waits for the embedded mode's SQLite (60 s), so that Airflow's own answer is heard."""
PAGE = 100


class AirflowApiError(RuntimeError):
    """Airflow refused a request; the message names it, the status and Airflow's own words.

    :ivar status: the HTTP status.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        request = response.request
        super().__init__(f"{request.method} {request.url.path}: {response.status_code} {response.text[:500]}")


class AirflowClient:
    """Talks to one Airflow as one user. Logs in at the first request and again when the token has expired.

    :param base_url: for instance `http://127.0.0.1:8080`.
    """

    def __init__(
        self, base_url: str, username: str = "admin", password: str = "", *, timeout_s: float = PATIENCE_S
    ) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=False)
        self._credentials = {"username": username, "password": password}
        self._token: str | None = None

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- login and health

    def login(self) -> str:
        """Get a new token.

        :raises AirflowApiError: 401 when the user or the password is wrong.
        """
        response = self._http.post("/auth/token", json=self._credentials)
        if not response.is_success:
            raise AirflowApiError(response)
        self._token = str(response.json()["access_token"])
        return self._token

    def health(self) -> dict[str, str]:
        """Return the status of each of Airflow's components; `unreachable` for all when the API does not answer."""
        try:
            response = self._http.get("/api/v2/monitor/health", timeout=5.0)
            document = response.json() if response.is_success else {}
        except (httpx.HTTPError, ValueError):
            document = {}
        return {name: (document.get(name) or {}).get("status") or "unreachable" for name in COMPONENTS}

    # --- DAGs and runs

    def dags(self) -> list[dict[str, Any]]:
        """Return the active DAGs that this user may read."""
        return list(self._pages("/api/v2/dags", "dags"))

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the files that could not be imported."""
        return list(self._pages("/api/v2/importErrors", "import_errors"))

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run and return its id.

        :raises AirflowApiError: 400 when the conf does not fit the DAG's params, 403 without the right,
            404 for an unknown DAG, 409 when the run exists.
        """
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.request("POST", f"{_dag(dag_id)}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a run as Airflow describes it."""
        return self.request("GET", _run(dag_id, run_id))

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG, the newest first."""
        return list(self._pages(f"{_dag(dag_id)}/dagRuns", "dag_runs", order_by="-run_after"))

    def cancel(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Mark a run failed, which ends its tasks."""
        return self.request("PATCH", _run(dag_id, run_id), json={"state": "failed"})

    def wait(self, dag_id: str, run_id: str, timeout_s: float, poll_s: float = 0.5) -> str:
        """Return the state of a run once it has finished; a server that does not answer for a while is asked again.

        :raises TimeoutError: when it has not within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                state = str(self.run(dag_id, run_id)["state"])
            except httpx.TransportError as error:
                state = f"not known ({type(error).__name__})"
            if state in FINISHED_RUN_STATES:
                return state
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} of {dag_id} is still {state} after {timeout_s:.0f} s")
            time.sleep(poll_s)

    # --- tasks

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        return list(self._pages(f"{_run(dag_id, run_id)}/taskInstances", "task_instances"))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value, or None when there is none."""
        path = f"{_task(dag_id, run_id, task_id)}/xcomEntries/{quote(key, safe='')}"
        return self._value(path, map_index=map_index, deserialize=False)

    def state_store(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """Return a value of a task's state store (progress, for instance), or None when there is none."""
        return self._value(f"{_task(dag_id, run_id, task_id)}/state-store/{quote(key, safe='')}", map_index=map_index)

    def logs(self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int = -1) -> str:
        """Return the log of one try of a task as text."""
        path = f"{_task(dag_id, run_id, task_id)}/logs/{try_number}"
        response = self._send("GET", path, params={"map_index": map_index}, headers={"Accept": "application/x-ndjson"})
        return response.text

    # --- transport

    def request(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """Send a request as the user and return the JSON object that comes back (empty for no content).

        :raises AirflowApiError: for every status outside 2xx.
        """
        response = self._send(method, path, **kwargs)
        document: dict[str, Any] = response.json() if response.content else {}
        return document

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        headers = kwargs.pop("headers", {})
        for last in (False, True):
            token = self._token or self.login()
            response = self._http.request(
                method, path, headers={**headers, "Authorization": f"Bearer {token}"}, **kwargs
            )
            if response.status_code != httpx.codes.UNAUTHORIZED or last:
                break
            self._token = None
        if not response.is_success:
            raise AirflowApiError(response)
        return response

    def _value(self, path: str, **params: Any) -> Any:
        try:
            return self.request("GET", path, params=params)["value"]
        except AirflowApiError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def _pages(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self.request("GET", path, params={"limit": PAGE, "offset": offset, **params})
            yield from page[key]
            offset += PAGE
            if offset >= page["total_entries"]:
                return


def _dag(dag_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id, safe='')}"


def _run(dag_id: str, run_id: str) -> str:
    return f"{_dag(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _task(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}"
