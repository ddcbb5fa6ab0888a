"""Keeps the components of an environment alive, records what crashes, and ends all of them together.

It knows nothing about Airflow: a component is a name, a way to start it and a way to see that it is ready. While a file
with the component's name lies in the folder `held`, the component is kept away (:func:`hold`, :func:`release`): that is
how somebody else stops one of them without having the supervisor start it again.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ops.files import last_lines, write_text
from ops.processes import end, kill_owned
from ops.status import Crash, State, Status, now

POLL_S = 0.25
HELD = "held"


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
    :param end_signal: how it is asked to end.
    :param end_group: whether its whole session is asked, not only its first process (a shell that starts a server).
    :param ends_last: of those that were started together, it ends when the others have: they report to it to the end.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    log: Path
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 120.0
    grace_s: float = 10.0
    end_signal: signal.Signals = signal.SIGTERM
    end_group: bool = False
    ends_last: bool = False


@dataclass(frozen=True)
class RestartPolicy:
    """How often a component is started again: at most `attempts` times within `window_s` (None: always).

    The pause before a start doubles from `delay_s` on with every crash within the window, up to `longest_delay_s`.
    """

    attempts: int | None = 3
    window_s: float = 600.0
    delay_s: float = 1.0
    longest_delay_s: float = 60.0

    def pause_s(self, recent: int) -> float:
        """Return how long to wait after `recent` earlier crashes within the window."""
        return min(self.delay_s * 2**recent, self.longest_delay_s)


@dataclass
class _Slot:
    """Where one component stands: it runs, or is started again when `due`, or a thread starts or ends it."""

    component: Component
    layer: int
    process: subprocess.Popen[bytes] | None = None
    due: float = 0.0
    work: Future[subprocess.Popen[bytes] | None] | None = None
    restarts: list[float] = field(default_factory=list)
    exit_code: int = 0


def hold(run_dir: Path, name: str, *, kill: bool = False) -> None:
    """Have the supervisor end a component, or kill it and all its children, and keep it away until :func:`release`."""
    folder = run_dir / HELD
    folder.mkdir(exist_ok=True)
    write_text(folder / name, "kill" if kill else "end")


def release(run_dir: Path, name: str) -> None:
    """Have the supervisor start a held component again."""
    (run_dir / HELD / name).unlink(missing_ok=True)


class Supervisor:
    """Starts components in groups, watches them, and ends the groups in the opposite order.

    :param run_dir: the folder by which the environment's processes are recognised.
    :param status_file: written at every change.
    """

    def __init__(self, run_dir: Path, status_file: Path, policy: RestartPolicy | None = None) -> None:
        self.status = Status()
        self.stop_requested = threading.Event()
        self._run_dir = run_dir
        self._status_file = status_file
        self._policy = policy or RestartPolicy()
        self._slots: dict[str, _Slot] = {}
        self._threads = ThreadPoolExecutor(thread_name_prefix="supervisor")

    def say(self, state: State, detail: str = "") -> None:
        """Write down the state of the whole."""
        self.status.state, self.status.detail = state, detail
        self.status.write(self._status_file)

    def start(self, components: Sequence[Component]) -> None:
        """Start components, all at once, and wait until each is ready.

        :raises StartError: when one ends or is not ready in time.
        :raises StopRequestedError: when the end was asked for meanwhile.
        """
        layer = 1 + max((slot.layer for slot in self._slots.values()), default=0)
        for component in components:
            slot = self._slots[component.name] = _Slot(component, layer)
            self._running(slot, component.start())
        for component in components:
            self._wait_ready(self._slots[component.name])

    def watch(self) -> bool:
        """Restart what crashes until the end is asked for (returns True) or a component crashes too often (False)."""
        while not self.stop_requested.wait(POLL_S):
            if not all(self._look_after(slot) for slot in self._slots.values()):
                return False
        return True

    def stop(self, state: State = State.STOPPED, detail: str = "") -> None:
        """End all components and say so: the last group first, each group at once, but for its `ends_last`."""
        self._threads.shutdown()
        for slot in self._slots.values():
            self._finish_work(slot)
        while self._slots:
            last = max(slot.layer for slot in self._slots.values())
            together = [slot for slot in self._slots.values() if slot.layer == last]
            waits = [slot for slot in together if slot.component.ends_last]
            self._end_at_once([slot for slot in together if not slot.component.ends_last])
            self._end_at_once(waits)
        self.say(state, detail)

    def _end_at_once(self, slots: Sequence[_Slot]) -> None:
        if not slots:
            return
        self.say(State.STOPPING, f"ending {', '.join(slot.component.name for slot in slots)}")
        with ThreadPoolExecutor(len(slots)) as threads:
            killed = threads.map(
                lambda slot: self._end(slot.component, slot.process) if slot.process is not None else 0, slots
            )
        for slot, number in zip(slots, killed, strict=True):
            self.status.components[slot.component.name] |= {"pid": None, "killed": number}
            del self._slots[slot.component.name]

    # --- one component

    def _running(self, slot: _Slot, process: subprocess.Popen[bytes]) -> None:
        slot.process = process
        self._describe(slot)
        self.say(self.status.state, f"starting {slot.component.name}")

    def _describe(self, slot: _Slot, *, held: bool = False) -> None:
        self.status.components[slot.component.name] = {
            "pid": slot.process.pid if slot.process is not None else None,
            "log": str(slot.component.log),
            "restarts": len(slot.restarts),
            "held": held,
        }

    def _wait_ready(self, slot: _Slot) -> None:
        component, process = slot.component, slot.process
        assert process is not None
        if component.ready is None:
            if self.stop_requested.is_set():
                raise StopRequestedError
            return  # also if it has crashed by now: that is `watch`'s, as it would be a moment later
        deadline = time.monotonic() + component.ready_timeout_s
        while True:
            if self.stop_requested.is_set():
                raise StopRequestedError
            ready = component.ready()
            if process.poll() is not None:
                self._record(component, process.returncode)
                raise StartError(f"{component.name} ended with code {process.returncode}: see {component.log}")
            if ready:
                return
            if time.monotonic() > deadline:
                raise StartError(f"{component.name} not ready after {component.ready_timeout_s:.0f} s: {component.log}")
            self.stop_requested.wait(POLL_S)

    def _look_after(self, slot: _Slot) -> bool:
        """Bring one component one step on; return whether the whole can go on."""
        component = slot.component
        if slot.work is not None:
            return not slot.work.done() or self._finish_work(slot)
        held = self._run_dir / HELD / component.name
        if held.exists():
            if slot.process is not None:
                slot.work = self._threads.submit(self._take_away, component, slot.process, held.read_text() == "kill")
            return True
        if slot.process is None:
            if time.monotonic() >= slot.due:
                slot.work = self._threads.submit(component.start)
            return True
        return slot.process.poll() is None or self._crashed(slot, slot.process.returncode)

    def _finish_work(self, slot: _Slot) -> bool:
        """Take over what a thread has done for a component; return whether the whole can go on."""
        if slot.work is None:
            return True
        work, slot.work = slot.work, None
        try:
            process = work.result()
        except (OSError, RuntimeError) as error:  # did not even start: a crash like any other
            with slot.component.log.open("a") as log:
                log.write(f"start failed: {error}\n")
            return self._crashed(slot, slot.exit_code)
        if process is None:
            slot.process, slot.due = None, 0.0
            self._describe(slot, held=True)
            self.say(self.status.state, f"{slot.component.name} is held")
        else:
            self._running(slot, process)
            self.say(self.status.state, f"{slot.component.name} was started again")
        return True

    def _take_away(self, component: Component, process: subprocess.Popen[bytes], kill: bool) -> None:
        if kill:
            kill_owned(self._run_dir, component.name)
        self._end(component, process)

    def _end(self, component: Component, process: subprocess.Popen[bytes]) -> int:
        return end(
            process, self._run_dir, component.name, component.grace_s, component.end_signal, group=component.end_group
        )

    def _record(self, component: Component, exit_code: int) -> None:
        crash = Crash(component.name, now(), exit_code, str(component.log), last_lines(component.log))
        self.status.crashes.append(crash)
        self.say(self.status.state, f"{component.name} crashed")

    def _crashed(self, slot: _Slot, exit_code: int) -> bool:
        component, policy = slot.component, self._policy
        self._record(component, exit_code)
        kill_owned(self._run_dir, component.name)  # children that a dead parent left would work on unwatched
        recent = [moment for moment in slot.restarts if moment > time.monotonic() - policy.window_s]
        if policy.attempts is not None and len(recent) >= policy.attempts:
            self.say(
                State.FAILED,
                f"{component.name} crashed {len(recent) + 1} times within {policy.window_s:.0f} s",
            )
            return False
        slot.process, slot.exit_code = None, exit_code
        slot.due = time.monotonic() + policy.pause_s(len(recent))
        slot.restarts = [*recent, time.monotonic()]
        return True
