"""`system_health_check` as Airflow runs it, with the time-outs as shipped: six are well, all eight down, six back.

Disk and memory are measured as ever. Their limits, which are settings, are so low here that they are exceeded.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from include.health.entry import NAMES
from include.health.memory import FILE_NAME
from include.store.collections import HEALTH_REPORTS, HEALTH_STATE, OUTBOX
from include.store.durable import spool_of
from ops.processes import owned, signal_all
from sandbox.rabbitmq import RabbitMq
from sandbox.redis_server import RedisServer
from tests.chain.conftest import Bundle, RunView, eventually

pytestmark = pytest.mark.slow

DAG = "system_health_check"
SERVICES, RESOURCES = NAMES[:6], NAMES[6:]
SINKS = ("smtp", "slack", "discord", "telegram")


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


def forget_what_was_said(bundle: Bundle) -> None:
    """Let the next check be a deployment's first."""
    bundle.db[HEALTH_STATE].delete_many({})
    (bundle.state_dir / FILE_NAME).unlink(missing_ok=True)


def report_of(run: RunView) -> dict[str, Any]:
    report: dict[str, Any] = run.xcom("check")["health_report"]
    return report


def states(report: dict[str, Any]) -> dict[str, str]:
    return {name: entry["status"] for name, entry in report["services"].items()}


def took_s(bundle: Bundle, run: RunView) -> float:
    """Return how long the run took, from its start to its end, as Airflow has it."""
    shown = bundle.client.run(DAG, run.run_id)
    start, end = (datetime.fromisoformat(shown[name]) for name in ("start_date", "end_date"))
    return (end - start).total_seconds()


def heard(bundle: Bundle, channel: str) -> list[str]:
    return [str(message["payload"]) for message in bundle.control.messages(channel)]


def test_tc_async_031_and_044_all_eight_down_at_once_is_one_critical_message_in_time(
    bundle: Bundle, redis_server: RedisServer, rabbitmq: RabbitMq, record_property: Callable[[str, object], None]
) -> None:
    forget_what_was_said(bundle)
    well = bundle.run(DAG)
    assert well.state == "success", well.story
    report = report_of(well)
    assert states(report) == dict.fromkeys(SERVICES, "healthy") | dict.fromkeys(RESOURCES, "critical")
    assert report["kept"] == "stored"
    stored = bundle.db[HEALTH_REPORTS].find_one({"_id": well.run_id})
    assert stored is not None
    assert stored["health_report"]["services"] == report["services"]
    assert not any(name in text for text in heard(bundle, "slack") for name in SERVICES)

    forget_what_was_said(bundle)
    bundle.control.reset("sinks")
    bundle.control.script("engine", "*", drop=True)
    bundle.control.script("ai_service", "*", delay_s=90)
    bundle.control.script("frontend", "*", status=500)
    with hanging(bundle, redis_server, rabbitmq):
        down = bundle.run(DAG)
    assert down.state == "success", down.story
    record_property("seconds_of_the_run", took_s(bundle, down))
    assert took_s(bundle, down) < 25
    report = report_of(down)
    assert report["overall_status"] == "critical"
    assert states(report) == dict.fromkeys(SERVICES, "down") | dict.fromkeys(RESOURCES, "critical")
    for name in RESOURCES:
        assert report["services"][name]["usage_percent"] > 0, "measured, and above the limit"
    assert "🚨 CRITICAL: Primary trading service unavailable!" in report["alerts"]
    assert report["kept"] == "spooled"
    assert set(report["notifications"]["alert"].values()) == {"delivered"}
    for channel in SINKS:
        (text,) = heard(bundle, channel)
        for name in NAMES:
            assert name in text, channel
    spool = spool_of(bundle.settings.model_copy(update={"state_dir": bundle.state_dir}))
    waiting = [spool.read(path) for path in spool.pending()]
    assert HEALTH_REPORTS in {each.collection for each in waiting}
    (message,) = [each.document for each in waiting if each.collection == OUTBOX]
    assert message["severity"] == "critical"

    for service in ("engine", "ai_service", "frontend"):
        bundle.control.reset(service)  # not the sinks: they must keep what they have
    eventually(lambda: bundle.db.command("ping"))
    back = bundle.run(DAG)
    assert back.state == "success", back.story
    assert states(report_of(back)) == dict.fromkeys(SERVICES, "healthy") | dict.fromkeys(RESOURCES, "critical")
    replayed = bundle.run("replay_pending")
    assert replayed.state == "success", replayed.story
    late = bundle.db[HEALTH_REPORTS].find_one({"_id": down.run_id})
    assert late is not None
    assert late["health_report"]["overall_status"] == "critical"
    for channel in SINKS:
        alert, recovery = heard(bundle, channel)
        assert "are DOWN" in alert, "and the replay has delivered it no second time"
        assert "are back" in recovery
        for name in SERVICES:
            assert name in recovery, channel
