"""The spool's state and its alerts, on real folders and a real full disk."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.notify.message import Severity
from include.settings import Settings
from include.store.durable import spool_of
from include.store.replay import ReplayReport
from include.store.spool_alerts import not_said, remember, spool_messages
from include.store.spool_state import SpoolState, spool_state

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
NOTHING = ReplayReport(0, 0, 0, ())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, spool_max_mb=0.01)


def test_an_empty_spool_is_well(settings: Settings) -> None:
    assert spool_state(settings) == SpoolState(0, 0, None, True, False, None)
    assert list(settings.spool_dir.iterdir()) == [], "the probe leaves nothing"


def test_what_waits_is_counted_and_the_oldest_is_known(settings: Settings) -> None:
    before = datetime.now(UTC)
    spool = spool_of(settings)
    paths = [spool.append("c", {"_id": n}) for n in range(3)]
    (settings.spool_dir / "damaged").mkdir()
    paths[2].rename(settings.spool_dir / "damaged" / paths[2].name)
    state = spool_state(settings)
    assert (state.waiting, state.damaged, state.full) == (2, 1, False)
    assert state.bytes == sum(path.stat().st_size for path in paths[:2])
    assert state.oldest_at is not None
    assert before <= state.oldest_at <= datetime.now(UTC)


@pytest.mark.critical
def test_a_full_spool_is_an_alert(settings: Settings) -> None:
    spool_of(settings).append("c", {"_id": 1, "text": "x" * 9_800})
    (settings.spool_dir / f"{2:020d}-x.json").write_text("x" * 300)
    state = spool_state(settings)
    assert (state.full, state.writable) == (True, True)
    (message,) = spool_messages(state, NOTHING, (), 0, NOW)
    assert message.severity is Severity.CRITICAL
    assert message.dedupe_key == "spool:full:2026-03-01"
    assert "TRADING_OPS_SPOOL_MAX_MB" in message.body


def test_a_full_disk_is_an_alert(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    state = spool_state(settings)
    assert (state.full, state.writable) == (True, False)
    assert "free space there" in str(state.problem)
    assert list(settings.spool_dir.iterdir()) == []


@pytest.mark.critical
def test_a_spool_that_cannot_be_written_to_is_an_alert(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    state = spool_state(Settings(state_dir=tmp_path))
    assert (state.writable, state.full) == (False, False)
    (message,) = spool_messages(state, NOTHING, (), 0, NOW)
    assert (message.severity, message.dedupe_key) == (Severity.CRITICAL, "spool:not_writable:2026-03-01")


def test_every_other_trouble_is_said_with_its_own_key() -> None:
    state = SpoolState(4, 900, NOW, True, False, None)
    report = ReplayReport(1, 0, 3, ("a.json",), "MongoDB is away")
    keys = {message.dedupe_key: message.severity for message in spool_messages(state, report, report.damaged, 7, NOW)}
    assert keys == {
        "spool:damaged:a.json": Severity.CRITICAL,
        f"spool:waiting:{NOW.isoformat()}": Severity.WARNING,
        "spool:audit_dropped:2026-03-01": Severity.WARNING,
    }
    assert spool_messages(SpoolState(0, 0, None, True, False, None), NOTHING, (), 0, NOW) == []


def test_nothing_is_said_twice_and_the_memory_is_bounded() -> None:
    state = SpoolState(1, 1, NOW, False, False, "cannot be written to")
    alerts = spool_messages(state, NOTHING, (), 0, NOW)
    said = remember({f"old-{n}": "2026-01-01" for n in range(80)}, alerts, NOW)
    assert not_said(alerts, {}) == alerts
    assert not_said(alerts, said) == []
    assert len(said) == 50
