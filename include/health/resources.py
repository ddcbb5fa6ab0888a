"""How full this host's disk and memory are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from include.health.entry import (
    CRITICAL_STATUS,
    DISK,
    HEALTHY,
    MEMORY,
    UNKNOWN,
    WARNING_STATUS,
    Entry,
    Finding,
    Level,
)


@dataclass(frozen=True)
class UsageLimits:
    """Usage in percent: a warning from `warning` on, critical above `critical`."""

    warning: float = 80.0
    critical: float = 90.0


def usage_entry(name: str, usage_percent: float, limits: UsageLimits) -> Entry:
    """Return the entry for a usage.

    >>> usage_entry("Disk", 85.0, UsageLimits()).findings[0].text
    '⚠️ Disk usage high: 85%'
    """
    shown = f"{round(usage_percent, 1):g}%"
    facts = {"usage_percent": round(usage_percent, 1)}
    if usage_percent > limits.critical:
        finding = Finding(name, "usage", Level.CRITICAL, f"❌ {name} usage critical: {shown}")
        return Entry(CRITICAL_STATUS, (finding,), facts)
    if usage_percent >= limits.warning:
        return Entry(WARNING_STATUS, (Finding(name, "usage", Level.WARNING, f"⚠️ {name} usage high: {shown}"),), facts)
    return Entry(HEALTHY, (), facts)


def probe_disk(path: Path, limits: UsageLimits, timeout_s: float) -> Entry:
    """Look at the file system of a path, as `df` counts it; one that cannot be read is a warning."""
    del timeout_s
    try:
        return usage_entry(DISK, psutil.disk_usage(str(path)).percent, limits)
    except OSError as error:
        reason = f"{path} cannot be read ({error.strerror}): correct TRADING_OPS_HEALTH_DISK_PATH"
        finding = Finding(DISK, "unknown", Level.WARNING, f"⚠️ {DISK} usage unknown: {reason}")
        return Entry(UNKNOWN, (finding,), {"error": reason})


def probe_memory(limits: UsageLimits, timeout_s: float) -> Entry:
    """Look at the memory of this host: what is not available to new programs counts as used."""
    del timeout_s
    return usage_entry(MEMORY, psutil.virtual_memory().percent, limits)
