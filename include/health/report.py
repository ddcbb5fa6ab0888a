"""The health report: eight entries, what is said about delivery and storage, and the worst of it as the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.health.entry import Entry, Finding, Level

OVERALL = {Level.OK: "healthy", Level.WARNING: "degraded", Level.CRITICAL: "critical"}


@dataclass(frozen=True)
class HealthReport:
    """What one check found.

    :param timestamp: aware UTC, when the probes had answered.
    :param notices: what is wrong with the outbox, the spool or the check's own state.
    :param storage: figures of the outbox and the spool.
    """

    timestamp: datetime
    services: Mapping[str, Entry]
    notices: Sequence[Finding] = ()
    storage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        """All findings, the critical ones first."""
        found = [finding for entry in self.services.values() for finding in entry.findings]
        return sorted([*found, *self.notices], key=lambda finding: -finding.level)

    @property
    def overall(self) -> str:
        """The worst of all findings: nothing that comes later makes a critical one better."""
        return OVERALL[max((finding.level for finding in self.findings), default=Level.OK)]

    def to_dict(self) -> dict[str, Any]:
        """Return `health_report` of the result, its times as text."""
        return {
            "timestamp": self.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "overall_status": self.overall,
            "services": {name: entry.to_dict() for name, entry in self.services.items()},
            "alerts": [finding.text for finding in self.findings],
            "notices": [finding.text for finding in self.notices],
            **self.storage,
        }
