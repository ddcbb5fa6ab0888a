"""The processes of the embedded mode: which command each one is, and when it is ready."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from ops import ports
from ops.client import AirflowClient
from ops.environment import ADMIN_NAME, Environment
from ops.files import last_lines, read_json, write_json
from ops.processes import listens, spawn
from ops.run_dir import REPOSITORY, RunDir
from ops.sizing import sized_pools
from ops.supervisor import Component, StartError
from sandbox.mongod import start_mongod

ROLES_FILE = REPOSITORY / "config" / "roles.json"
TRIGGERER_GRACE_S = 3.0
"""The triggerer of 3.3.2 does not end when asked: its runner was still there 10 s after the signal, each time that we
looked. What a trigger waits for stands in the database: the next triggerer takes it up."""
SETUP_TIMEOUT_S = 300
HEALTH_TIMEOUT_S = 180.0

# Log servers listen on every interface; here the API server reads the files itself.
AIRFLOW_COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
HEALTH_NAMES = {
    "api-server": "metadatabase",
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}


def sandbox_component(
    run_dir: RunDir, sandbox_ports: Mapping[str, int], variables: Mapping[str, str], *, spec_endpoints: bool = False
) -> Component:
    """Return the stand-ins as one component; it is ready when it has written down where they are."""
    run_dir.sandbox_file.unlink(missing_ok=True)
    listed = ",".join(f"{name}={port}" for name, port in sandbox_ports.items())
    command = [
        sys.executable, "-m", "sandbox.launcher", "--folder", str(run_dir.sandbox),
        "--urls-file", str(run_dir.sandbox_file), "--ports", listed,
        *(["--spec-endpoints"] if spec_endpoints else []),
    ]  # fmt: skip
    log = run_dir.log("sandbox")
    return Component(
        "sandbox", partial(spawn, command, variables, log), log, ready=run_dir.sandbox_file.exists, grace_s=15.0
    )


def services(environment: Environment) -> list[Component]:
    """Return what Airflow and its DAGs talk to: the sandbox and the mongod, unless the caller has others."""
    run_dir = environment.run_dir
    components = []
    if environment.uses_sandbox:
        sandbox_ports = {name: environment.ports[name] for name in ports.SANDBOX}
        components.append(sandbox_component(run_dir, sandbox_ports, environment.for_strangers("sandbox")))
    if environment.starts_mongod:
        components.append(
            Component("mongod", partial(_mongod, environment), run_dir.mongo / "mongod.log", grace_s=30.0)
        )
    return components


def _mongod(environment: Environment) -> subprocess.Popen[bytes]:
    variables = environment.for_strangers("mongod")
    return start_mongod(environment.run_dir.mongo, environment.ports["mongod"], variables).process


def is_healthy(run_dir: RunDir, client: AirflowClient, port: int, name: str) -> bool:
    """Return whether Airflow's own report says of a component (of :data:`HEALTH_NAMES`) that it is healthy.

    :param port: the API server's; another Airflow that took it meanwhile would report its own health.
    """
    return listens(run_dir.path, "api-server", port) and client.health()[HEALTH_NAMES[name]] == "healthy"


def airflow(environment: Environment) -> list[Component]:
    """Return Airflow's components. Each is ready when Airflow's own health report says so."""
    healthy = partial(is_healthy, environment.run_dir, AirflowClient(environment.base_url), environment.ports["api"])
    return [
        Component(
            name,
            partial(
                spawn,
                [sys.executable, "-m", "airflow", *command],
                environment.variables(name),
                environment.run_dir.log(name),
            ),
            environment.run_dir.log(name),
            ready=partial(healthy, name),
            ready_timeout_s=HEALTH_TIMEOUT_S,
            grace_s=TRIGGERER_GRACE_S if name == "triggerer" else Component.grace_s,
            ends_last=name == "api-server",
        )
        for name, command in AIRFLOW_COMMANDS.items()
    ]


def set_up_airflow(environment: Environment) -> bool:
    """Bring Airflow's database to what this environment needs; skipped when that was done before.

    :returns: whether anything had to be done.
    :raises StartError: when a step fails; the message holds the last lines of its log.
    """
    run_dir = environment.run_dir
    plan = _plan(environment)
    digest = _digest(plan)
    if run_dir.database.exists() and read_json(run_dir.setup_file).get("digest") == digest:
        return False
    log = run_dir.log("setup")
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                [sys.executable, "-m", "ops.airflow_setup"],
                env=environment.variables("setup"),
                cwd=REPOSITORY,
                input=json.dumps(plan).encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=SETUP_TIMEOUT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise StartError(f"setting up Airflow took more than {SETUP_TIMEOUT_S} s: see {log}") from error
    if code != 0:
        raise StartError("\n".join([f"setting up Airflow failed with code {code}: see {log}", *last_lines(log, 10)]))
    write_json(run_dir.setup_file, {"digest": digest}, mode=0o600)
    return True


def _plan(environment: Environment) -> dict[str, Any]:
    return {
        "database": str(environment.run_dir.database),
        "roles_file": str(ROLES_FILE),
        "pools": sized_pools(environment.sizes),
        "connections": environment.connections(),
        "admin": {"name": ADMIN_NAME, "password": environment.admin_password},
    }


def _digest(plan: dict[str, Any]) -> str:
    parts = [
        json.dumps(plan, sort_keys=True),
        ROLES_FILE.read_text(encoding="utf-8"),
        version("apache-airflow"),
        version("apache-airflow-providers-fab"),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
