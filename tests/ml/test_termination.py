"""SIGTERM is heard while the main thread is inside a native call that runs no Python."""

from __future__ import annotations

import subprocess
import sys
import threading

from include.ml.termination import TerminationWatch
from tests.conftest import REPOSITORY

BUSY = """
import ctypes, os, signal
from include.ml.termination import TerminationWatch

def on_term():
    print("heard", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, lambda number, frame: None)  # a signal before the lock may still run this
signal.alarm(30)  # kills: the test ends also when nothing is heard
libc, mutex = ctypes.CDLL(None), (ctypes.c_long * 16)()
with TerminationWatch(on_term):
    print("busy", flush=True)
    # Locked twice: this waits in C for ever. No interpreter runs in there, and no signal interrupts it.
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)
"""


def test_the_watch_hears_sigterm_while_the_main_thread_runs_no_python() -> None:
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "busy\n"
            process.terminate()
            assert process.stdout.readline() == "heard\n", "the handler of the main thread cannot have run"
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_the_watch_ends_with_its_block_and_is_silent_elsewhere() -> None:
    heard: list[str] = []
    before = threading.active_count()
    with TerminationWatch(lambda: heard.append("term")):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before

    def elsewhere() -> None:
        with TerminationWatch(lambda: heard.append("term")):
            heard.append("entered")

    other = threading.Thread(target=elsewhere)
    other.start()
    other.join()
    assert heard == ["entered"]
