"""What a training is asked to do: one frozen, checked object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, cast

from include.errors import BadInputError

ModelType = Literal["lstm", "gru", "transformer"]
Target = Literal["trend", "return"]
Size = Literal["standard", "small"]

MODEL_TYPES: tuple[str, ...] = ("lstm", "gru", "transformer")
TARGETS: tuple[str, ...] = ("trend", "return")
SIZES: tuple[str, ...] = ("standard", "small")
MAX_EPOCHS = 1000
MAX_BATCH_SIZE = 1024
SMALLEST_ASKED_BATCH_SIZE = 32
SMALLEST_BATCH_SIZE = 8
"""Requests ask for 32 or more; halving after an out-of-memory error may go down to this."""


@dataclass(frozen=True)
class TrainingConfig:
    """Parameters of one training, checked when made.

    :param model_type: `lstm`, `gru` or `transformer`, in any case.
    :param learning_rate: of Adam, above 0 and at most 1.
    :param validation_split: share of the newest samples held out for the evaluation, between 0 and 0.5.
    :param target: `trend` (sign of the change of EMA12 over 8 bars) or `return` (sign of the plain return).
    :param seed: of the weights, the order of the samples and the dropout.
    :param early_stopping_patience: epochs without a better inner loss before the training ends; None never stops.
    :param window: bars that one sample shows to the network.
    :param size: `standard`, or `small` for tests and for statistics over many trainings.
    :param threads: TensorFlow's threads in this process; None leaves its default.
    :param deterministic: bit-identical results from run to run, somewhat slower.
    :raises BadInputError: for a value out of range; the message names the parameter and what is allowed.
    """

    model_type: ModelType
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    validation_split: float = 0.2
    target: Target = "trend"
    seed: int = 7
    early_stopping_patience: int | None = None
    window: int = 60
    size: Size = "standard"
    threads: int | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Check every field and bring `model_type` into lower case."""
        object.__setattr__(self, "model_type", str(self.model_type).lower())
        _one_of("model_type", self.model_type, MODEL_TYPES)
        _one_of("target", self.target, TARGETS)
        _one_of("size", self.size, SIZES)
        _whole("epochs", self.epochs, 1, MAX_EPOCHS)
        if not (
            _is_whole(self.batch_size)
            and SMALLEST_BATCH_SIZE <= self.batch_size <= MAX_BATCH_SIZE
            and self.batch_size & (self.batch_size - 1) == 0
        ):
            raise BadInputError(f"batch_size must be power of 2 (32, 64, 128, 256, 512, 1024), got {self.batch_size!r}")
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise BadInputError(f"learning_rate must be > 0 and at most 1, got {self.learning_rate!r}")
        if not (_is_number(self.validation_split) and 0 < self.validation_split < 0.5):
            raise BadInputError(f"validation_split must be between 0.0 and 0.5, got {self.validation_split!r}")
        _whole("window", self.window, 8, 512)
        _whole("seed", self.seed, 0, 2**31 - 1)
        if self.early_stopping_patience is not None:
            _whole("early_stopping_patience", self.early_stopping_patience, 1, MAX_EPOCHS)
        if self.threads is not None:
            _whole("threads", self.threads, 1, 1024)

    def with_half_batch(self) -> TrainingConfig | None:
        """Return the same training with half the batch size, or None when it cannot shrink further."""
        half = self.batch_size // 2
        return replace(self, batch_size=half) if half >= SMALLEST_BATCH_SIZE else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """Return the configuration of :meth:`to_dict`'s values.

        :raises BadInputError: for an unknown or missing field, or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise BadInputError(
                f"Unknown training parameter(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        if "model_type" not in values:
            raise BadInputError(f"model_type is missing; must be one of: {', '.join(MODEL_TYPES)}")
        return cls(**cast(dict[str, Any], dict(values)))


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInputError(f"{name} must be one of: {', '.join(allowed)}, got {value!r}")


def _whole(name: str, value: object, low: int, high: int) -> None:
    if not (_is_whole(value) and low <= cast(int, value) <= high):
        raise BadInputError(f"{name} must be between {low}-{high}, got {value!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
