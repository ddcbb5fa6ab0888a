"""An optimisation that is killed continues with the variations not yet done, and ends as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.strategies.optimise.prices import martingale
from tests.strategies.optimise.resume_script import DAYS, VARIATIONS
from tests.strategies.optimise.scenes import FileMemory, optimised, request

DEADLINE_S = 120
IN_FLIGHT = 2 * 4
"""What two workers may have been computing: two tasks of four variations."""


def started(method: str, memory: Path, result: Path) -> subprocess.Popen[bytes]:
    """Start the optimisation in a process of its own, with two workers."""
    command = [sys.executable, "-m", "tests.strategies.optimise.resume_script", method, str(memory), str(result), "2"]
    return subprocess.Popen(command, cwd=REPOSITORY)


def runs(memory: Path) -> list[str]:
    """Return every variation that was ever finished, with its segment."""
    return [f"{line['segment']}/{line['variation']['key']}" for line in FileMemory(memory).lines()]


@pytest.mark.parametrize("method", ["grid", "genetic"])
def test_killed_without_warning_it_computes_nothing_twice_and_finds_the_same(method: str, tmp_path: Path) -> None:
    memory, result = tmp_path / "memory.jsonl", tmp_path / "result.json"
    begun = started(method, memory, result)
    deadline = time.monotonic() + DEADLINE_S
    while len(runs(memory)) < VARIATIONS + 5:
        assert time.monotonic() < deadline
        assert begun.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    begun.kill()
    begun.wait(DEADLINE_S)
    before = runs(memory)
    assert len(before) < 3 * VARIATIONS, "it was killed too late to show anything"

    assert started(method, memory, result).wait(DEADLINE_S) == 0
    after = runs(memory)
    assert after[: len(before)] == before
    assert max(Counter(after).values()) == 1
    assert len(after) == 3 * VARIATIONS

    resumed: dict[str, Any] = json.loads(result.read_text())
    straight = json.loads(
        json.dumps(optimised(martingale(5, DAYS), request(DAYS, method=method, variations=VARIATIONS)).document())
    )
    assert resumed["search"].pop("remembered") == VARIATIONS
    assert straight["search"].pop("remembered") == 0
    assert resumed == straight


def test_other_candles_or_costs_are_not_mixed_up_with_what_is_remembered(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path / "memory.jsonl")
    optimised(martingale(5, 45), request(45), memory)
    count = len(memory.lines())
    optimised(martingale(5, 45), request(45), memory)
    assert len(memory.lines()) == count
    optimised(martingale(6, 45), request(45), memory)
    assert len(memory.lines()) == 2 * count
    optimised(martingale(5, 45), request(45, cash_usdt=5_000.0), memory)
    assert len(memory.lines()) == 3 * count
