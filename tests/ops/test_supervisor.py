"""The supervisor with real, tiny processes: crashes are recorded, restarts bounded, nothing survives the end."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from ops.processes import marked, owned, spawn
from ops.status import State, Status
from ops.supervisor import Component, RestartPolicy, StartError, StopRequestedError, Supervisor, hold, release
from tests.ops.conftest import eventually

pytestmark = pytest.mark.critical

SLEEP = "import time; time.sleep(600)"
CRASH = "import sys; print('my last words', flush=True); sys.exit(3)"


def component(run_dir: Path, name: str, code: str, **options: object) -> Component:
    log = run_dir / f"{name}.log"
    start = partial(spawn, [sys.executable, "-c", code], marked(os.environ, run_dir, name), log)
    return Component(name, start, log, **options)  # type: ignore[arg-type]


def supervisor(run_dir: Path, attempts: int = 2) -> Supervisor:
    return Supervisor(run_dir, run_dir / "status.json", RestartPolicy(attempts=attempts, delay_s=0.01))


def read(run_dir: Path) -> Status:
    return Status.read(run_dir / "status.json")


def test_a_crash_is_recorded_with_its_exit_code_and_last_words(run_dir: Path) -> None:
    boss = supervisor(run_dir, attempts=0)
    boss.start([component(run_dir, "fragile", CRASH)])
    assert boss.watch() is False
    (crash,) = read(run_dir).crashes
    assert (crash.component, crash.exit_code) == ("fragile", 3)
    assert crash.last_lines[-1] == "my last words"
    assert crash.log == str(run_dir / "fragile.log")


def test_a_crash_before_start_has_returned_is_treated_like_one_a_moment_later(run_dir: Path) -> None:
    fragile = component(run_dir, "fragile", CRASH)

    def start() -> object:
        process = fragile.start()
        process.wait(30)
        return process

    boss = supervisor(run_dir, attempts=0)
    boss.start([Component("fragile", start, fragile.log)])  # type: ignore[arg-type]
    assert boss.watch() is False
    assert [(crash.component, crash.exit_code) for crash in read(run_dir).crashes] == [("fragile", 3)]


def test_restarts_are_bounded_and_the_rest_is_ended_with_a_reason(run_dir: Path) -> None:
    boss = supervisor(run_dir, attempts=2)
    boss.start([component(run_dir, "steady", SLEEP), component(run_dir, "fragile", CRASH)])
    assert boss.watch() is False
    detail = boss.status.detail
    boss.stop(State.FAILED, detail)
    status = read(run_dir)
    assert len(status.crashes) == 3  # the first start and two restarts
    assert status.state is State.FAILED
    assert "fragile crashed 3 times" in status.detail
    assert owned(run_dir) == []


def test_a_component_that_crashed_once_works_again(run_dir: Path) -> None:
    marker = run_dir / "crashed"
    once = f"import os, sys; p = {str(marker)!r}\nif not os.path.exists(p): open(p, 'w'); sys.exit(1)\n{SLEEP}"
    boss = supervisor(run_dir)
    boss.start([component(run_dir, "once", once)])
    outcome: list[bool] = []
    watching = threading.Thread(target=lambda: outcome.append(boss.watch()))
    watching.start()
    eventually(lambda: read(run_dir).components["once"]["restarts"] == 1 and len(owned(run_dir, "once")) == 1)
    boss.stop_requested.set()
    watching.join()
    boss.stop()
    assert outcome == [True]
    assert len(read(run_dir).crashes) == 1
    assert read(run_dir).state is State.STOPPED
    assert owned(run_dir) == []


def test_children_of_a_crashed_component_end_before_it_starts_again(run_dir: Path) -> None:
    pids, alive = run_dir / "child_pids", run_dir / "alive"
    parent = (
        "import pathlib, psutil, subprocess, sys\n"
        f"pids, alive = pathlib.Path({str(pids)!r}), pathlib.Path({str(alive)!r})\n"
        "old = pids.read_text().split() if pids.exists() else []\n"
        "living = [p.pid for p in psutil.process_iter() if str(p.pid) in old and p.status() != 'zombie']\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)\n"
        "pids.write_text(' '.join([*old, str(child.pid)]))\n"
        "alive.write_text(str(len(living)))\n"
        "sys.exit(1)"
    )
    boss = supervisor(run_dir, attempts=1)
    boss.start([component(run_dir, "parent", parent)])
    assert boss.watch() is False
    assert len(pids.read_text().split()) == 2
    assert alive.read_text() == "0"
    assert owned(run_dir) == []


def test_a_component_that_ends_before_it_is_ready_stops_the_start(run_dir: Path) -> None:
    boss = supervisor(run_dir)
    with pytest.raises(StartError, match=r"fragile ended with code 3: see .*fragile\.log"):
        boss.start([component(run_dir, "steady", SLEEP), component(run_dir, "fragile", CRASH, ready=lambda: False)])
    boss.stop(State.FAILED, "no start")
    assert [crash.component for crash in read(run_dir).crashes] == ["fragile"]
    assert owned(run_dir) == []


def test_a_component_that_never_becomes_ready_stops_the_start(run_dir: Path) -> None:
    boss = supervisor(run_dir)
    with pytest.raises(StartError, match="sleepy not ready"):
        boss.start([component(run_dir, "sleepy", SLEEP, ready=lambda: False, ready_timeout_s=0)])
    boss.stop()
    assert owned(run_dir) == []


def test_the_end_may_be_asked_for_while_components_still_start(run_dir: Path) -> None:
    boss = supervisor(run_dir)
    boss.stop_requested.set()
    with pytest.raises(StopRequestedError):
        boss.start([component(run_dir, "slow", SLEEP, ready=lambda: False)])
    boss.stop()
    assert owned(run_dir) == []
    assert read(run_dir).state is State.STOPPED


def leaving(order: Path, ready: Path, name: str, until: Path | None = None) -> str:
    """Return the code of a process that writes down its end, and is in no hurry while it waits for a file."""
    return (
        "import os, signal, sys, time\n"
        "def leave(*_):\n"
        f"    open({str(order)!r}, 'a').write('asked:' + {name!r} + ' ')\n"
        f"    while not os.path.exists({str(until or ready)!r}): time.sleep(0.02)\n"
        f"    open({str(order)!r}, 'a').write({name!r} + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        f"open({str(ready / name)!r}, 'w')\n"
        "time.sleep(600)"
    )


def test_groups_end_in_the_opposite_order_of_their_start(run_dir: Path) -> None:
    order, ready = run_dir / "order", run_dir / "ready"
    ready.mkdir()
    boss = supervisor(run_dir)
    for name in ("database", "api", "scheduler"):
        boss.start([component(run_dir, name, leaving(order, ready, name), ready=(ready / name).exists)])
    boss.stop()
    ended = [word for word in order.read_text().split() if not word.startswith("asked:")]
    assert ended == ["scheduler", "api", "database"]
    assert owned(run_dir) == []


def test_those_started_together_end_together_but_for_whom_they_report_to(run_dir: Path) -> None:
    order, ready, may_go = run_dir / "order", run_dir / "ready", run_dir / "may_go"
    ready.mkdir()

    def made(name: str, until: Path | None = None, **options: object) -> Component:
        return component(run_dir, name, leaving(order, ready, name, until), ready=(ready / name).exists, **options)

    boss = supervisor(run_dir)
    boss.start([made("api", ends_last=True), made("worker", may_go), made("scheduler", may_go)])
    stopping = threading.Thread(target=boss.stop)
    stopping.start()
    eventually(lambda: order.exists() and {"asked:worker", "asked:scheduler"} <= set(order.read_text().split()))
    assert "asked:api" not in order.read_text(), "the others still report to it"
    assert read(run_dir).detail == "ending worker, scheduler"
    may_go.touch()
    stopping.join()
    assert set(order.read_text().split()[:4]) == {"asked:worker", "asked:scheduler", "worker", "scheduler"}
    assert order.read_text().split()[4:] == ["asked:api", "api"]
    assert owned(run_dir) == []
    assert [entry["killed"] for entry in read(run_dir).components.values()] == [0, 0, 0]


def test_a_start_that_fails_while_restarting_counts_as_a_crash(run_dir: Path) -> None:
    starts: list[int] = []
    good = component(run_dir, "database", "raise SystemExit(9)")

    def start() -> object:
        starts.append(1)
        if len(starts) > 1:
            raise RuntimeError("port taken")
        return good.start()

    boss = supervisor(run_dir, attempts=2)
    boss.start([Component("database", start, good.log)])  # type: ignore[arg-type]
    assert boss.watch() is False
    assert len(starts) == 3
    assert "start failed: port taken" in good.log.read_text()
    boss.stop(State.FAILED)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_held_component_stays_away_until_it_is_released_and_did_not_crash(run_dir: Path, kill: bool) -> None:
    marker = run_dir / "asked"
    polite = (
        "import pathlib, signal, sys, time\n"
        f"def leave(*_): pathlib.Path({str(marker)!r}).touch(); sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, leave)\n{SLEEP}"
    )
    boss = supervisor(run_dir, attempts=0)
    boss.start([component(run_dir, "held", polite), component(run_dir, "other", SLEEP)])
    watching = threading.Thread(target=boss.watch)
    watching.start()
    first = read(run_dir).components["held"]["pid"]
    other = read(run_dir).components["other"]["pid"]
    hold(run_dir, "held", kill=kill)
    eventually(lambda: read(run_dir).components["held"]["held"])
    assert owned(run_dir, "held") == []
    assert marker.exists() is not kill
    release(run_dir, "held")
    eventually(lambda: len(owned(run_dir, "held")) == 1)
    eventually(lambda: read(run_dir).components["held"]["pid"] not in (None, first))
    boss.stop_requested.set()
    watching.join()
    assert read(run_dir).crashes == []
    assert read(run_dir).components["other"]["pid"] == other
    boss.stop()
    assert owned(run_dir) == []


def test_one_component_that_waits_to_be_started_again_does_not_hold_up_another(run_dir: Path) -> None:
    begun, go_on = run_dir / "begun", threading.Event()
    slow = component(run_dir, "slow", CRASH)

    def start() -> object:
        if begun.exists():
            go_on.wait(30)  # its second start takes long
        begun.touch()
        return slow.start()

    marker = str(run_dir / "crashed")
    once = f"import os, sys\nif not os.path.exists({marker!r}): open({marker!r}, 'w'); sys.exit(1)\n{SLEEP}"
    boss = Supervisor(run_dir, run_dir / "status.json", RestartPolicy(attempts=None, delay_s=0.01))
    boss.start([Component("slow", start, slow.log), component(run_dir, "quick", once)])  # type: ignore[arg-type]
    watching = threading.Thread(target=boss.watch)
    watching.start()
    eventually(lambda: read(run_dir).components["quick"]["restarts"] == 1 and len(owned(run_dir, "quick")) == 1)
    go_on.set()
    boss.stop_requested.set()
    watching.join()
    boss.stop()
    assert owned(run_dir) == []


def test_the_pause_before_a_start_doubles_up_to_the_longest() -> None:
    policy = RestartPolicy(attempts=None, delay_s=0.5, longest_delay_s=3.0)
    assert [policy.pause_s(recent) for recent in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
