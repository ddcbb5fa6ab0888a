"""What `up`, `down` and `status` print."""

from __future__ import annotations

import time

from ops.client import AirflowApiError, AirflowClient
from ops.environment import ADMIN_NAME, Environment
from ops.run_dir import REPOSITORY
from ops.status import State, Status

PARSE_TIMEOUT_S = 90.0


def dag_files() -> set[str]:
    """Return the files that must each yield a DAG (or an import error), relative to the bundle."""
    return {f"dags/{file.name}" for file in (REPOSITORY / "dags").glob("*.py") if not file.name.startswith("_")}


def wait_for_dags(client: AirflowClient, timeout_s: float = PARSE_TIMEOUT_S) -> list[str]:
    """Wait until every DAG file has been parsed; return what is wrong with them, for printing."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            broken = {error["filename"]: error["stack_trace"] for error in client.import_errors()}
            parsed = {dag["relative_fileloc"] for dag in client.dags()}
        except AirflowApiError as error:
            return [f"Cannot list the DAGs: {error}"]
        missing = dag_files() - parsed - set(broken)
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    problems = [f"{file} cannot be imported:\n{trace}" for file, trace in sorted(broken.items())]
    if missing:
        problems.append(f"No DAG after {timeout_s:.0f} s from: {', '.join(sorted(missing))}")
    return problems


def print_crashes(status: Status) -> None:
    """Print each crash since the last start."""
    for crash in status.crashes:
        print(f"  CRASH {crash}")


def print_problems(status: Status) -> None:
    """Print the crashes and, when it failed, why the environment ended."""
    print_crashes(status)
    if status.state is State.FAILED:
        print(f"  The environment ended by itself: {status.detail}")


def print_welcome(environment: Environment, *, show_password: bool) -> None:
    """Print where everything is; the admin's password only when it was made just now."""
    print(f"\n  Airflow   {environment.base_url}   user {ADMIN_NAME}")
    if show_password:
        print(
            f"  password  {environment.admin_password}   (shown this once; kept in {environment.run_dir.secrets_file})"
        )
    print(f"  MongoDB   {environment.mongo_uri}")
    if urls := environment.sandbox().get("urls", {}):
        print(f"  sandbox   {', '.join(f'{name} {url}' for name, url in sorted(urls.items()) if '/' not in url[8:])}")
    print(f"  logs      {environment.run_dir.logs}\n  to end it: make down\n")


def print_status(base_url: str, status: Status, health: dict[str, str]) -> None:
    """Print the state of the whole, of each process, Airflow's own health report, and the crashes."""
    detail = f" ({status.detail})" if status.detail else ""
    print(f"{status.state.value}{detail}, since {status.started_at}: {base_url}")
    for name, component in status.components.items():
        print(f"  {name:14} pid {component['pid']}, restarts {component['restarts']}, log {component['log']}")
    print("  health         " + ", ".join(f"{name}: {state}" for name, state in health.items()))
    print_crashes(status)
