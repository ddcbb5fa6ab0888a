"""`system_health_check` as Airflow runs it, with the time-outs as shipped: all is well, all hangs, all is back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from include.store.collections import HEALTH_REPORTS, OUTBOX
from include.store.durable import spool_of
from ops.processes import owned, signal_all
from sandbox.rabbitmq import RabbitMq
from sandbox.redis_server import RedisServer
from tests.chain.conftest import Bundle, RunView, eventually

pytestmark = pytest.mark.slow

DAG = "system_health_check"
SERVICES = ("Rust Core Engine", "Python AI Service", "Frontend Dashboard", "MongoDB", "Redis", "RabbitMQ")


@contextmanager
def hanging(bundle: Bundle, redis_server: RedisServer, rabbitmq: RabbitMq) -> Iterator[None]:
    """Stop MongoDB, Redis and RabbitMQ in their tracks: they take connections and never answer."""
    mongod = owned(bundle.run_dir.path, "mongod")
    assert mongod
    try:
        signal_all(mongod, signal.SIGSTOP)
        redis_server.process.send_signal(signal.SIGSTOP)
        rabbitmq.signal(signal.SIGSTOP)
        yield
    finally:
        signal_all(mongod, signal.SIGCONT)
        redis_server.process.send_signal(signal.SIGCONT)
        rabbitmq.signal(signal.SIGCONT)


def report_of(run: RunView) -> dict[str, Any]:
    report: dict[str, Any] = run.xcom("check")["health_report"]
    return report


def took_s(bundle: Bundle, run: RunView) -> float:
    """Return how long the run took, from its start to its end, as Airflow has it."""
    shown = bundle.client.run(DAG, run.run_id)
    start, end = (datetime.fromisoformat(shown[name]) for name in ("start_date", "end_date"))
    return (end - start).total_seconds()


def alerts_about(bundle: Bundle, channel: str, name: str) -> list[str]:
    return [str(message["payload"]) for message in bundle.control.messages(channel) if name in str(message["payload"])]


def test_tc_async_031_and_044_all_well_then_all_down_then_all_back(
    bundle: Bundle, redis_server: RedisServer, rabbitmq: RabbitMq
) -> None:
    bundle.run(DAG)  # what other tests have broken is over, and said to be
    bundle.control.reset("sinks")
    well = bundle.run(DAG)
    assert well.state == "success", well.story
    report = report_of(well)
    assert len(report["services"]) == 8
    assert {report["services"][name]["status"] for name in SERVICES} == {"healthy"}
    assert report["kept"] == "stored"
    stored = bundle.db[HEALTH_REPORTS].find_one({"_id": well.run_id})
    assert stored is not None
    assert stored["health_report"]["services"] == report["services"]
    assert alerts_about(bundle, "slack", "MongoDB") == []

    bundle.control.script("engine", "*", drop=True)
    bundle.control.script("ai_service", "*", delay_s=90)
    bundle.control.script("frontend", "*", status=500)
    with hanging(bundle, redis_server, rabbitmq):
        down = bundle.run(DAG)
    assert down.state == "success", down.story
    assert took_s(bundle, down) < 25
    report = report_of(down)
    assert report["overall_status"] == "critical"
    assert {report["services"][name]["status"] for name in SERVICES} == {"down"}
    assert "🚨 CRITICAL: Primary trading service unavailable!" in report["alerts"]
    assert report["kept"] == "spooled"
    for channel in ("smtp", "slack", "discord", "telegram"):
        (text,) = alerts_about(bundle, channel, "are DOWN")
        for name in SERVICES:
            assert name in text, channel
    spool = spool_of(bundle.settings.model_copy(update={"state_dir": bundle.state_dir}))
    waiting = {spool.read(path).collection for path in spool.pending()}
    assert {HEALTH_REPORTS, OUTBOX} <= waiting

    for service in ("engine", "ai_service", "frontend"):
        bundle.control.reset(service)  # not the sinks: they must keep what they have
    eventually(lambda: bundle.db.command("ping"))
    back = bundle.run(DAG)
    assert back.state == "success", back.story
    assert {report_of(back)["services"][name]["status"] for name in SERVICES} == {"healthy"}
    (text,) = alerts_about(bundle, "smtp", "are back")
    for name in SERVICES:
        assert name in text
    replayed = bundle.run("replay_pending")
    assert replayed.state == "success", replayed.story
    late = bundle.db[HEALTH_REPORTS].find_one({"_id": down.run_id})
    assert late is not None
    assert late["health_report"]["overall_status"] == "critical"
    for channel in ("smtp", "slack", "discord", "telegram"):
        assert len(alerts_about(bundle, channel, "are DOWN")) == 1, "the replay delivered it a second time"
