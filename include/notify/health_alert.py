"""The messages of the health check: what is newly wrong, what lasts, and what is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.health.entry import Level
from include.notify.message import Message, Severity

if TYPE_CHECKING:
    from include.health.alerting import Change, Decision
    from include.health.report import HealthReport

SEVERITIES = {Level.WARNING: Severity.WARNING, Level.CRITICAL: Severity.CRITICAL}
RESOURCES = ("Disk", "Memory", "Spool", "Outbox")
"""What is never down, but critical."""


def alert_message(
    decision: Decision, report: HealthReport, restarts: Mapping[str, Mapping[str, Any]], task_id: str
) -> Message | None:
    """Return the one alert of a check, CRITICAL or WARNING; None when nothing is new and nothing has to be escalated.

    It names everything that is newly wrong, everything that lasts too long, and what else is still critical.

    :param restarts: by service, what its restart command did in this check.
    """
    told = [*decision.new, *decision.escalated]
    problems = [change.now for change in told if change.now is not None]
    if not problems:
        return None
    now = report.timestamp
    lines = [text for change in by_level(decision.new) for text in change.texts]
    for change in decision.escalated:
        lines += (
            [f"Escalation: still not well after {lasted(now - change.now.since)}:", *change.texts] if change.now else []
        )
    if decision.ongoing:
        lines += ["Known already, still critical:", *(change.texts[0] for change in decision.ongoing if change.texts)]
    lines += [f"{name}: {outcome['text']}" for name, outcome in restarts.items()]
    affected = [change.subject for change in (*by_level(decision.new), *decision.escalated, *decision.ongoing)]
    return Message(
        severity=SEVERITIES[max(problem.level for problem in problems)],
        title=_title(decision, now),
        body="\n".join(lines),
        fields={
            "Overall": report.overall,
            "Affected": ", ".join(dict.fromkeys(affected)),
            "Detected": f"{now:%Y-%m-%d %H:%M:%S} UTC",
            "Run": task_id,
        },
        dedupe_key=f"health:{task_id}:alert",
        created_at=now,
    )


def recovery_message(decision: Decision, now: datetime, task_id: str) -> Message | None:
    """Return the message about what is over or eased, with how long it lasted; None when there is nothing."""
    lines = []
    for change in decision.over:
        lines.append(f"✅ {change.subject} is {_back(change)} after {_lasted(change, now)}")
    for change in decision.eased:
        lines += [f"{change.subject} is {_back(change)} after {_lasted(change, now)}, but:", *change.texts]
    if not lines:
        return None
    subjects = [change.subject for change in (*decision.over, *decision.eased)]
    if len(subjects) == 1:
        change = (*decision.over, *decision.eased)[0]
        title = f"{change.subject} is {_back(change)} after {_lasted(change, now)}"
    else:
        title = f"{', '.join(subjects)} are back"
    still = [change.subject for change in (*decision.new, *decision.escalated, *decision.ongoing)]
    return Message(
        severity=Severity.WARNING if decision.eased else Severity.INFO,
        title=title,
        body="\n".join(lines),
        fields={"Back": ", ".join(subjects), "Still not well": ", ".join(still) or "nothing", "Run": task_id},
        dedupe_key=f"health:{task_id}:recovery",
        created_at=now,
    )


def unfinished_message(dag_id: str, run_id: str, state: str, queued_at: str) -> Message:
    """Return the CRITICAL message about a check that has not finished: what it watches is unwatched."""
    return Message(
        severity=Severity.CRITICAL,
        title=f"{dag_id} has not finished: nothing is watched",
        body=(
            f"The run is {state} since {queued_at}. What to do: look whether the scheduler runs, whether the pool "
            "critical has free slots, and at the log of the run's task."
        ),
        fields={"DAG": dag_id, "Run": run_id, "State": state},
        dedupe_key=f"health:{run_id}:unfinished",
    )


def by_level(changes: Iterable[Change]) -> list[Change]:
    """Return changes with the worst first, else in their order."""
    return sorted(changes, key=lambda change: -(change.now.level if change.now else Level.OK))


def lasted(span: timedelta) -> str:
    """Return a span as people say it: `40 s`, `16 min`, `3 h 5 min`, `2 d 4 h`.

    >>> lasted(timedelta(minutes=16, seconds=20))
    '16 min'
    """
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{days} d {hours % 24} h"


def _title(decision: Decision, now: datetime) -> str:
    parts = [_phrase([change for change in decision.new if _level(change) is level], level) for level in WORST_FIRST]
    for change in decision.escalated:
        if change.now is not None:
            parts.append(f"ESCALATION: {change.subject} {_word(change)} for {lasted(now - change.now.since)}")
    if decision.ongoing:
        parts.append(f"still critical: {', '.join(change.subject for change in decision.ongoing)}")
    return "; ".join(filter(None, parts))


WORST_FIRST = (Level.CRITICAL, Level.WARNING)


def _phrase(changes: list[Change], level: Level) -> str:
    """Return `MongoDB, Redis are DOWN; Disk is critical`, or `Disk is degraded`; nothing without changes."""
    if level is Level.WARNING:
        return _are([change.subject for change in changes], "degraded")
    down = [change.subject for change in changes if change.subject not in RESOURCES]
    full = [change.subject for change in changes if change.subject in RESOURCES]
    phrases = [_are(down, "DOWN"), _are(full, "critical")]
    return "; ".join(filter(None, phrases))


def _are(subjects: list[str], state: str) -> str:
    verb = "is" if len(subjects) == 1 else "are"
    return f"{', '.join(subjects)} {verb} {state}" if subjects else ""


def _word(change: Change) -> str:
    return "is still critical" if change.subject in RESOURCES else "is still DOWN"


def _level(change: Change) -> Level:
    return change.now.level if change.now is not None else Level.OK


def _back(change: Change) -> str:
    was_down = change.was is not None and change.was.level is Level.CRITICAL and change.subject not in RESOURCES
    return "back" if was_down else "well again"


def _lasted(change: Change, now: datetime) -> str:
    return lasted(now - change.was.since) if change.was is not None else "an unknown time"
