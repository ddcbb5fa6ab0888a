"""One check after the other against real services; what counts is what arrived at the sinks."""

from __future__ import annotations

import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from include.health.alerting import Problem
from include.health.entry import NAMES, Level
from include.health.memory import HealthMemory
from include.store.collections import HEALTH_STATE, OUTBOX
from include.store.durable import spool_of
from sandbox.mongod import free_port
from sandbox.rabbitmq import RabbitMq
from sandbox.redis_server import RedisServer
from tests.health.conftest import SHORT_S, Room

HTTP = ("Rust Core Engine", "Python AI Service", "Frontend Dashboard")


def dead_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def age(room: Room, minutes: float) -> None:
    """Let everything that is remembered have happened earlier."""
    memory = HealthMemory(room.settings.state_dir, None)
    problems = memory.load()
    earlier = timedelta(minutes=minutes)
    older = {
        name: Problem.from_dict(problem.to_dict() | {"since": (problem.since - earlier).isoformat()})
        for name, problem in problems.items()
    }
    memory.save(older, datetime.now(UTC))


def test_tc_async_031_all_services_healthy(room: Room) -> None:
    report = room.check("r1")
    assert report["overall_status"] == "healthy"
    assert tuple(report["services"]) == NAMES
    assert len(report["services"]) == 8
    assert {entry["status"] for entry in report["services"].values()} == {"healthy"}
    for name in HTTP:
        assert report["services"][name]["response_time_ms"] < 5000
    assert report["alerts"] == []
    assert report["notices"] == []
    assert report["notifications"] == {}
    assert room.control.messages() == []
    assert report["state_kept_in"] == ["file", "mongodb"]


def test_a_deployment_without_redis_rabbitmq_and_dashboard_is_healthy_all_the_same(room: Room) -> None:
    report = room.check(
        "r1",
        redis_url=None,
        rabbitmq_url=None,
        rabbitmq_management_url=None,
        frontend_base_url="",
        ai_service_base_url="",
    )
    assert report["overall_status"] == "healthy"
    assert len(report["services"]) == 8
    for name in ("Redis", "RabbitMQ", "Frontend Dashboard", "Python AI Service"):
        assert report["services"][name] == {"status": "not_configured"}
    assert room.control.messages() == []


def test_tc_async_032_and_045_mongodb_down_alerts_spools_and_recovers(room: Room) -> None:
    room.patient.stop()
    report = room.check("r1", health_timeout_s=SHORT_S)
    assert report["overall_status"] == "critical"
    assert report["services"]["MongoDB"]["status"] == "down"
    assert "Connection refused" in report["services"]["MongoDB"]["error"]
    assert any("❌ MongoDB is DOWN" in alert for alert in report["alerts"])
    assert [entry["status"] for name, entry in report["services"].items() if name != "MongoDB"] == ["healthy"] * 7
    assert report["state_kept_in"] == ["file"]
    for channel in ("smtp", "slack", "discord", "telegram"):
        (text,) = room.heard(channel)
        assert "MongoDB is DOWN" in text
    assert [spool_of(room.settings).read(path).collection for path in spool_of(room.settings).pending()] == [OUTBOX]

    room.check("r2", health_timeout_s=SHORT_S)
    assert len(room.heard()) == 1, "an unchanged alert is not repeated, also without MongoDB"

    room.patient.start()
    age(room, 16)
    report = room.check("r3")
    assert report["overall_status"] == "healthy"
    assert report["state_kept_in"] == ["file", "mongodb"]
    assert "MongoDB is back after 16 min" in room.heard()[-1]
    stored = room.patient.database()[HEALTH_STATE].find_one({"_id": "health"})
    assert stored is not None
    assert stored["problems"] == []
    assert len(room.heard()) == 2


def test_tc_async_033_an_engine_that_takes_eight_seconds_is_healthy_slow_and_degrades_the_whole(room: Room) -> None:
    room.control.script("engine", "/api/health", delay_s=8)
    report = room.check("r1", health_timeout_s=10.0)
    engine = report["services"]["Rust Core Engine"]
    assert engine["status"] == "healthy"
    assert engine["slow"] is True
    assert report["overall_status"] == "degraded"
    (alert,) = report["alerts"]
    assert re.fullmatch(r"⚠️ Rust Core Engine slow response \(8\d\d\dms\)", alert)
    assert [message.severity for message in room.kept] == ["warning"]
    (subject,) = room.heard()
    assert "Rust Core Engine is degraded" in subject


def test_tc_async_034_disk_usage_85_percent_warns(room: Room) -> None:
    room.disk_percent = 85.0
    report = room.check("r1")
    assert report["alerts"] == ["⚠️ Disk usage high: 85%"]
    assert report["overall_status"] == "degraded"
    assert report["services"]["Disk"] == {"status": "warning", "usage_percent": 85.0}
    assert [message.severity for message in room.kept] == ["warning"]
    (mail,) = room.control.messages("smtp")
    assert "Disk usage high: 85%" in mail["payload"]["text"]


def test_tc_async_035_disk_usage_95_percent_is_critical(room: Room) -> None:
    room.disk_percent = 95.0
    report = room.check("r1")
    assert report["alerts"] == ["❌ Disk usage critical: 95%"]
    assert report["overall_status"] == "critical"
    assert [message.severity for message in room.kept] == ["critical"]
    (mail,) = room.control.messages("smtp")
    assert "Disk usage critical: 95%" in mail["payload"]["text"]


def test_a_warning_never_covers_a_critical_finding(room: Room) -> None:
    room.disk_percent, room.memory_percent = 95.0, 85.0
    room.control.ai_state(health={"status": "healthy", "mongodb_connected": False})
    report = room.check("r1")
    assert report["overall_status"] == "critical"
    assert report["services"]["Python AI Service"]["status"] == "degraded"
    assert report["alerts"][0] == "❌ Disk usage critical: 95%"
    assert len(report["alerts"]) == 3
    (subject,) = room.heard()
    assert "Disk is critical; Python AI Service, Memory are degraded" in subject


def test_tc_async_042_one_failure_is_a_blip_and_no_alert(room: Room) -> None:
    room.control.script("engine", "/api/health", status=503, times=1)
    room.control.script("ai_service", "/health", drop=True, times=1)
    report = room.check("r1")
    assert report["overall_status"] == "healthy"
    assert "503" in report["services"]["Rust Core Engine"]["first_error"]
    assert report["services"]["Python AI Service"]["first_error"]
    assert room.control.messages() == []
    assert {request["status"] for request in room.control.requests("engine", "/api/health")} == {503, 200}


def test_tc_async_043_a_service_that_hangs_is_tried_twice_and_then_down(room: Room) -> None:
    room.control.script("frontend", "/", delay_s=30)
    report = room.check("r1", health_timeout_s=SHORT_S)
    dashboard = report["services"]["Frontend Dashboard"]
    assert dashboard["status"] == "down"
    assert "3 s" in dashboard["error"]
    assert f"❌ Frontend Dashboard is DOWN: {dashboard['error']}" in report["alerts"]
    assert [message.severity for message in room.kept] == ["critical"]


def test_a_hang_that_only_the_first_attempt_meets_is_no_alert(room: Room) -> None:
    room.control.script("engine", "/api/health", delay_s=30, times=1)
    report = room.check("r1", health_timeout_s=SHORT_S)
    assert report["overall_status"] == "healthy"
    assert "slow" not in report["services"]["Rust Core Engine"]


def test_tc_async_044_all_eight_down_at_once_hanging_and_refusing_is_one_critical_message(
    room: Room, redis_server: RedisServer
) -> None:
    """MongoDB, Redis and the engine hang, RabbitMQ and the dashboard refuse. How long it takes: tests/watch."""
    room.control.script("engine", "*", delay_s=60)
    room.control.script("ai_service", "*", status=500)
    room.disk_percent, room.memory_percent = 97.0, 99.0
    stopped = [room.patient.server.process, redis_server.process]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        report = room.check(
            "r1",
            health_timeout_s=SHORT_S,
            frontend_base_url=dead_url(),
            rabbitmq_url=SecretStr(f"amqp://guest:guest@127.0.0.1:{free_port()}//"),
            rabbitmq_management_url=None,
        )
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)
    assert report["overall_status"] == "critical"
    states = {name: entry["status"] for name, entry in report["services"].items()}
    assert states == dict.fromkeys(NAMES[:6], "down") | {"Disk": "critical", "Memory": "critical"}
    assert "🚨 CRITICAL: Primary trading service unavailable!" in report["alerts"]
    for channel in ("smtp", "slack", "discord", "telegram"):
        assert len(room.heard(channel)) == 1, channel
    (message,) = room.kept
    assert message.severity == "critical"
    for name in NAMES:
        assert name in message.title


def test_a_new_problem_names_the_old_one_too_and_a_lasting_one_escalates_once(room: Room) -> None:
    room.check("r1", frontend_base_url=dead_url())
    assert "Frontend Dashboard is DOWN" in room.heard()[-1]
    room.control.script("engine", "/api/health", status=500)
    room.check("r2", frontend_base_url=dead_url())
    assert "Rust Core Engine is DOWN; still critical: Frontend Dashboard" in room.heard()[-1]
    assert room.kept[-1].severity == "critical"
    age(room, 15)
    room.check("r3", frontend_base_url=dead_url())
    assert "ESCALATION: Rust Core Engine is still DOWN for 15 min" in room.heard()[-1]
    assert "Frontend Dashboard is still DOWN" in room.heard()[-1]
    age(room, 15)
    room.check("r4", frontend_base_url=dead_url())
    assert len(room.heard()) == 3, "neither repeated nor escalated again"
    room.control.reset("engine")
    room.check("r5")
    assert "Rust Core Engine, Frontend Dashboard are back" in room.heard()[-1]
    assert [message.severity for message in room.kept] == ["critical"] * 3 + ["info"]


def test_a_repeated_try_of_the_same_run_says_nothing_twice(room: Room) -> None:
    room.disk_percent = 95.0
    room.check("r1")
    (room.settings.state_dir / "health_state.json").unlink()
    room.patient.database()[HEALTH_STATE].delete_many({})
    room.check("r1")
    assert len(room.kept) == 2, "the state was lost, so it was decided again"
    assert len(room.heard()) == 1, "but nobody heard it twice"


def test_channels_that_fail_leave_the_check_green_and_are_said(room: Room) -> None:
    room.disk_percent = 95.0
    for path in ("/services/*", "/api/webhooks/*", "/bot*"):
        room.control.script("sinks", path, status=500)
    room.control.mail_trouble(reply="451 4.3.0 try again later")
    report = room.check("r1")
    assert set(report["notifications"]["alert"].values()) == {"pending"}
    assert report["notices"] == ["⚠️ The alert of this check has reached nobody so far"]
    assert report["services"]["Redis"]["status"] == "healthy"
    again = room.check("r2")
    assert any("CRITICAL messages that have reached nobody" in notice for notice in again["notices"])
    assert again["outbox"]["waiting"]["slack"] >= 1


def test_an_alert_that_could_not_be_kept_is_said_by_the_next_check(room: Room) -> None:
    room.settings.state_dir.mkdir(parents=True)
    spool = room.settings.spool_dir
    spool.write_text("a file where the folder should be")
    room.patient.stop()
    for path in ("/services/*", "/api/webhooks/*", "/bot*"):
        room.control.script("sinks", path, status=500)
    room.control.mail_trouble(reply="451 4.3.0 try again later")
    report = room.check("r1", health_timeout_s=SHORT_S)
    assert "error" in report["notifications"]["alert"]
    assert any("Spool" in alert and "❌" in alert for alert in report["alerts"])
    room.control.reset("sinks")
    spool.unlink()
    room.check("r2", health_timeout_s=SHORT_S)
    (subject,) = room.heard()
    assert "MongoDB is DOWN" in subject


@pytest.mark.parametrize(("code", "word"), [(0, "succeeded"), (3, "ended with code 3")])
def test_the_restart_lever_is_pulled_once_per_outage_and_reported(
    room: Room, rabbitmq: RabbitMq, tmp_path: Path, code: int, word: str
) -> None:
    script = tmp_path / "restart.sh"
    script.write_text(f"#!/bin/sh\necho run >>{tmp_path}/pulled\necho 'password=hunter2 {rabbitmq.url}'\nexit {code}\n")
    script.chmod(0o755)
    dead: dict[str, Any] = {
        "rabbitmq_url": SecretStr(f"amqp://guest:guest@127.0.0.1:{free_port()}//"),
        "rabbitmq_management_url": None,
        "rabbitmq_restart_command": str(script),
    }
    first = room.check("r1", **dead)
    assert word in first["restarts"]["RabbitMQ"]["text"]
    assert "hunter2" not in str(first)
    (mail,) = room.control.messages("smtp")
    assert f"RabbitMQ: the restart command {word}" in mail["payload"]["text"]
    assert "hunter2" not in str(room.control.messages())
    second = room.check("r2", **dead)
    assert second["restarts"] == {}
    room.check("r3", rabbitmq_restart_command=str(script))
    room.check("r4", **dead)
    assert (tmp_path / "pulled").read_text().splitlines() == ["run", "run"], "once in each of the two outages"


def test_no_lever_is_pulled_while_the_service_answers_or_none_is_configured(room: Room, tmp_path: Path) -> None:
    room.check("r1", redis_restart_command=f"touch {tmp_path}/pulled")
    report = room.check("r2", redis_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0"))
    assert report["services"]["Redis"]["status"] == "down"
    assert report["restarts"] == {}
    assert not (tmp_path / "pulled").exists()


def test_a_check_without_time_left_leaves_the_lever_to_the_next_one(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead: dict[str, Any] = {
        "redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0"),
        "redis_restart_command": f"touch {tmp_path}/pulled",
    }
    with monkeypatch.context() as slow:
        slow.setattr("include.health.check.BUDGET_S", 0.0)
        assert room.check("r1", **dead)["restarts"] == {}
    assert not (tmp_path / "pulled").exists()
    assert room.check("r2", **dead)["restarts"]["Redis"]["exit_code"] == 0
    assert (tmp_path / "pulled").exists()


def test_what_was_remembered_in_mongodb_counts_on_a_host_without_the_file(room: Room) -> None:
    since = datetime.now(UTC) - timedelta(minutes=20)
    known = {"Disk": Problem("Disk", Level.CRITICAL, ("usage",), since, said=True)}
    HealthMemory(room.settings.state_dir, room.patient.database()).save(known, datetime.now(UTC))
    (room.settings.state_dir / "health_state.json").unlink()
    room.check("r1")
    (subject,) = room.heard()
    assert "Disk is well again after 20 min" in subject


def test_a_state_that_mongodb_refuses_to_keep_is_kept_in_the_file_and_nothing_is_said_twice(room: Room) -> None:
    db = room.patient.database()
    db.drop_collection(HEALTH_STATE)
    db.create_collection(HEALTH_STATE, viewOn="nothing")  # a view takes no writes, whatever the user may do
    room.disk_percent = 95.0
    try:
        first, second = room.check("r1"), room.check("r2")
    finally:
        db.drop_collection(HEALTH_STATE)
    assert first["state_kept_in"] == second["state_kept_in"] == ["file"]
    assert len(room.heard()) == 1


def test_a_state_that_nobody_keeps_is_said_in_the_report(room: Room) -> None:
    room.settings.state_dir.parent.mkdir(parents=True, exist_ok=True)
    room.settings.state_dir.write_text("a file where the folder should be")
    room.patient.stop()
    report = room.check("r1", health_timeout_s=SHORT_S)
    assert report["state_kept_in"] == []
    assert "⚠️ What was said could not be remembered anywhere" in report["notices"]
    assert report["overall_status"] == "critical"
