"""One health check from the first probe to what is remembered: probe, compare, restart, say, remember.

It reports and alerts whatever is broken, itself excepted: it raises only when something is wrong with its own code.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pymongo.errors import PyMongoError

from include.errors import TradingOpsError
from include.health.alerting import Decision, decide
from include.health.entry import DOWN, MONGODB, NOT_CONFIGURED, RABBITMQ, REDIS, Entry, Finding, Level
from include.health.memory import HealthMemory
from include.health.notices import (
    OUTBOX,
    outbox_figures,
    outbox_findings,
    spool_figures,
    spool_findings,
)
from include.health.probing import Probe, in_words, probe_all
from include.health.report import HealthReport
from include.health.restart import run_restart
from include.notify.deliver import every_channel_failed
from include.notify.health_alert import alert_message, recovery_message

if TYPE_CHECKING:
    from pydantic import SecretStr
    from pymongo.database import Database

    from include.health.alerting import Problem
    from include.notify.message import Message
    from include.settings import Settings

log = logging.getLogger(__name__)

RESTART_TIMEOUT_S = 10.0
SHORTEST_RESTART_S = 1.0
"""With less time left the lever is not pulled: it would be killed half-way. The next check does it."""
BUDGET_S = 18.0
"""Probes and restarts together: what is left of 25 s is for starting the task and sending the message."""
AWAY_TIMEOUT_S = 0.5
"""What a MongoDB that has just failed two pings gets in this run."""


@dataclass(frozen=True)
class HealthCheck:
    """What a check needs from its surroundings.

    :param probes: of the eight entries; None for what this deployment does not use.
    :param database: opens the bundle's database.
    :param send: keeps a message and delivers it; returns the state per channel; raises when it could not be kept.
    :param prepare: what sending will need, done while the probes wait (imports take seconds on a busy machine).
    """

    settings: Settings
    probes: Mapping[str, Probe | None]
    database: Callable[[], Database[dict[str, Any]]]
    send: Callable[[Message], Mapping[str, str]]
    prepare: Callable[[], object] | None = None

    def run(self, task_id: str) -> dict[str, Any]:
        """Check everything once and return the result of the run.

        :returns: `status`, `health_report`, `task_id`; `health_report` also holds `notifications` (state per channel)
            and `restarts`.
        """
        began = time.monotonic()
        if self.prepare is not None:
            threading.Thread(target=self.prepare, name="health check: prepare", daemon=True).start()
        services = probe_all(self.probes, self.settings.health_timeout_s)
        probes_s = time.monotonic() - began
        db = self.database() if services[MONGODB].status != DOWN else None
        try:
            return self._judge(services, probes_s, db, task_id)
        finally:
            if db is not None:
                db.client.close()

    def _judge(
        self, services: Mapping[str, Entry], probes_s: float, db: Database[dict[str, Any]] | None, task_id: str
    ) -> dict[str, Any]:
        """Compare with the last check, restart, say, remember.

        :param db: None while MongoDB is down.
        """
        now = datetime.now(UTC)
        memory = HealthMemory(self.settings.state_dir, db)
        known = memory.load()
        notices, storage, unknown = self._storage(db, now)
        report = HealthReport(now, services, notices, storage)
        decision = decide(
            known,
            report.findings,
            now,
            timedelta(seconds=self.settings.health_escalate_after_s),
            unwatched=[name for name, entry in services.items() if entry.status == NOT_CONFIGURED],
            unknown=unknown,
        )
        restarts = self._restart(decision, services, memory, now, BUDGET_S - probes_s)
        decision = _with_restarts(decision, restarts)
        sent, kept = self._say(decision, report, restarts, task_id, mongo_is_up=db is not None)
        late = [_unheard(kind) for kind, states in sent.items() if "error" in states or every_channel_failed(states)]
        written = memory.save(decision.remember(**kept), now)
        if not written:
            late.append(Finding("State", "unkept", Level.WARNING, "⚠️ What was said could not be remembered anywhere"))
        answer = replace(report, notices=[*notices, *late]).to_dict() | {
            "notifications": sent,
            "restarts": restarts,
            "probes_took_s": round(probes_s, 2),
            "state_kept_in": written,
        }
        return {"status": "success", "health_report": answer, "task_id": task_id}

    def _storage(
        self, db: Database[dict[str, Any]] | None, now: datetime
    ) -> tuple[list[Finding], dict[str, Any], list[str]]:
        """Return findings and figures of outbox and spool, and what could not be looked at."""
        from include.notify.outbox_state import outbox_state
        from include.store.spool_state import spool_state

        spool = spool_state(self.settings)
        findings, figures = spool_findings(spool, now), {"spool": spool_figures(spool), "outbox": None}
        if db is None:
            return findings, figures, [OUTBOX]
        try:
            outbox = outbox_state(db, now)
        except (TradingOpsError, PyMongoError) as error:
            text = f"⚠️ The outbox cannot be looked at: {in_words(error)}"
            return [Finding(OUTBOX, "unreadable", Level.WARNING, text), *findings], figures, []
        return [*outbox_findings(outbox, now), *findings], figures | {"outbox": outbox_figures(outbox)}, []

    def _restart(
        self,
        decision: Decision,
        services: Mapping[str, Entry],
        memory: HealthMemory,
        now: datetime,
        left_s: float,
    ) -> dict[str, dict[str, Any]]:
        """Pull the configured levers of what is down, each once per outage; return what they did."""
        commands = {REDIS: self.settings.redis_restart_command, RABBITMQ: self.settings.rabbitmq_restart_command}
        due = {
            name: command
            for name, command in commands.items()
            if command.strip() and services[name].status == DOWN and decision.problems[name].restart is None
        }
        if not due or left_s < SHORTEST_RESTART_S:
            return {}
        # Remembered before it is done: a check that dies meanwhile is repeated, the restart is not.
        intended = {name: replace(decision.problems[name], restart={"text": "begun"}) for name in due}
        memory.save({**decision.remember(alert_kept=False, recovery_kept=False), **intended}, now)
        timeout_s = min(RESTART_TIMEOUT_S, left_s)
        urls = (self.settings.redis_url, self.settings.rabbitmq_url, self.settings.rabbitmq_management_url)
        secrets = [secret for url in urls for secret in _secrets(url)]
        with ThreadPoolExecutor(len(due)) as pool:
            outcomes = pool.map(lambda command: run_restart(command, timeout_s, secrets), due.values())
            return {name: outcome.to_dict() for name, outcome in zip(due, outcomes, strict=True)}

    def _say(
        self,
        decision: Decision,
        report: HealthReport,
        restarts: Mapping[str, Mapping[str, Any]],
        task_id: str,
        *,
        mongo_is_up: bool,
    ) -> tuple[dict[str, Any], dict[str, bool]]:
        """Send the alert and the recovery, where there is something to say; return what became of them."""
        messages = {
            "alert": alert_message(decision, report, restarts, task_id),
            "recovery": recovery_message(decision, report.timestamp, task_id),
        }
        sent: dict[str, Any] = {}
        kept = {"alert_kept": True, "recovery_kept": True}
        for kind, message in messages.items():
            if message is None:
                continue
            try:
                with _mongo_limit(mongo_is_up):
                    sent[kind] = dict(self.send(message))
            except Exception as error:  # the check goes on, and the next one says it again
                log.exception("the %s could be neither stored nor spooled", kind)
                sent[kind] = {"error": in_words(error)}
                kept[f"{kind}_kept"] = False
        return sent, kept


def _unheard(kind: str) -> Finding:
    return Finding(OUTBOX, "unheard", Level.WARNING, f"⚠️ The {kind} of this check has reached nobody so far")


def _with_restarts(decision: Decision, restarts: Mapping[str, Mapping[str, Any]]) -> Decision:
    problems: dict[str, Problem] = dict(decision.problems)
    for name, outcome in restarts.items():
        problems[name] = replace(problems[name], restart=outcome)
    return replace(decision, problems=problems)


def _mongo_limit(mongo_is_up: bool) -> AbstractContextManager[object]:
    """Keep a MongoDB that hangs from holding up the alert about it; a healthy one gets its own time-outs."""
    if mongo_is_up:
        return nullcontext()
    import pymongo

    return pymongo.timeout(AWAY_TIMEOUT_S)


def _secrets(url: SecretStr | None) -> Sequence[str]:
    if url is None:
        return ()
    try:
        password = urlsplit(url.get_secret_value()).password
    except ValueError:
        password = None
    return tuple(filter(None, (url.get_secret_value(), password)))
