"""The journal: fast and bounded; it never fails what it is about, and never takes the disk from results."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from include.audit import journal as module
from include.audit.journal import MAX_ROW_BYTES, Journal
from include.settings import Settings

ROW = {"_id": "dag:run:task:-1:1", "source": "start", "state": "running"}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "audit", 1_000_000)


def lines(journal: Journal) -> list[dict[str, Any]]:
    return [json.loads(line) for path in journal.pending(1000) for line in path.read_text().splitlines()]


def test_rows_come_back_in_order_from_many_threads(journal: Journal) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda n: journal.append([{**ROW, "n": n}, {**ROW, "n": -n}]), range(1, 41)))
    found = [line["n"] for line in lines(journal)]
    assert sorted(found) == sorted([*range(1, 41), *range(-40, 0)])
    assert [found[i] + found[i + 1] for i in range(0, 80, 2)] == [0] * 40, "a file is written whole"


def test_a_row_is_bounded(journal: Journal) -> None:
    journal.append([{**ROW, "error": "x" * 100_000}])
    assert len(journal.pending(1)[0].read_bytes()) < MAX_ROW_BYTES
    assert lines(journal) == [{**ROW, "shortened": True}]


@pytest.mark.critical
def test_beyond_its_share_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "audit", 10 * module.BLOCK_BYTES)
    kept = [journal.append([ROW]) for _ in range(25)]
    assert kept.count(True) == 10
    assert (len(journal.pending(100)), journal.dropped()) == (10, 15)
    journal.forget_dropped()
    assert journal.dropped() == 0


@pytest.mark.critical
def test_results_have_priority_on_a_disk_that_fills_up(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert journal.append([ROW])
    monkeypatch.setattr(module, "FREE_FOR_RESULTS_BYTES", 10**18)
    assert not journal.append([ROW, ROW])
    assert (len(journal.pending(9)), journal.dropped()) == (1, 2)


@pytest.mark.critical
def test_whatever_the_disk_does_nothing_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in_the_way").write_text("")
    assert not Journal(tmp_path / "in_the_way" / "audit", 10**6).append([ROW])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    journal = Journal(tmp_path / "audit", 10**6)
    assert not journal.append([ROW])
    assert [path.name for path in journal.folder.iterdir()] == ["dropped"], "nothing half-written stays"
    assert not journal.append([{"_id": float("nan")}])


def test_audit_takes_a_quarter_of_the_spool_at_most(tmp_path: Path) -> None:
    journal = Journal.of(Settings(state_dir=tmp_path, spool_max_mb=8))
    assert (journal.max_bytes, journal.folder) == (2_000_000, tmp_path / "spool" / "audit")
