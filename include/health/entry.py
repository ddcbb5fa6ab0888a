"""What one probe found about one service, and how serious that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

ENGINE, AI_SERVICE, FRONTEND = "Rust Core Engine", "Python AI Service", "Frontend Dashboard"
MONGODB, REDIS, RABBITMQ = "MongoDB", "Redis", "RabbitMQ"
DISK, MEMORY = "Disk", "Memory"
NAMES = (ENGINE, AI_SERVICE, FRONTEND, MONGODB, REDIS, RABBITMQ, DISK, MEMORY)
"""The eight entries of every report, in this order."""

HEALTHY, DEGRADED, DOWN, NOT_CONFIGURED = "healthy", "degraded", "down", "not_configured"
WARNING_STATUS, CRITICAL_STATUS, UNKNOWN = "warning", "critical", "unknown"
"""The states of disk and memory, which are never down."""


class Level(IntEnum):
    """How serious a finding is; the worst one decides about the whole."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    :param subject: what it is about: one of the eight names, or what delivers and keeps (`Outbox`, `Spool`).
    :param code: the kind of trouble; the same code at the same level is the same trouble, whatever its text.
    :param text: what people read, with its symbol.
    """

    subject: str
    code: str
    level: Level
    text: str


@dataclass(frozen=True)
class Entry:
    """One service of a report.

    :param facts: what is stored beside the status: `response_time_ms`, `slow`, `usage_percent`, `error`.
    """

    status: str
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the stored form."""
        return {"status": self.status, **self.facts}


def not_configured() -> Entry:
    """Return the entry of a service that this deployment does not use: neither healthy nor an alert."""
    return Entry(NOT_CONFIGURED)


def answered(
    name: str, response_time_s: float, slow_after_s: float, findings: tuple[Finding, ...] = (), **facts: Any
) -> Entry:
    """Return the entry of a service that answered: healthy, also when it was slow; degraded with other findings.

    :param slow_after_s: a longer answer is `slow`, which makes the whole degraded.
    """
    measured: dict[str, Any] = {"response_time_ms": round(response_time_s * 1000, 1)}
    said = findings
    if response_time_s > slow_after_s:
        measured["slow"] = True
        text = f"⚠️ {name} slow response ({response_time_s * 1000:.0f}ms)"
        said = (Finding(name, "slow", Level.WARNING, text), *findings)
    return Entry(DEGRADED if findings else HEALTHY, said, {**measured, **facts})


def down(name: str, error: str) -> Entry:
    """Return the entry of a service that did not do what it should, twice."""
    said = [Finding(name, "down", Level.CRITICAL, f"❌ {name} is DOWN: {error}")]
    if name == ENGINE:
        said.append(Finding(name, "down", Level.CRITICAL, "🚨 CRITICAL: Primary trading service unavailable!"))
    return Entry(DOWN, tuple(said), {"error": error})
