"""How a training can end without a model. Importing this module loads no TensorFlow."""

from __future__ import annotations

from include.errors import BadInputError, TradingOpsError


class TrainingDivergedError(BadInputError):
    """The loss grew beyond ten times the first epoch's, or stopped being a number; the last good checkpoint stays."""


class TrainingInterruptedError(TradingOpsError):
    """The training was asked to stop; the checkpoint of the last finished epoch is on disk.

    `epochs_completed` is the number of epochs in that checkpoint (0: none was finished).
    """

    def __init__(self, epochs_completed: int, epochs: int) -> None:
        """Say where the training stood."""
        self.epochs_completed = epochs_completed
        super().__init__(
            f"Training was stopped on request after {epochs_completed} of {epochs} epochs; "
            "started again with the same parameters and candles, it continues there"
        )
