"""Fixtures with the stand-ins as real processes; `sandbox` starts them once per session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.control import Control
from sandbox.launcher import Sandbox, start_all


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """All stand-ins, on free ports and in a folder of their own."""
    running = start_all(tmp_path_factory.mktemp("sandbox"))
    yield running
    crashed = running.poll()
    running.stop()
    assert not crashed, f"stand-ins ended by themselves: {crashed}"


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[Control]:
    """The control client; every stand-in is back to normal after the test."""
    yield sandbox.control
    sandbox.control.reset()
