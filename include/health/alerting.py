"""Decides what is new, what still holds, what is over: no alert is repeated, none is forgotten."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from include.health.entry import Finding, Level


@dataclass(frozen=True)
class Problem:
    """What is remembered about a subject that is not well.

    :param since: when it got to this level, seen by a check.
    :param said: whether people were told about it at this level.
    :param escalated: whether they were told again, because it lasted.
    :param restart: what the restart command did in this outage; None while it was not tried.
    """

    subject: str
    level: Level
    codes: tuple[str, ...]
    since: datetime
    said: bool = False
    escalated: bool = False
    restart: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the stored form; times as text."""
        return {
            "subject": self.subject,
            "level": int(self.level),
            "codes": list(self.codes),
            "since": self.since.isoformat(),
            "said": self.said,
            "escalated": self.escalated,
            "restart": None if self.restart is None else dict(self.restart),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Problem:
        """Read the stored form.

        :raises KeyError, TypeError, ValueError: when it is not one.
        """
        since = datetime.fromisoformat(stored["since"])
        if since.tzinfo is None:
            raise ValueError(f"the time {stored['since']} carries no zone")
        return cls(
            subject=str(stored["subject"]),
            level=Level(stored["level"]),
            codes=tuple(str(code) for code in stored["codes"]),
            since=since,
            said=bool(stored["said"]),
            escalated=bool(stored["escalated"]),
            restart=stored["restart"],
        )


@dataclass(frozen=True)
class Change:
    """One subject that people are to hear about: what it was like, what it is like.

    :param was: None for a new problem.
    :param now: None for one that is over.
    """

    subject: str
    was: Problem | None
    now: Problem | None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What one check says to people, and what the next one has to remember.

    :param new: problems that began, got worse or got another kind.
    :param escalated: critical ones that last.
    :param eased: critical ones that are only warnings now.
    :param over: problems that are gone.
    :param ongoing: critical ones that people know about already.
    :param problems: by subject, as if nothing had been said yet; :meth:`remember` adds what was.
    """

    new: tuple[Change, ...] = ()
    escalated: tuple[Change, ...] = ()
    eased: tuple[Change, ...] = ()
    over: tuple[Change, ...] = ()
    ongoing: tuple[Change, ...] = ()
    problems: Mapping[str, Problem] = field(default_factory=dict)

    def remember(self, *, alert_kept: bool, recovery_kept: bool) -> dict[str, Problem]:
        """Return the problems to remember: what could not be said is said by the next check.

        :param alert_kept: whether the message about new and lasting problems is in the outbox or the spool.
        :param recovery_kept: the same for the message about what is over or eased.
        """
        kept = dict(self.problems)
        if alert_kept:
            for change in self.new:
                kept[change.subject] = replace(kept[change.subject], said=True)
            for change in self.escalated:
                kept[change.subject] = replace(kept[change.subject], escalated=True)
        if recovery_kept:
            for change in self.eased:
                kept[change.subject] = replace(kept[change.subject], said=True)
        else:
            for change in (*self.over, *self.eased):
                if change.was is not None:
                    kept[change.subject] = change.was
        return kept


def decide(
    known: Mapping[str, Problem],
    findings: Iterable[Finding],
    now: datetime,
    escalate_after: timedelta,
    *,
    unwatched: Collection[str] = (),
    unknown: Collection[str] = (),
) -> Decision:
    """Compare what is wrong now with what was wrong at the last check.

    A subject's trouble is unchanged while its level stays and no new kind of trouble joins: its text may differ.

    :param known: by subject, of the last check.
    :param unwatched: subjects that this deployment does not use any more: forgotten without a word.
    :param unknown: subjects that could not be looked at: what was known about them stays as it was.
    """
    by_subject: dict[str, list[Finding]] = {}
    for finding in findings:
        by_subject.setdefault(finding.subject, []).append(finding)
    new, escalated, eased, ongoing = [], [], [], []
    problems: dict[str, Problem] = {}
    for subject, found in by_subject.items():
        was = known.get(subject)
        problem = _problem(subject, found, was, now)
        change = Change(subject, was, problem, tuple(finding.text for finding in found))
        problems[subject] = problem
        if was is not None and was.said and problem.level < was.level:
            eased.append(change)
        elif not problem.said:
            new.append(change)
        elif problem.level is Level.CRITICAL and not problem.escalated and now - problem.since >= escalate_after:
            escalated.append(change)
        elif problem.level is Level.CRITICAL:
            ongoing.append(change)
    over = []
    for subject, problem in known.items():
        if subject in by_subject or subject in unwatched:
            continue
        if subject in unknown:
            problems[subject] = problem
        elif problem.said:
            over.append(Change(subject, problem, None))
    return Decision(tuple(new), tuple(escalated), tuple(eased), tuple(over), tuple(ongoing), problems)


def _problem(subject: str, found: list[Finding], was: Problem | None, now: datetime) -> Problem:
    level = max(finding.level for finding in found)
    codes = tuple(sorted({finding.code for finding in found}))
    if was is None or was.level is not level:
        return Problem(subject, level, codes, now)
    return replace(was, codes=codes, said=was.said and set(codes) <= set(was.codes))
