"""The messages about what the AI costs: the daily report, and GPT-4 switched off or on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from include.analyst.gpt4_switch import SwitchState
from include.notify.message import Message, Severity
from include.notify.reports.render import number, render, usd, when

SEVERITIES = {"ok": Severity.INFO, "warning": Severity.WARNING, "critical": Severity.CRITICAL}


def cost_message(report: Mapping[str, Any], switch: SwitchState, task_id: str) -> Message:
    """Return the daily report as a message.

    :param report: from `include.analyst.cost_report.build_cost_report`.
    :param switch: what holds after the report has been acted upon.
    """
    actual, limits = report["actual"], report["limits"]
    today, yesterday = actual["today"], actual["yesterday"]
    headline = f"{usd(today['cost_usd'])} today, {usd(yesterday['cost_usd'])} yesterday"
    title = f"Daily API cost report {report['date']}: {headline}"
    severity = SEVERITIES[report["level"]]
    if not report["complete"] and severity == Severity.INFO:
        severity = Severity.WARNING
    values = {
        "title": title,
        "report": report,
        "switch": switch,
        "switch_text": switched_off_text(switch),
        "periods": [_period(name, period) for name, period in actual.items()],
        "unsettled": _unsettled(actual["month_to_date"]["unsettled_usd"]),
        "limits": [
            ("Day (UTC)", usd(limits["daily_warning_usd"]), usd(limits["daily_critical_usd"])),
            ("Month (UTC), actual only", usd(limits["monthly_warning_usd"]), usd(limits["monthly_critical_usd"])),
        ],
        "models": _split(report["by_model"]),
        "purposes": _split(report["by_purpose"]),
        "sources": [
            f"Data from {when(actual['month_to_date']['start'])} to {when(report['generated_at'])}: the bundle's own "
            f"ledger and the AI service's counters; 1 USD = {number(report['vnd_per_usd'])} VND."
        ],
        "task_id": task_id,
    }
    rendered = render("cost", values)
    return Message(
        severity=severity,
        title=title,
        body=rendered.text,
        html=rendered.html,
        chat=rendered.chat,
        fields={
            "Today": usd(today["cost_usd"]),
            "Yesterday": usd(yesterday["cost_usd"]),
            "Month to date": usd(actual["month_to_date"]["cost_usd"]),
            "Projected day": usd(report["projections"]["daily_cost_usd"]),
            "Projected month": usd(report["projections"]["monthly_cost_usd"]),
            "GPT-4": "on" if switch.on else "switched off",
        },
        dedupe_key=f"api_cost:{task_id}",
        created_at=datetime.fromisoformat(report["generated_at"]),
    )


def gpt4_off_message(switch: SwitchState) -> Message:
    """Return the alert that GPT-4 has just been switched off; said once per change."""
    evidence = switch.evidence
    return Message(
        severity=Severity.CRITICAL,
        title="GPT-4 is switched off: the cost of the AI is critical",
        body=(
            f"🚨 CRITICAL: {switch.reason}.\nNo request is sent to GPT-4 any more; analyses follow the fallback rule. "
            "The AI service cannot be stopped from here: look at what it does.\n"
            "A person switches GPT-4 on again with the DAG enable_gpt4 (it needs an approval)."
        ),
        fields={
            "Spent today": usd(evidence.get("today_usd")),
            "Spent this month": usd(evidence.get("month_usd")),
            "Projected day": usd(evidence.get("projected_day_usd")),
            "Switched off by": switch.by,
            "At": when(switch.at),
        },
        dedupe_key=_change_key(switch),
    )


def gpt4_on_message(switch: SwitchState) -> Message:
    """Return the note that a person has switched GPT-4 on again."""
    return Message(
        severity=Severity.WARNING,
        title="GPT-4 is switched on again",
        body=f"Approved by {switch.by}: {switch.reason}",
        fields={
            "Spent today by then": usd(switch.evidence.get("today_usd")),
            "Spent this month by then": usd(switch.evidence.get("month_usd")),
            "At": when(switch.at),
        },
        dedupe_key=_change_key(switch),
    )


def gpt4_refused_message(switch: SwitchState, who: str, run_id: str) -> Message:
    """Return the note that GPT-4 stays off."""
    return Message(
        severity=Severity.WARNING,
        title="GPT-4 stays switched off",
        body=f"The request to switch it on was refused ({who}). {switched_off_text(switch)}",
        dedupe_key=f"gpt4_refused:{run_id}",
    )


def switched_off_text(switch: SwitchState) -> str:
    """Return one sentence about the switch."""
    if switch.on:
        return "GPT-4 is on."
    return (
        f"GPT-4 is switched off since {when(switch.at)}, by {switch.by}: {switch.reason}. "
        "The DAG enable_gpt4 switches it on again."
    )


def _change_key(switch: SwitchState) -> str:
    # With the time: versions begin again when somebody deletes the switch's document.
    return f"gpt4_switch:{switch.version}:{switch.at.isoformat() if switch.at else ''}"


def _period(name: str, period: Mapping[str, Any]) -> tuple[str, ...]:
    start, end = when(period["start"]), when(period["end"])
    label = {
        "today": f"Today until {end[11:16]}",
        "yesterday": f"Yesterday ({start[:10]})",
        "month_to_date": "Month to date",
        "previous_month": f"Month before ({start[:7]})",
    }[name]
    return (
        label,
        number(period["requests"]),
        number(period["input_tokens"]),
        number(period["output_tokens"]),
        usd(period["cost_usd"]),
        number(period["cost_vnd"]),
    )


def _split(split: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            number(row["requests"]),
            number(row["input_tokens"]),
            number(row["output_tokens"]),
            usd(row["cost_usd_today"]),
            usd(row["cost_usd"]),
        )
        for name, row in split.items()
    ]


def _unsettled(amount: float) -> str:
    if not amount:
        return "Every request of the ledger is settled."
    return f"{usd(amount)} of the month is the worst case of requests whose bill nobody has confirmed."
