"""Turns the stages and epochs of a training into percentages for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

ProgressCallback = Callable[[int, Mapping[str, Any]], None]
"""Gets the percentage (0-100, never falling) and details: `message`, and in training `current_epoch` (finished
epochs), `total_epochs`, `current_loss` (of the last finished one; None before the first)."""

INITIALIZING, LOADING, TRAINING, EVALUATING, SAVING, COMPLETE = 0, 2, 5, 90, 95, 100


class TrainingProgress:
    """Reports every full percent, inside long epochs too, and the end of each epoch that moved the percentage."""

    def __init__(self, callback: ProgressCallback | None, total_epochs: int) -> None:
        self._callback = callback
        self.total_epochs = self._total = total_epochs
        self._last = -1
        self._inside = False
        self._loss: float | None = None

    def stage(self, percent: int, message: str) -> bool:
        """Report the beginning of a stage; returns whether it was news."""
        return percent > self._last and self._report(percent, {"message": message})

    def within(self, done: int, share: float) -> bool:
        """Report that `done` epochs and `share` (0 to 1) of the next one are over; returns whether it was news."""
        percent = self._percent(done + share)
        if percent <= self._last:
            return False
        loss = "" if self._loss is None else f" Loss: {self._loss:.4f}"
        message = f"Training epoch {min(done + 1, self._total)}/{self._total}...{loss}"
        self._inside = True
        return self._report(percent, self._details(done, message))

    def epoch(self, done: int, loss: float) -> bool:
        """Report that `done` epochs (counted from the very first one, resumed or not) are over.

        News is a new percentage, or one that was last reported from inside an epoch.
        """
        self._loss = loss
        percent = self._percent(done)
        if percent < self._last or (percent == self._last and not self._inside):
            return False
        self._inside = False
        return self._report(percent, self._details(done, f"Training epoch {done}/{self._total}... Loss: {loss:.4f}"))

    def _percent(self, done: float) -> int:
        return TRAINING + int((EVALUATING - TRAINING) * min(done, self._total) / self._total + 1e-9)

    def _details(self, done: int, message: str) -> dict[str, Any]:
        return {
            "message": message,
            "current_epoch": done,
            "total_epochs": self._total,
            "current_loss": self._loss,
        }

    def _report(self, percent: int, details: Mapping[str, Any]) -> bool:
        self._last = percent
        if self._callback is not None:
            self._callback(percent, {"progress": percent, **details})
        return True
