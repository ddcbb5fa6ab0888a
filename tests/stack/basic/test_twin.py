"""The running stack against docker-compose.yaml: every service, queue, pool and environment key."""

from __future__ import annotations

import psutil
import pytest

from include.settings import Settings
from ops import compose
from ops.distributed_setup import distributed_pools
from ops.processes import owned
from ops.stack.addresses import HOST
from ops.stack.components import consumers
from ops.stack.twin import ENDS_BY_ITSELF, NOT_HERE
from tests.stack.stack import Stack

OURS = [name for name, service in compose.services().items() if compose.is_ours(service) and name not in NOT_HERE]
STAY = [name for name in OURS if name != ENDS_BY_ITSELF]


def test_every_service_runs_or_is_said_not_to(stack: Stack) -> None:
    assert set(NOT_HERE) <= set(compose.services())
    expected = set(compose.services()) - set(NOT_HERE) - {ENDS_BY_ITSELF}
    assert set(stack.twin.components().values()) == expected
    for component in stack.twin.components():
        assert stack.processes(component), component


@pytest.mark.parametrize("service", STAY)
def test_a_process_has_the_environment_that_compose_gives_its_service(stack: Stack, service: str) -> None:
    said = compose.environment_of(compose.services()[service], stack.twin.filling())
    added = stack.twin.added(service, service)
    (process,) = [p for p in owned(stack.folder, service) if p.pid == stack.pid(service)]
    really = process.environ()
    expected = {**stack.twin.said(service), **{name: value for name, value in added.items() if name != "PYTHONPATH"}}
    assert set(said) <= set(really)
    assert {name: really.get(name) for name in expected} == expected
    bundles = {name for name in really if name.startswith(("TRADING_OPS_", "AIRFLOW_CONN_", "OPENAI_"))}
    marks = {"TRADING_OPS_RUN_DIR", "TRADING_OPS_COMPONENT", "TRADING_OPS_ROOT"}
    assert bundles - marks == {n for n in said if n.startswith(("TRADING_OPS_", "AIRFLOW_CONN_", "OPENAI_"))} - marks


@pytest.mark.parametrize("service", STAY)
def test_a_process_runs_the_command_that_compose_gives_its_service(stack: Stack, service: str) -> None:
    words = compose.command_of(compose.services()[service], stack.twin.filling())
    here = stack.twin.command(service, service)
    start = here.index("airflow") + 1 if words[0] == "airflow" else 1
    kept = here[start : start + len(words) - 1]
    different = [(one, other) for one, other in zip(words[1:], kept, strict=True) if one != other]
    assert different in ([], [("0.0.0.0", HOST), ("9102", kept[-1])]), "only addresses may differ"


def test_every_queue_is_consumed_by_its_workers(stack: Stack) -> None:
    known = consumers(stack.twin)
    for name, service in compose.workers().items():
        if name not in NOT_HERE:
            for queue in compose.queues_of(service):
                assert known[queue] == stack.twin.replicas(name), queue


def test_the_pools_are_those_of_the_set_up(stack: Stack) -> None:
    pools = {pool["name"]: pool["slots"] for pool in stack.client.request("GET", "/api/v2/pools")["pools"]}
    assert pools == {name: pool["slots"] for name, pool in distributed_pools(Settings()).items()}


def test_nothing_listens_beyond_this_machine(stack: Stack) -> None:
    """The log servers of Airflow listen on every interface: nobody may start one."""
    open_to_others = [
        f"{process.environ()['TRADING_OPS_COMPONENT']} {connection.laddr}"
        for process in owned(stack.folder)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip not in ("127.0.0.1", "::1")
    ]
    assert open_to_others == []


def test_no_process_has_a_secret_in_its_arguments(stack: Stack) -> None:
    secrets = {value for name, value in stack.twin.secrets.items() if len(value) >= 12}
    for process in owned(stack.folder):
        arguments = " ".join(process.cmdline())
        assert not [value for value in secrets if value in arguments], process.name()
