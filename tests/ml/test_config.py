"""Every parameter is checked when the configuration is made."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import BadInputError
from include.ml.config import TrainingConfig


@pytest.mark.critical
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model_type", "cnn", "model_type must be one of: lstm, gru, transformer"),
        ("epochs", 0, "epochs must be between 1-1000"),
        ("epochs", 1001, "epochs must be between 1-1000"),
        ("epochs", True, "epochs must be between 1-1000"),
        ("epochs", 2.5, "epochs must be between 1-1000"),
        ("batch_size", 33, r"batch_size must be power of 2 \(32, 64, 128, 256, 512, 1024\)"),
        ("batch_size", 2048, "batch_size must be power of 2"),
        ("batch_size", 4, "batch_size must be power of 2"),
        ("learning_rate", -0.1, "learning_rate must be > 0"),
        ("learning_rate", float("nan"), "learning_rate must be > 0"),
        ("learning_rate", 1.5, "at most 1"),
        ("validation_split", 0.6, "validation_split must be between 0.0 and 0.5"),
        ("validation_split", 0.0, "validation_split must be between 0.0 and 0.5"),
        ("target", "profit", "target must be one of: trend, return"),
        ("size", "huge", "size must be one of"),
        ("window", 3, "window must be between 8-512"),
        ("early_stopping_patience", 0, "early_stopping_patience must be between 1-1000"),
        ("threads", 0, "threads must be between"),
    ],
)
def test_tc_async_002_a_value_out_of_range_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        TrainingConfig(**{"model_type": "lstm", field: value})


def test_the_model_type_may_be_written_in_capitals() -> None:
    assert TrainingConfig.from_dict({"model_type": "LSTM"}).model_type == "lstm"


def test_it_survives_a_dictionary_and_refuses_strangers() -> None:
    config = TrainingConfig("gru", epochs=3, early_stopping_patience=2, target="return")
    assert TrainingConfig.from_dict(config.to_dict()) == config
    with pytest.raises(BadInputError, match=r"Unknown training parameter.*epoch;"):
        TrainingConfig.from_dict({"model_type": "gru", "epoch": 3})
    with pytest.raises(BadInputError, match="model_type is missing"):
        TrainingConfig.from_dict({"epochs": 3})


def test_tc_async_003_the_batch_is_halved_down_to_eight() -> None:
    config: TrainingConfig | None = TrainingConfig("lstm", batch_size=64)
    sizes = []
    while config is not None:
        sizes.append(config.batch_size)
        config = config.with_half_batch()
    assert sizes == [64, 32, 16, 8]
