"""What a person reads before approving: who stopped what, why, the figures then and now. Markdown, for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.markdown import inline
from include.trading.blunt_lever import DESCRIPTIONS, Lever
from include.trading.kill_switch import Record

ROWS = (
    ("Closed trades", "trades"),
    ("PnL since 00:00 UTC, USDT", "daily_pnl_usdt"),
    ("Loss since 00:00 UTC, % of the equity then", "daily_loss_pct"),
    ("Losses in a row", "losing_streak"),
    ("Win rate of the last trades, %", "win_rate_pct"),
)
SHOWN_IDS = 10


def enable_body(record: Record, now: Mapping[str, Any], since: Mapping[str, Any], asked_by: str, reason: str) -> str:
    """Return the case for and against enabling a strategy, or the book, again.

    :param now: figures of all its trades (`StrategyFigures.to_dict`).
    :param since: figures of the trades that closed since it was stopped.
    """
    then = (record.evidence.get(record.strategy) or record.evidence).get("figures") or {}
    engine = record.engine.get("outcome") or "not asked yet"
    lines = [
        f"**{inline(asked_by)}** asks to enable **{inline(record.strategy)}** again: {_quoted(reason)}",
        "",
        f"Stopped {record.changed_at:%Y-%m-%d %H:%M:%S} UTC by {inline(record.by)}: {_quoted(record.reason)} "
        f"(the engine then: {inline(engine)})",
        "",
        *_table({"When stopped": then, "Since then": since, "All trades now": now}),
        "",
        "Approve: the record changes, the engine is told, and the watchdog judges only trades that close from then on. "
        "Reject, or no answer in time: it stays stopped.",
    ]
    return "\n".join(lines)


def halt_body(lever: Lever, evidence: Mapping[str, Any], asked_by: str, reason: str) -> str:
    """Return the case for stopping all new entries."""
    lines = [
        f"**{inline(asked_by)}** asks to stop **all new entries of every strategy**: {_quoted(reason)}",
        "",
        f"How: {lever}, which is {DESCRIPTIONS[lever]}. Open positions keep their stops and complete.",
        "",
    ]
    figures = evidence.get("figures")
    if isinstance(figures, Mapping):
        lines += [*_table({"Now": figures}), ""]
    conditions = evidence.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, Mapping):
            ids = condition.get("trade_ids")
            newest = ", ".join(map(inline, ids[-SHOWN_IDS:])) if isinstance(ids, list) else ""
            reason_of_it, limit = inline(condition.get("reason")), inline(condition.get("threshold"))
            lines.append(f"- {reason_of_it} (limit {limit}); newest trades: {newest}")
    lines += [
        "",
        "Approve: it is done at once and recorded. It can be taken back with enable_strategy (book). "
        "Reject, or no answer in time: nothing changes.",
    ]
    return "\n".join(lines)


def _table(columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    head = ["", *columns]
    rows = [[label, *(_shown(figures.get(key)) for figures in columns.values())] for label, key in ROWS]
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:.2f}" if isinstance(value, float) else inline(value)


def _quoted(text: str) -> str:
    return f"“{inline(text)}”"
