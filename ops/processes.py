"""Starting, recognising and ending the processes of one environment.

Every process carries two variables from its start, and its children inherit them: the run folder and the
component's name. Whoever carries ours is ours. So there is no pid file that could go stale and no pid that
could belong to a stranger meanwhile, and a child that left its process group is found all the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from ops.run_dir import REPOSITORY, RUN_DIR_VARIABLE

COMPONENT_VARIABLE = "TRADING_OPS_COMPONENT"


def marked(environment: Mapping[str, str], run_dir: Path, component: str) -> dict[str, str]:
    """Return `environment` with the two variables by which a process is recognised as ours."""
    return {
        **environment,
        RUN_DIR_VARIABLE: str(run_dir),
        COMPONENT_VARIABLE: component,
        # setproctitle would overwrite the memory that the variables are read from.
        "SPT_NOENV": "1",
    }


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, from the repository's root, its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(environment),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def owned(run_dir: Path, component: str | None = None) -> list[psutil.Process]:
    """Return the living processes of the environment at `run_dir`, or of one of its components."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(RUN_DIR_VARIABLE) != str(run_dir) or COMPONENT_VARIABLE not in environment:
                continue
            if component in (None, environment[COMPONENT_VARIABLE]) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return [process for process in found if process.pid != os.getpid()]


def listens(run_dir: Path, component: str, port: int) -> bool:
    """Return whether the component itself, not some other program, listens on the TCP port."""
    for process in owned(run_dir, component):
        with suppress(psutil.Error):
            connections = process.net_connections(kind="tcp")
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
                return True
    return False


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each process that still is the one that was found."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def end(
    process: subprocess.Popen[bytes],
    run_dir: Path,
    component: str,
    grace_s: float,
    number: signal.Signals = signal.SIGTERM,
    *,
    group: bool = False,
) -> int:
    """Ask a component to end, give it `grace_s`, then kill whatever is left of it, children included.

    :param number: the signal that asks.
    :param group: ask the whole session of the process.
    :returns: how many processes had to be killed.
    """
    if process.poll() is None:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    killed = kill_owned(run_dir, component)
    if process.poll() is None:  # a process that hides its variables
        process.kill()
        killed += 1
    process.wait()
    return killed


def kill_owned(run_dir: Path, component: str | None = None, wait_s: float = 10.0) -> int:
    """Kill all processes of an environment or of one component and wait until they are gone.

    :returns: how many there were.
    """
    victims: set[int] = set()
    deadline = time.monotonic() + wait_s
    while (processes := owned(run_dir, component)) and time.monotonic() < deadline:
        signal_all([process for process in processes if process.pid not in victims], signal.SIGKILL)
        victims.update(process.pid for process in processes)
        time.sleep(0.02)  # not psutil's wait: it would take the exit codes of our own children
    return len(victims)
