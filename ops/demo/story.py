"""Tells what the chain did: data, figures, verdict, and each model's old and new numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def tell_data(console: Console, source: str, reports: Sequence[Mapping[str, Any]]) -> None:
    """Say which data the models learned from."""
    console.rule("[bold]Data")
    console.print(source, highlight=False)
    for report in reports:
        console.print(
            f"{report['symbol']} {report['timeframe']}: {report['present']} of {report['requested']} candles stored, "
            f"{report['fetched']} fetched now",
            highlight=False,
        )


def tell_performance(console: Console, result: Mapping[str, Any]) -> None:
    """Say how the bot did in the last seven days."""
    console.rule("[bold]Performance of the last 7 days")
    metrics = result["metrics"]
    sharpe = metrics["sharpe_ratio"]
    console.print(
        f"{metrics['total_trades']} trades, win rate {_number(metrics['win_rate'])} %, average profit "
        f"{_number(metrics['avg_profit_per_trade'], 2)} %, Sharpe ratio "
        f"{'none: ' + str(metrics['sharpe_reason']) if sharpe is None else _number(sharpe, 2)}",
        highlight=False,
    )
    for alert in result["analysis"]["alerts"]:
        console.print(alert, highlight=False)


def tell_verdict(console: Console, result: Mapping[str, Any]) -> None:
    """Say what GPT-4 was asked, what it answered, and what was decided."""
    console.rule("[bold]GPT-4's verdict")
    analysis = result.get("analysis")
    if analysis is None:
        console.print(f"Not asked: {result['reason']}", highlight=False)
        return
    if analysis["confidence"] is not None:
        console.print(
            f"{analysis['recommendation']} (confidence {analysis['confidence']:.2f}, urgency {analysis['urgency']}, "
            f"cost ${result['cost_usd']:.4f})",
            highlight=False,
        )
    console.print(f"Reasoning: {analysis['reasoning']}", highlight=False)
    console.print(f"Decision: {analysis['decision']['reason']}", highlight=False)


def tell_models(console: Console, reports: Sequence[Mapping[str, Any]]) -> None:
    """Show each model's old and new accuracy on the same bars, and what became of it."""
    console.rule("[bold]Models")
    table = Table(show_lines=False)
    for column in ("symbol", "model", "old", "new", "baseline", "skill (95 %)", "edge", "bars", "deployed, or why not"):
        table.add_column(column, overflow="fold")
    for report in reports:
        for name, model in report["models"].items():
            low, high = model["skill_interval"] or (None, None)
            table.add_row(
                report["symbol"],
                name,
                _share(model["old_accuracy"]),
                _share(model["new_accuracy"]),
                _share(model["baseline_accuracy"]),
                f"{_signed(model['skill'])} [{_signed(low)}, {_signed(high)}]",
                "shown" if model["edge"] else "no edge shown",
                str(model["bars"]),
                str(model["reason"]),
            )
    console.print(table)


def _number(value: float | None, digits: int = 1) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
