"""The processes of the native stack, in the order of their start, and when each of them is ready."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial

import httpx

from ops import compose, ports
from ops.client import AirflowClient
from ops.components import HEALTH_NAMES, is_healthy, sandbox_component
from ops.files import last_lines
from ops.processes import spawn
from ops.run_dir import RunDir
from ops.stack import addresses
from ops.stack.servers import prometheus, servers
from ops.stack.twin import ENDS_BY_ITSELF, SPEC_ENDPOINTS, Twin
from ops.status import State
from ops.supervisor import Component, StartError, Supervisor

SET_UP_TIMEOUT_S = 300
READY_TIMEOUT_S = 240.0
ASK_TIMEOUT_S = 5.0
GRACE_S = 30.0
"""How long a process may finish what it has begun; Compose grants hours, but nobody waits for a trial that long."""


def bring_up(supervisor: Supervisor, twin: Twin) -> None:
    """Start everything: stand-ins, servers, the set-up, Airflow.

    :raises StartError: when something does not come up.
    """
    if twin.uses_sandbox:
        spec = twin.caller.get(SPEC_ENDPOINTS) == "1"
        sandbox_ports = {name: twin.ports[name] for name in ports.SANDBOX}
        supervisor.start(
            [sandbox_component(twin.run_dir, sandbox_ports, twin.for_strangers("sandbox"), spec_endpoints=spec)]
        )
    supervisor.start(servers(twin))
    supervisor.say(State.STARTING, "setting up MongoDB, RabbitMQ and Airflow's database")
    set_up(twin)
    named = [(component, service) for component, service in twin.components().items() if compose.is_ours(_of(service))]
    named.sort(key=lambda pair: pair[1] != "api-server")  # as in Compose, whoever runs tasks comes after it
    supervisor.start([_component(twin, component, service) for component, service in named])
    if shutil.which("prometheus"):
        supervisor.start([prometheus(twin)])


def set_up(twin: Twin) -> None:
    """Run the set-up service to its end.

    :raises StartError: when it fails; the message holds the last lines of its log.
    """
    log = twin.run_dir.log(ENDS_BY_ITSELF)
    process = spawn(twin.command(ENDS_BY_ITSELF, ENDS_BY_ITSELF), twin.variables(ENDS_BY_ITSELF, ENDS_BY_ITSELF), log)
    try:
        code = process.wait(SET_UP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise StartError(f"the set-up took more than {SET_UP_TIMEOUT_S} s: see {log}") from error
    if code != 0:
        raise StartError("\n".join([f"the set-up failed with code {code}: see {log}", *last_lines(log, 10)]))


def consumers(twin: Twin) -> dict[str, int]:
    """Return how many workers consume each queue of the broker; none while it does not answer."""
    url = httpx.URL(twin.said(ENDS_BY_ITSELF)["TRADING_OPS_RABBITMQ_MANAGEMENT_URL"])
    try:
        answer = httpx.get(
            f"{url.scheme}://{url.host}:{url.port}/api/queues/trading_ops",
            auth=(url.username, url.password), timeout=ASK_TIMEOUT_S,
        )  # fmt: skip
        return {queue["name"]: queue.get("consumers", 0) for queue in answer.raise_for_status().json()}
    except (httpx.HTTPError, ValueError):
        return {}


def left_behind(run_dir: RunDir) -> list[str]:
    """Return what the stack's servers should not leave: a file that names a running PostgreSQL."""
    pid_file = run_dir.path / "postgres" / "data" / "postmaster.pid"
    return [f"PostgreSQL did not end cleanly: {pid_file} is left"] if pid_file.exists() else []


def _of(service: str) -> compose.Service:
    return compose.services()[service]


def _component(twin: Twin, component: str, service: str) -> Component:
    log = twin.run_dir.log(component)

    def start() -> subprocess.Popen[bytes]:
        # With the environment of this moment: the sandbox may have been started again.
        return spawn(twin.command(service, component), twin.variables(service, component), log)

    ready = partial(_ready, twin, component, service)
    return Component(component, start, log, ready, READY_TIMEOUT_S, GRACE_S, ends_last=service == "api-server")


def _ready(twin: Twin, component: str, service: str) -> bool:
    if service in HEALTH_NAMES:
        with AirflowClient(twin.base_url) as client:
            return is_healthy(twin.run_dir, client, twin.ports[addresses.API], service)
    if service in compose.workers():
        known = consumers(twin)
        return all(known.get(queue, 0) >= twin.replicas(service) for queue in compose.queues_of(_of(service)))
    page = {
        "flower": f"{twin.ports[addresses.FLOWER]}/healthcheck",
        "metrics": f"{twin.ports[addresses.METRICS]}/healthz",
    }
    try:
        return httpx.get(f"http://{addresses.HOST}:{page[component]}", timeout=ASK_TIMEOUT_S).is_success
    except httpx.HTTPError:
        return False
