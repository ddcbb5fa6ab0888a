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
            "a retry continues there, and so does train_model with the same parameters and resume=true"
        )


class TrainingTimeLimitError(TradingOpsError):
    """The soft time limit was reached; the checkpoint of the last finished epoch is on disk."""

    def __init__(self, limit_s: float, epochs_completed: int, epochs: int) -> None:
        """Say where the training stood and how to go on.

        :param epochs_completed: epochs in the checkpoint (0: none was finished).
        """
        self.epochs_completed = epochs_completed
        where = f"Training exceeded its soft limit of {limit_s:g} s after {epochs_completed} of {epochs} epochs"
        if epochs_completed:
            remedy = (
                "the checkpoint is kept: start train_model again with the same parameters and resume=true, "
                "or ask for fewer epochs"
            )
        else:
            remedy = (
                "no epoch was finished: ask for fewer days_of_data, or raise the limit (soft_limit_minutes of the run, "
                "TRADING_OPS_TRAINING_SOFT_LIMIT_S)"
            )
        super().__init__(f"{where}; {remedy}")


class OutOfMemoryError(TradingOpsError, MemoryError):
    """Memory ran out again and again although the batch size was halved; the last checkpoint stays."""


class DeviceFailedError(TradingOpsError):
    """The GPU failed in the middle of a training; on the CPU it may go on at the last checkpoint."""


class DiskFullError(TradingOpsError):
    """There is not, or no longer, enough room for a training's files; a person has to free some."""
