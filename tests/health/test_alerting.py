"""What is said when: nothing twice, nothing forgotten, whatever follows what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.health.alerting import Decision, Problem, decide
from include.health.entry import Finding, Level
from include.health.report import HealthReport
from include.notify.health_alert import alert_message, lasted, recovery_message, unfinished_message
from include.notify.message import Message, Severity

NOW = datetime(2025, 11, 22, 14, 30, tzinfo=UTC)
RUN = timedelta(minutes=15)
ESCALATE = timedelta(minutes=5)


def finding(subject: str, level: Level = Level.CRITICAL, code: str = "down") -> Finding:
    return Finding(subject, code, level, f"{subject} {code}")


def step(known: dict[str, Problem], *findings: Finding, now: datetime = NOW) -> tuple[Decision, dict[str, Problem]]:
    decision = decide(known, findings, now, ESCALATE)
    return decision, decision.remember(alert_kept=True, recovery_kept=True)


def subjects(changes: tuple[object, ...]) -> list[str]:
    return [change.subject for change in changes]  # type: ignore[attr-defined]


def test_new_then_known_then_escalated_once_then_over() -> None:
    decision, known = step({}, finding("Redis"))
    assert subjects(decision.new) == ["Redis"]
    decision, known = step(known, finding("Redis"), now=NOW + timedelta(minutes=1))
    assert (decision.new, decision.escalated, subjects(decision.ongoing)) == ((), (), ["Redis"])
    decision, known = step(known, finding("Redis"), now=NOW + RUN)
    assert subjects(decision.escalated) == ["Redis"]
    decision, known = step(known, finding("Redis"), now=NOW + 2 * RUN)
    assert (decision.new, decision.escalated) == ((), ())
    decision, known = step(known, now=NOW + 3 * RUN)
    assert subjects(decision.over) == ["Redis"]
    assert known == {}


def test_a_warning_that_gets_worse_is_new_and_one_that_eases_says_so() -> None:
    _, known = step({}, finding("Disk", Level.WARNING, "usage"))
    decision, known = step(known, finding("Disk", Level.CRITICAL, "usage"), now=NOW + RUN)
    assert subjects(decision.new) == ["Disk"]
    assert known["Disk"].since == NOW + RUN
    decision, known = step(known, finding("Disk", Level.WARNING, "usage"), now=NOW + 2 * RUN)
    assert (decision.new, decision.over, subjects(decision.eased)) == ((), (), ["Disk"])
    decision, _ = step(known, finding("Disk", Level.WARNING, "usage"), now=NOW + 3 * RUN)
    assert (decision.new, decision.eased, decision.escalated) == ((), (), ()), "a warning does not escalate"


def test_another_kind_of_trouble_at_the_same_level_is_new_and_one_less_is_not() -> None:
    slow, deep = finding("RabbitMQ", Level.WARNING, "slow"), finding("RabbitMQ", Level.WARNING, "queue_depth")
    _, known = step({}, slow)
    decision, known = step(known, slow, deep)
    assert subjects(decision.new) == ["RabbitMQ"]
    decision, _ = step(known, deep)
    assert (decision.new, decision.over) == ((), ())


def test_what_is_not_watched_any_more_is_forgotten_and_what_is_not_known_stays() -> None:
    _, known = step({}, finding("Redis"), finding("Outbox", Level.WARNING, "silent"))
    decision = decide(known, [], NOW + RUN, ESCALATE, unwatched=["Redis"], unknown=["Outbox"])
    assert decision.over == ()
    assert list(decision.problems) == ["Outbox"]


def test_what_could_not_be_said_is_said_the_next_time() -> None:
    decision = decide({}, [finding("Redis")], NOW, ESCALATE)
    known = decision.remember(alert_kept=False, recovery_kept=True)
    decision, known = step(known, finding("Redis"), now=NOW + RUN)
    assert subjects(decision.new) == ["Redis"]
    assert decision.new[0].now is not None
    assert decision.new[0].now.since == NOW, "it lasts since it was seen first"
    decision = decide(known, [], NOW + 2 * RUN, ESCALATE)
    known = decision.remember(alert_kept=True, recovery_kept=False)
    decision, _ = step(known, now=NOW + 3 * RUN)
    assert subjects(decision.over) == ["Redis"]


LEVELS = st.lists(st.sampled_from([Level.OK, Level.WARNING, Level.CRITICAL]), min_size=1, max_size=12)


@given(LEVELS)
def test_every_change_is_said_once_and_nothing_else(levels: list[Level]) -> None:
    known: dict[str, Problem] = {}
    before, since_critical, escalated = Level.OK, NOW, False
    for run, level in enumerate(levels):
        now = NOW + run * RUN
        decision, known = step(known, *([finding("Redis", level, "x")] if level else []), now=now)
        assert bool(decision.new) == (level > before)
        assert bool(decision.eased) == (Level.OK < level < before)
        assert bool(decision.over) == (level is Level.OK < before)
        if level is Level.CRITICAL and before is not Level.CRITICAL:
            since_critical, escalated = now, False
        due = level is before is Level.CRITICAL and not escalated and now - since_critical >= ESCALATE
        assert bool(decision.escalated) == due
        escalated = escalated or due
        assert (level is Level.OK) == ("Redis" not in known)
        before = level


def alert(decision: Decision, now: datetime = NOW) -> Message | None:
    return alert_message(decision, HealthReport(now, {}), {}, "run-1")


def test_one_message_names_everything_new_and_what_is_still_critical() -> None:
    _, known = step({}, finding("MongoDB"))
    decision, _ = step(
        known, finding("MongoDB"), finding("Redis"), finding("Disk", Level.CRITICAL, "usage"),
        finding("Memory", Level.WARNING, "usage"), now=NOW + timedelta(minutes=1),
    )  # fmt: skip
    message = alert(decision)
    assert message is not None
    assert message.severity is Severity.CRITICAL
    assert message.title == "Redis is DOWN; Disk is critical; Memory is degraded; still critical: MongoDB"
    assert message.body.splitlines()[-2:] == ["Known already, still critical:", "MongoDB down"]
    assert message.dedupe_key == "health:run-1:alert"


def test_only_warnings_make_a_warning_and_no_news_make_no_message() -> None:
    decision, known = step({}, finding("Memory", Level.WARNING, "usage"))
    message = alert(decision)
    assert message is not None
    assert (message.severity, message.title) == (Severity.WARNING, "Memory is degraded")
    decision, _ = step(known, finding("Memory", Level.WARNING, "usage"))
    assert alert(decision) is None
    assert recovery_message(decision, NOW, "run-1") is None


def test_the_recovery_says_for_how_long_and_warns_when_it_is_only_half_of_one() -> None:
    _, known = step({}, finding("Redis"), finding("Disk", Level.CRITICAL, "usage"))
    decision, _ = step(known, finding("Disk", Level.WARNING, "usage"), now=NOW + RUN)
    message = recovery_message(decision, NOW + RUN, "run-2")
    assert message is not None
    assert message.severity is Severity.WARNING
    assert "✅ Redis is back after 15 min" in message.body
    assert "Disk is well again after 15 min, but:\nDisk usage" in message.body


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 0 min"), (200_000, "2 d 7 h"), (-5, "0 s")],
)
def test_spans_in_words(seconds: int, words: str) -> None:
    assert lasted(timedelta(seconds=seconds)) == words


def test_a_check_that_does_not_finish_is_critical_and_said_once_per_run() -> None:
    message = unfinished_message("system_health_check", "run-1", "running", "2025-11-22T14:30:00Z")
    assert message.severity is Severity.CRITICAL
    assert "nothing is watched" in message.title
    assert message.dedupe_key == "health:run-1:unfinished"
