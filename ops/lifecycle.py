"""Up, down and status of an environment that runs detached on this machine, whatever its components are."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from ops import report
from ops.client import AirflowClient
from ops.environment import ADMIN_NAME, load_dotenv
from ops.files import last_lines
from ops.ports import is_free
from ops.processes import kill_owned, marked, owned, signal_all, spawn
from ops.run_dir import RunDir
from ops.status import State, Status, now
from ops.supervisor import RestartPolicy, StartError, StopRequestedError, Supervisor

START_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 180.0
POLL_S = 0.2


class Described(Protocol):
    """What is known of an environment, running or not."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Its TCP ports on 127.0.0.1 by name."""

    @property
    def base_url(self) -> str:
        """Where its UI and REST API answer."""

    @property
    def admin_password(self) -> str:
        """The password of the user `admin`."""


@dataclass(frozen=True)
class Mode:
    """One way to run the bundle on this machine.

    :param module: what `python -m` runs; it calls :func:`main`.
    :param ended_by: the command that ends it, for people.
    :param describe: returns the environment in a folder, making what is missing, and the names of new secrets;
        `running` says that its ports are taken by itself.
    :param bring_up: starts the components one after the other; raises StartError.
    :param welcome: prints where everything is, given the environment and the new secrets.
    :param left_behind: what the mode's own components should not leave.
    """

    module: str
    ended_by: str
    describe: Callable[..., tuple[Any, list[str]]]
    bring_up: Callable[[Supervisor, Any], None]
    welcome: Callable[[Any, list[str]], None]
    left_behind: Callable[[RunDir], list[str]]
    policy: RestartPolicy = field(default_factory=RestartPolicy)


def supervise(mode: Mode, run_dir: RunDir) -> int:
    """Run the environment until asked to end or until it cannot be kept up (the body of the detached process)."""
    environment, _ = mode.describe(run_dir)
    supervisor = Supervisor(run_dir.path, run_dir.status_file, mode.policy)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop_requested.set())
    supervisor.status.supervisor_pid, supervisor.status.started_at = os.getpid(), now()
    supervisor.say(State.STARTING)
    try:
        mode.bring_up(supervisor, environment)
        supervisor.say(State.RUNNING)
        kept_up = supervisor.watch()
    except StopRequestedError:
        kept_up = True
    except (StartError, RuntimeError, OSError) as error:
        supervisor.say(State.FAILED, str(error))
        kept_up = False
    detail = supervisor.status.detail
    supervisor.stop(State.STOPPED if kept_up else State.FAILED, "" if kept_up else detail)
    return 0 if kept_up else 1


def supervisor_of(run_dir: RunDir) -> psutil.Process | None:
    """Return the living supervisor of the environment, or None."""
    return next(iter(owned(run_dir.path, "supervisor")), None)


def up(mode: Mode, run_dir: RunDir) -> int:
    """Start the environment and return once it is healthy; does nothing when it runs already."""
    supervisor = supervisor_of(run_dir)
    before = Status.read(run_dir.status_file)
    if supervisor is not None and before.state is State.RUNNING:
        environment, _ = mode.describe(run_dir, running=True)
        print(f"Already running (since {before.started_at}): {environment.base_url}")
        report.print_crashes(before)
        return 0
    if before.crashes or before.state is State.FAILED:
        print("The last time this environment ran:")
        report.print_problems(before)
    if leftovers := kill_owned(run_dir.path):
        print(f"Ended {leftovers} process(es) that an earlier start had left without a supervisor.")
    environment, new_secrets = mode.describe(run_dir)
    begun = time.monotonic()
    command = [sys.executable, "-m", mode.module, "supervise"]
    process = spawn(command, marked(os.environ, run_dir.path, "supervisor"), run_dir.log("supervisor"))
    shown = ""
    while True:
        ended = process.poll() is not None
        status = Status.read(run_dir.status_file)
        current = status.supervisor_pid == process.pid
        if current and status.state is State.STARTING and status.detail not in ("", shown):
            shown = status.detail
            print(f"  {time.monotonic() - begun:3.0f} s  {shown}", flush=True)
        if current and status.state is State.RUNNING:
            break
        if ended:
            print(f"The environment did not start: {status.detail if current else ''}", file=sys.stderr)
            report.print_crashes(status)
            print("\n".join(last_lines(run_dir.log("supervisor"), 10)), file=sys.stderr)
            return 1
        if time.monotonic() - begun > START_TIMEOUT_S:
            print(
                f"The environment is not up after {START_TIMEOUT_S:.0f} s; `{mode.ended_by}` ends it.", file=sys.stderr
            )
            return 1
        time.sleep(POLL_S)
    print(f"  {time.monotonic() - begun:3.0f} s  parsing the DAGs", flush=True)
    with AirflowClient(environment.base_url, ADMIN_NAME, environment.admin_password) as client:
        problems = report.wait_for_dags(client)
    print(f"Up after {time.monotonic() - begun:.0f} s.")
    mode.welcome(environment, new_secrets)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def down(mode: Mode, run_dir: RunDir) -> int:
    """End the environment and make sure that nothing of it is left."""
    supervisor = supervisor_of(run_dir)
    if supervisor is not None:
        print("Ending the environment ...", flush=True)
        signal_all([supervisor], signal.SIGTERM)
        psutil.wait_procs([supervisor], timeout=STOP_TIMEOUT_S)
    elif owned(run_dir.path):
        print("The supervisor is gone; ending what it left behind.")
    killed = kill_owned(run_dir.path)
    status = Status.read(run_dir.status_file)
    report.print_problems(status)
    if status.state not in (State.STOPPED, State.FAILED):
        status.state, status.detail = State.STOPPED, "ended without its supervisor"
        status.write(run_dir.status_file)
    problems = leftovers(mode, run_dir)
    if supervisor is not None and killed:
        problems.append(f"{killed} process(es) did not end within {STOP_TIMEOUT_S:.0f} s and were killed")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("Down: no process and no port of the environment is left.")
    return 1 if problems else 0


def leftovers(mode: Mode, run_dir: RunDir) -> list[str]:
    """Return what should not be there after the end: processes, listening ports, files that claim a running server."""
    problems = [f"process {process.pid} is still there" for process in owned(run_dir.path)]
    environment, _ = mode.describe(run_dir, running=True)
    problems += [
        f"port {port} ({name}) is still taken" for name, port in environment.ports.items() if not is_free(port)
    ]
    return problems + mode.left_behind(run_dir)


def unclean_mongod(run_dir: RunDir) -> list[str]:
    """Return a complaint when the mongod of the environment did not end in order."""
    lock = run_dir.mongo / "data" / "mongod.lock"
    return (
        [f"mongod did not end cleanly: {lock} still names its process"] if lock.exists() and lock.stat().st_size else []
    )


def status(mode: Mode, run_dir: RunDir) -> int:
    """Print the state of the environment; the exit code is 0 only when all of it is healthy."""
    current = Status.read(run_dir.status_file)
    supervisor = supervisor_of(run_dir)
    if supervisor is None:
        orphans = owned(run_dir.path)
        if orphans:
            print(f"The supervisor is gone, but {len(orphans)} of its processes run on: `{mode.ended_by}` ends them.")
        else:
            print("Not running.")
        report.print_problems(current)
        return 1
    environment, _ = mode.describe(run_dir, running=True)
    with AirflowClient(environment.base_url) as client:
        health = client.health()
    report.print_status(environment.base_url, current, health)
    return 0 if current.state is State.RUNNING and set(health.values()) == {"healthy"} else 1


@contextmanager
def only_one(run_dir: RunDir) -> Iterator[None]:
    """Keep other `up` and `down` commands away from the environment; exits when one is at work already."""
    run_dir.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with run_dir.lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"Another `up` or `down` is at work on {run_dir.path}: wait for it.")
        try:
            yield
        finally:
            run_dir.lock_file.unlink(missing_ok=True)


def main(mode: Mode, run_dir: Callable[[], RunDir], description: str) -> int:
    """Run the command line of a mode: `up`, `down`, `status` (and `supervise`, which `up` starts).

    :param run_dir: says where, once `.env` has been read.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {mode.module}", description=description)
    parser.add_argument("command", choices=("up", "down", "status", "supervise"))
    command = parser.parse_args().command
    load_dotenv()
    folder = run_dir()
    if command == "status":
        return status(mode, folder)
    if command == "supervise":
        return supervise(mode, folder)
    if command == "down" and not folder.path.exists():
        print(f"Nothing to end: there is no environment in {folder.path}.")
        return 0
    with only_one(folder):
        return up(mode, folder) if command == "up" else down(mode, folder)
