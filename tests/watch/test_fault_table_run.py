"""The fault table: whatever fails around a report, nothing is lost, nothing comes twice, and every run ends."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from include.store import collections
from ops.status import Status
from sandbox.rabbitmq import RabbitMq
from sandbox.redis_server import RedisServer
from tests.chain.conftest import Bundle, RunView, eventually

OUTAGE_S = 60.0
RESULTS = {
    "daily_portfolio_report": collections.PORTFOLIO_REPORTS,
    "daily_api_cost_report": collections.API_COST_HISTORY,
    "daily_performance_analysis": collections.PERFORMANCE_METRICS,
    "system_health_check": collections.HEALTH_REPORTS,
}
NEED_THE_ENGINE = {"daily_performance_analysis", "daily_portfolio_report"}
"""Without the engine these fail after their retries, and say so (the portfolio report after it was sent)."""
WEBHOOKS = {"slack": "/services/*", "discord": "/api/webhooks/*", "telegram": "/bot*"}
CHANNELS = {"email", *WEBHOOKS}


def each_channel_once(bundle: Bundle, mail: dict[str, Any], **behaviours: dict[str, Any]) -> None:
    """Let each channel fail once; then it works again by itself."""
    for channel, behaviour in behaviours.items():
        bundle.control.script("sinks", WEBHOOKS[channel], times=1, **behaviour)
    bundle.control.mail_trouble(times=1, **mail)


def everything_answers_errors(bundle: Bundle) -> None:
    bundle.control.script("engine", "/api/*", status=500)
    broken = {"status": 500}
    each_channel_once(bundle, {"reply": "451 4.3.0 try again later"}, slack=broken, discord=broken, telegram=broken)


def html_silence_and_rate_limits(bundle: Bundle) -> None:
    bundle.control.script("engine", "/api/paper-trading/portfolio", body="<html><body>502 Bad Gateway</body></html>")
    bundle.control.script("engine", "/api/paper-trading/trades/*", drop=True)
    limited = {"retry_after": 1}
    each_channel_once(bundle, {"drop": True}, slack=limited, discord=limited, telegram={"drop": True})


FAULTS: dict[str, Callable[[Bundle], None]] = {
    "engine, webhooks and mail answer errors": everything_answers_errors,
    "engine sends HTML or nothing, webhooks 429 or nothing, mail hangs up": html_silence_and_rate_limits,
}


@contextmanager
def mongodb_hanging(bundle: Bundle) -> Iterator[None]:
    """Stop the environment's mongod: it accepts connections and answers nothing."""
    pid = Status.read(bundle.run_dir.status_file).components["mongod"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def broker_and_cache_away(rabbitmq: RabbitMq, redis_server: RedisServer) -> Iterator[None]:
    rabbitmq.signal(signal.SIGSTOP)
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
        rabbitmq.signal(signal.SIGCONT)


def arrivals(bundle: Bundle) -> Counter[tuple[str, str]]:
    """Return how often each title arrived at each channel."""
    counted: Counter[tuple[str, str]] = Counter()
    for message in bundle.control.messages():
        payload = message["payload"]
        if message["channel"] == "smtp":
            counted["email", payload["headers"]["Message-ID"]] += 1
        elif message["channel"] == "slack":
            counted["slack", str(payload["attachments"])] += 1
        elif message["channel"] == "discord":
            counted["discord", str(payload["embeds"])] += 1
        else:
            counted["telegram", payload["text"]] += 1
    return counted


def drain(bundle: Bundle) -> None:
    """Let the replay work until nothing waits on the disk or in the outbox."""

    def nothing_waits() -> bool:
        assert bundle.run("replay_pending").state == "success"
        spooled = list((bundle.state_dir / "spool").glob("*.json"))
        return not spooled and not bundle.db[collections.OUTBOX].count_documents({"state": "pending"})

    eventually(nothing_waits, timeout_s=120)


def assert_nothing_is_lost_or_doubled(bundle: Bundle, runs: dict[str, RunView], since: datetime) -> None:
    for dag_id, run in runs.items():
        if run.state == "success":
            found = list(bundle.db[RESULTS[dag_id]].find({"task_id": run.run_id}))
            assert [document["_id"] for document in found] == [run.run_id], run.story
    messages = list(bundle.db[collections.OUTBOX].find({"created_at": {"$gte": since}}))
    assert all(set(message["channels"]) == CHANNELS for message in messages)
    states = {state["state"] for message in messages for state in message["channels"].values()}
    assert states <= {"delivered"}, messages
    arrived = arrivals(bundle)
    assert set(arrived.values()) <= {1}, [key for key, times in arrived.items() if times > 1]
    for channel in CHANNELS:
        assert sum(1 for of, _ in arrived if of == channel) == len(messages), channel
    for dag_id, run in runs.items():
        if dag_id != "system_health_check":  # silent while nothing changes
            assert [m for m in messages if run.run_id in m["dedupe_key"]], f"{dag_id} said nothing"


def again(bundle: Bundle, run: RunView) -> RunView:
    """Run a dead letter again, as a person would."""

    def letter() -> dict[str, Any] | None:
        assert bundle.run("replay_pending").state == "success"
        return bundle.db[collections.DEAD_LETTERS].find_one({"dag_id": run.dag_id, "run_id": run.run_id})

    found = eventually(letter, timeout_s=60)
    replayed = bundle.run("replay_dead_letters", {"ids": [found["_id"]], "dry_run": False})
    assert replayed.state == "success", replayed.story
    return bundle.finish(run.dag_id, f"replay__{run.run_id}")


@pytest.mark.parametrize("fault", FAULTS)
def test_reports_survive(bundle: Bundle, fault: str) -> None:
    drain(bundle)
    bundle.control.reset("sinks")
    since = datetime.now(UTC)
    bundle.control.scenario("good")
    FAULTS[fault](bundle)
    started = {dag_id: bundle.start(dag_id) for dag_id in RESULTS}
    runs = {dag_id: bundle.finish(dag_id, run_id) for dag_id, run_id in started.items()}
    bundle.control.reset("engine")
    drain(bundle)
    assert {dag_id for dag_id, run in runs.items() if run.state == "failed"} == NEED_THE_ENGINE
    assert_nothing_is_lost_or_doubled(bundle, runs, since)


def test_reports_survive_a_minute_without_mongodb_broker_and_cache(
    bundle: Bundle, rabbitmq: RabbitMq, redis_server: RedisServer
) -> None:
    drain(bundle)
    bundle.control.reset("sinks")
    since = datetime.now(UTC)
    bundle.control.scenario("good")
    bundle.control.script("engine", "/api/paper-trading/*", delay_s=8)
    with mongodb_hanging(bundle), broker_and_cache_away(rabbitmq, redis_server):
        over = time.monotonic() + OUTAGE_S
        started = {dag_id: bundle.start(dag_id) for dag_id in RESULTS}
        health = bundle.finish("system_health_check", started["system_health_check"])
        report = health.xcom("check")["health_report"]
        assert {report["services"][name]["status"] for name in ("MongoDB", "RabbitMQ", "Redis")} == {"down"}
        eventually(lambda: time.monotonic() > over, timeout_s=OUTAGE_S + 10)
    bundle.control.reset("engine")
    runs = {dag_id: bundle.finish(dag_id, run_id) for dag_id, run_id in started.items()}
    drain(bundle)
    # Without its ledger the cost report has no figure. Here its retries are over within the minute (as shipped, they
    # take eight): a dead letter is what is left of it then, and becomes the report.
    failed = {dag_id for dag_id, run in runs.items() if run.state == "failed"}
    assert failed <= {"daily_api_cost_report"}, "\n".join(run.story for run in runs.values())
    for dag_id in failed:
        runs[dag_id] = again(bundle, runs[dag_id])
        assert runs[dag_id].state == "success", runs[dag_id].story
    assert_nothing_is_lost_or_doubled(bundle, runs, since)
