"""The message about a finished retraining."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from include.notify.message import Message, Severity

SEVERITIES = {"INFO": Severity.INFO, "WARNING": Severity.WARNING, "CRITICAL": Severity.CRITICAL}


def retrain_message(result: Mapping[str, Any]) -> Message:
    """Return per model the accuracy before and after, and why it was deployed or not.

    :param result: from `include.ml.retrain_report.build_result`.
    """
    models: Mapping[str, Mapping[str, Any]] = result["models"]
    deployed = [name for name, entry in models.items() if entry.get("deployed")]
    lines = [
        f"Asked for by {result['results']['trigger']}: {result['results']['analysis_reasoning'] or 'no reason given'}"
    ]
    lines += [f"{name.upper()}: {entry.get('reason') or entry.get('status')}" for name, entry in models.items()]
    symbol = f"{result.get('symbol', '')} {result.get('timeframe', '')}".strip()
    return Message(
        severity=SEVERITIES.get(str(result.get("alert_level")), _severity(models)),
        title=f"Retraining of {symbol or 'models'}: {len(deployed)} of {len(models)} deployed",
        body="\n".join(lines),
        fields={
            **{name.upper(): _change(entry) for name, entry in models.items()},
            "Improvement": str(result["summary"]["total_improvement"]),
            "Run": str(result["task_id"]),
        },
        dedupe_key=f"retrain:{result['task_id']}",
        created_at=_time(result.get("timestamp")),
    )


def _change(entry: Mapping[str, Any]) -> str:
    if entry.get("status") != "success":
        return f"failed: {entry.get('error') or 'no reason recorded'}"
    old, new = _percent(entry.get("old_accuracy"), "none"), _percent(entry.get("new_accuracy"), "unknown")
    facts = [f"{old} → {new}"]
    if entry.get("baseline_accuracy") is not None:
        facts.append(f"baseline {_percent(entry['baseline_accuracy'], '')}")
    if entry.get("skill") is not None:
        facts.append(f"skill {entry['skill'] * 100:+.1f} points")
    facts.append("edge shown" if entry.get("edge") else "no edge shown")
    facts.append("deployed" if entry.get("deployed") else "kept the old one")
    return ", ".join(facts)


def _percent(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.1%}"


def _severity(models: Mapping[str, Mapping[str, Any]]) -> Severity:
    if not any(entry.get("deployed") for entry in models.values()):
        return Severity.CRITICAL
    return Severity.INFO if all(entry.get("status") == "success" for entry in models.values()) else Severity.WARNING


def _time(value: object) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value if isinstance(value, datetime) else datetime.now(UTC)
