"""The message about a finished training."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from include.notify.message import Message, Severity


def training_message(result: Mapping[str, Any]) -> Message:
    """Return the accuracy beside its baseline, the skill with its interval, and whether the model was deployed.

    :param result: of `include.ml.train_result.success_result`, with `deployed` and `verdict` of the DAG.
    """
    numbers: Mapping[str, Any] = result["training_results"]
    low, high = (value * 100 for value in numbers["skill_interval"])
    name = f"{str(result['model_type']).upper()} {result['symbol']} {result['timeframe']}"
    lines = [
        f"Accuracy {numbers['val_accuracy']:.1%} on {numbers['bars']} unseen bars, baseline "
        f"{numbers['baseline_accuracy']:.1%}",
        f"Skill {numbers['skill'] * 100:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}): "
        + ("an edge is shown" if numbers["edge"] else "no edge shown"),
        f"Epoch {numbers['best_epoch']} of {numbers['epochs_completed']} was the best; trained "
        + str(result.get("started_from_reason") or "from scratch"),
        _outcome(result),
        *(f"Warning: {warning}" for warning in result.get("warnings", ())),
    ]
    return Message(
        severity=Severity.INFO,
        title=f"Training of {name} complete: accuracy {numbers['val_accuracy']:.1%}, "
        + ("deployed" if result.get("deployed") else "not deployed"),
        body="\n".join(lines),
        fields={
            "Accuracy": f"{numbers['val_accuracy']:.1%}",
            "Baseline": f"{numbers['baseline_accuracy']:.1%}",
            "Skill": f"{numbers['skill'] * 100:+.1f} points ({low:+.1f} to {high:+.1f})",
            "Edge": "edge shown" if numbers["edge"] else "no edge shown",
            "Deployed": "yes" if result.get("deployed") else "no",
            "Took": f"{numbers['training_time_seconds']:.0f} s on the {str(result['device']).upper()}",
            "Model": str(result["model_id"]),
            "Run": str(result["task_id"]),
        },
        dedupe_key=f"training:{result['task_id']}",
        created_at=datetime.fromisoformat(str(result["timestamp"])),
    )


def _outcome(result: Mapping[str, Any]) -> str:
    verdict = result.get("verdict")
    if verdict:
        reason = str(verdict["reason"])
        return reason[:1].upper() + reason[1:]
    return "Not deployed: the run asked for a candidate only"
