"""Turns the stages and epochs of a training into percentages for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

ProgressCallback = Callable[[int, Mapping[str, Any]], None]
"""Gets the percentage (0-100, never falling) and details: `message`, and in training `current_epoch`,
`total_epochs`, `current_loss`."""

INITIALIZING, LOADING, TRAINING, EVALUATING, SAVING, COMPLETE = 0, 2, 5, 90, 95, 100


class TrainingProgress:
    """Reports every full percent once; with 17 epochs or more no step is wider than 5 %."""

    def __init__(self, callback: ProgressCallback | None, total_epochs: int) -> None:
        self._callback = callback
        self._total = total_epochs
        self._last = -1

    def stage(self, percent: int, message: str) -> bool:
        """Report the beginning of a stage; returns whether it was news."""
        return self._report(percent, {"message": message})

    def epoch(self, done: int, loss: float) -> bool:
        """Report that `done` epochs (counted from the very first one, resumed or not) are over."""
        percent = TRAINING + (EVALUATING - TRAINING) * min(done, self._total) // self._total
        details = {
            "message": f"Training epoch {done}/{self._total}... Loss: {loss:.4f}",
            "current_epoch": done,
            "total_epochs": self._total,
            "current_loss": loss,
        }
        return self._report(percent, details)

    def _report(self, percent: int, details: Mapping[str, Any]) -> bool:
        if percent <= self._last:
            return False
        self._last = percent
        if self._callback is not None:
            self._callback(percent, {"progress": percent, **details})
        return True
