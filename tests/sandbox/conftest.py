"""The stand-ins for these tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.launcher import Sandbox


@pytest.fixture
def engine(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A plain HTTP client for the engine."""
    with httpx.Client(base_url=sandbox.urls["engine"], trust_env=False, verify=False) as client:
        yield client


def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until a condition holds; fail after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process exists (and is not merely waiting to be collected)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
