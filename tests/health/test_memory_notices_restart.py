"""What is remembered, what is said about outbox and spool, and the restart lever."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from include.health.alerting import Problem
from include.health.entry import Level
from include.health.memory import FILE_NAME, TIMEOUT_S, HealthMemory
from include.health.notices import outbox_figures, outbox_findings, spool_figures, spool_findings
from include.health.restart import MAX_OUTPUT_CHARS, run_restart
from include.notify.outbox_state import OutboxState, SilentChannel
from include.store.collections import HEALTH_STATE
from include.store.spool_state import SpoolState
from tests.health.conftest import Patient
from tests.ops.conftest import eventually

NOW = datetime(2025, 11, 22, 14, 30, tzinfo=UTC)


def problems(*names: str, since: datetime = NOW) -> dict[str, Problem]:
    return {name: Problem(name, Level.CRITICAL, ("down",), since, said=True, restart={"text": "x"}) for name in names}


def alive(pid: int) -> bool:
    """Return whether a process still does anything; a killed one may wait for its parent to notice."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestMemory:
    """The two copies."""

    def test_the_newer_copy_counts(self, patient: Patient, tmp_path: Path) -> None:
        both, alone = HealthMemory(tmp_path, patient.database()), HealthMemory(tmp_path, None)
        assert both.load() == {}
        assert both.save(problems("Redis"), NOW) == ["file", "mongodb"]
        assert alone.save(problems("MongoDB"), NOW + timedelta(minutes=1)) == ["file"]
        assert both.load() == problems("MongoDB")
        assert HealthMemory(tmp_path / "elsewhere", patient.database()).load() == problems("Redis")

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"updated_at": "x", "problems": []}', '{"updated_at": 3}'])
    def test_a_damaged_copy_counts_as_absent(self, patient: Patient, tmp_path: Path, content: str) -> None:
        memory = HealthMemory(tmp_path, patient.database())
        memory.save(problems("Redis"), NOW)
        (tmp_path / FILE_NAME).write_text(content)
        assert memory.load() == problems("Redis")
        patient.database()[HEALTH_STATE].update_one({"_id": "health"}, {"$set": {"problems": [{"subject": 1}]}})
        assert memory.load() == {}

    def test_a_folder_that_takes_nothing_leaves_mongodb(self, patient: Patient, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("a file where the folder should be")
        assert HealthMemory(tmp_path / "state", patient.database()).save(problems("Redis"), NOW) == ["mongodb"]
        assert HealthMemory(tmp_path / "state", None).save(problems("Redis"), NOW) == []

    def test_a_mongodb_that_hangs_after_its_ping_is_not_waited_for(self, patient: Patient, tmp_path: Path) -> None:
        memory = HealthMemory(tmp_path, patient.database())
        assert memory.save(problems("Redis"), NOW) == ["file", "mongodb"]
        patient.server.process.send_signal(signal.SIGSTOP)
        goes_on = threading.Timer(5 * TIMEOUT_S, patient.server.process.send_signal, [signal.SIGCONT])
        goes_on.start()
        try:
            assert memory.load() == problems("Redis")
            assert memory.save(problems("RabbitMQ"), NOW) == ["file"]
            assert goes_on.is_alive(), "it was waited for until it went on"
        finally:
            goes_on.cancel()
            patient.server.process.send_signal(signal.SIGCONT)


class TestNotices:
    """Outbox and spool."""

    def test_an_outbox_that_works_says_nothing_even_with_messages_on_their_way(self) -> None:
        state = OutboxState({"slack": 2}, NOW - timedelta(minutes=3), 0, 0, [], [])
        assert outbox_findings(state, NOW) == []
        assert outbox_figures(state) is not None
        assert outbox_figures(None) is None

    def test_everything_that_is_wrong_with_the_outbox_is_a_warning(self) -> None:
        since = NOW - timedelta(hours=2)
        silent = SilentChannel("telegram", since, 7, "429")
        found = outbox_findings(OutboxState({"slack": 2}, since, 1, 3, [silent], ["MongoDB is DOWN"]), NOW)
        assert {finding.level for finding in found} == {Level.WARNING}
        assert [finding.text for finding in found] == [
            "⚠️ Channels that take no messages: telegram (since 2025-11-22 12:30 UTC)",
            "⚠️ Messages waiting since 2025-11-22 12:30 UTC: slack 2",
            "⚠️ CRITICAL messages that have reached nobody: MongoDB is DOWN",
            "⚠️ Messages not delivered in 24 hours: 1 expired, 3 refused",
        ]

    @pytest.mark.parametrize(("writable", "full"), [(False, False), (True, True), (False, True)])
    def test_a_spool_that_takes_nothing_is_critical(self, writable: bool, full: bool) -> None:
        state = SpoolState(0, 0, None, writable, full, "no space left; free some")
        (finding,) = spool_findings(state, NOW)
        assert (finding.level, finding.text) == (Level.CRITICAL, "❌ Spool: no space left; free some")

    def test_what_waits_for_long_or_is_damaged_is_a_warning(self) -> None:
        waiting = SpoolState(3, 900, NOW - timedelta(minutes=40), True, False, None, damaged=1)
        found = spool_findings(waiting, NOW)
        assert [finding.code for finding in found] == ["damaged", "waiting"]
        assert spool_findings(SpoolState(3, 900, NOW - timedelta(minutes=4), True, False, None), NOW) == []
        assert spool_figures(waiting)["oldest_at"] == "2025-11-22 13:50 UTC"


class TestRestart:
    """The lever."""

    def test_no_shell_sees_the_command(self, tmp_path: Path) -> None:
        outcome = run_restart(f"{sys.executable} -c 'import sys; print(sys.argv)' ; touch {tmp_path}/pwned", 10.0)
        assert outcome.exit_code == 0
        assert ";" in outcome.output
        assert not (tmp_path / "pwned").exists()

    def test_a_command_that_hangs_is_killed_with_its_children(self, tmp_path: Path) -> None:
        script = tmp_path / "hang.sh"
        script.write_text(f"#!/bin/sh\nsleep 600 &\necho $! >{tmp_path}/child\nwait\n")
        script.chmod(0o755)
        outcome = run_restart(str(script), 1.0)
        assert outcome.exit_code is None
        assert "not finished after 1.0 s" in outcome.text
        child = int((tmp_path / "child").read_text())
        eventually(lambda: not alive(child))

    def test_its_output_is_cut_and_scrubbed_and_our_variables_are_not_its(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRADING_OPS_MODEL_ENCRYPTION_KEY", "open-sesame")
        code = "import os; print('x' * 5000, os.environ.get('TRADING_OPS_MODEL_ENCRYPTION_KEY'), 's3cret', 'token=abc')"
        outcome = run_restart(f'{sys.executable} -c "{code}"', 10.0, secrets=["s3cret"])
        assert outcome.exit_code == 0
        assert len(outcome.output) <= MAX_OUTPUT_CHARS
        assert outcome.output.endswith("None *** token=***")

    @pytest.mark.parametrize("command", ["/not/there", "'unbalanced", "''", "a\x00b"])
    def test_a_command_that_cannot_be_run_is_said(self, command: str) -> None:
        outcome = run_restart(command, 1.0)
        assert outcome.exit_code is None
        assert "the restart command failed" in outcome.text
