"""Keeps the components of an environment alive, records what crashes, and ends all of them together.

It knows nothing about Airflow: a component is a name, a way to start it and a way to see that it is ready.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.files import last_lines
from ops.processes import end, kill_owned
from ops.status import Crash, State, Status, now

POLL_S = 0.25


class StartError(RuntimeError):
    """A component did not come up; the message names it, the reason and its log."""


class StopRequestedError(RuntimeError):
    """Somebody asked for the end while the components were still starting."""


@dataclass(frozen=True)
class Component:
    """One long-running process of the environment.

    :param start: starts it and returns the process.
    :param ready: says whether it does its work by now; a component without it is ready at once.
    :param grace_s: how long it may take to end when asked, before it is killed.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    log: Path
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 120.0
    grace_s: float = 10.0


@dataclass(frozen=True)
class RestartPolicy:
    """How often a component is started again: at most `attempts` times within `window_s`."""

    attempts: int = 3
    window_s: float = 600.0
    delay_s: float = 1.0


class Supervisor:
    """Starts components in order, watches them, and ends them in the opposite order.

    :param run_dir: the folder by which the environment's processes are recognised.
    :param status_file: written at every change.
    """

    def __init__(self, run_dir: Path, status_file: Path, policy: RestartPolicy | None = None) -> None:
        self.status = Status()
        self.stop_requested = threading.Event()
        self._run_dir = run_dir
        self._status_file = status_file
        self._policy = policy or RestartPolicy()
        self._running: dict[str, tuple[Component, subprocess.Popen[bytes]]] = {}
        self._restarts: dict[str, list[float]] = defaultdict(list)

    def say(self, state: State, detail: str = "") -> None:
        """Write down the state of the whole."""
        self.status.state, self.status.detail = state, detail
        self.status.write(self._status_file)

    def start(self, components: Sequence[Component]) -> None:
        """Start components, all at once, and wait until each is ready.

        :raises StartError: when one ends or is not ready in time.
        :raises StopRequestedError: when the end was asked for meanwhile.
        """
        for component in components:
            self._launch(component)
        for component in components:
            self._wait_ready(component)

    def watch(self) -> bool:
        """Restart what crashes until the end is asked for (returns True) or a component crashes too often (False)."""
        while not self.stop_requested.wait(POLL_S):
            for component, process in list(self._running.values()):
                if process.poll() is not None and not self._recover(component, process.returncode):
                    return False
        return True

    def stop(self, state: State = State.STOPPED, detail: str = "") -> None:
        """End all components, the last started first, and say so."""
        for component, process in reversed(list(self._running.values())):
            self.say(State.STOPPING, f"ending {component.name}")
            killed = end(process, self._run_dir, component.name, component.grace_s)
            self.status.components[component.name] |= {"pid": None, "killed": killed}
            del self._running[component.name]
        self.say(state, detail)

    def _launch(self, component: Component) -> None:
        process = component.start()
        self._running[component.name] = (component, process)
        restarts = len(self._restarts[component.name])
        self.status.components[component.name] = {"pid": process.pid, "log": str(component.log), "restarts": restarts}
        self.say(self.status.state, f"starting {component.name}")

    def _wait_ready(self, component: Component) -> None:
        process = self._running[component.name][1]
        deadline = time.monotonic() + component.ready_timeout_s
        while True:
            if self.stop_requested.is_set():
                raise StopRequestedError
            ready = component.ready is None or component.ready()
            if process.poll() is not None:
                self._record(component, process.returncode)
                raise StartError(f"{component.name} ended with code {process.returncode}: see {component.log}")
            if ready:
                return
            if time.monotonic() > deadline:
                raise StartError(f"{component.name} not ready after {component.ready_timeout_s:.0f} s: {component.log}")
            self.stop_requested.wait(POLL_S)

    def _record(self, component: Component, exit_code: int) -> None:
        crash = Crash(component.name, now(), exit_code, str(component.log), last_lines(component.log))
        self.status.crashes.append(crash)
        self.say(self.status.state, f"{component.name} crashed")

    def _recover(self, component: Component, exit_code: int) -> bool:
        self._record(component, exit_code)
        kill_owned(self._run_dir, component.name)  # children that a dead parent left would work on unwatched
        recent = [
            moment for moment in self._restarts[component.name] if moment > time.monotonic() - self._policy.window_s
        ]
        if len(recent) >= self._policy.attempts:
            self.say(
                State.FAILED,
                f"{component.name} crashed {len(recent) + 1} times within {self._policy.window_s:.0f} s",
            )
            return False
        self._restarts[component.name] = [*recent, time.monotonic()]
        if self.stop_requested.wait(self._policy.delay_s * 2 ** len(recent)):
            return True
        try:
            self._launch(component)
        except (OSError, RuntimeError) as error:  # did not even start: the next round counts it as a crash
            with component.log.open("a") as log:
                log.write(f"start failed: {error}\n")
        self.say(State.RUNNING, f"{component.name} was restarted")
        return True
