"""Parameters of `train_model`: the trigger form's sections, titles and help texts come from here too."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import AnyCaseModelType, Symbol, Timeframe

BATCH_SIZES = (32, 64, 128, 256, 512, 1024)

WHAT, HOW, AFTER = None, "How to train", "Afterwards"
"""Sections of the form; the first has no name of its own, since Airflow opens only that one."""


def _form(section: str | None, rule: str, **more: Any) -> dict[str, Any]:
    """Return what the form and the messages need beside pydantic's own schema."""
    return {RULE: rule, **({"section": section} if section else {}), **more}


class TrainModelParams(RunParams):
    """One training of one network on one symbol."""

    model_type: AnyCaseModelType = Field(
        "lstm",
        title="Network",
        description="LSTM and GRU read the window bar by bar; the Transformer weighs its bars and takes longest.",
        json_schema_extra=_form(
            WHAT,
            "model_type must be one of: lstm, gru, transformer",
            values_display={"lstm": "LSTM", "gru": "GRU", "transformer": "Transformer"},
        ),
    )
    symbol: Symbol = Field(
        "BTCUSDT",
        title="Symbol",
        description="A Binance trading pair.",
        json_schema_extra=_form(
            WHAT,
            "Invalid trading symbol: use a Binance pair such as BTCUSDT",
            examples=["BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT", "LINKUSDT", "LTCUSDT", "XRPUSDT", "DOGEUSDT"],
        ),
    )
    timeframe: Timeframe = Field(
        "1h",
        title="Timeframe",
        description="Length of a candle. predict_price works on 1-hour champions.",
        json_schema_extra=_form(
            WHAT,
            "timeframe must be one of: 5m, 15m, 1h, 4h",
            values_display={"5m": "5 minutes", "15m": "15 minutes", "1h": "1 hour", "4h": "4 hours"},
        ),
    )
    target: Literal["trend", "return"] = Field(
        "trend",
        title="What to learn",
        description="The sign of the change over the next 8 bars. The plain price is close to unpredictable.",
        json_schema_extra=_form(
            WHAT,
            "target must be one of: trend, return",
            values_display={"trend": "Trend: of the EMA12", "return": "Return: of the closing price"},
        ),
    )
    days_of_data: int = Field(
        30,
        ge=7,
        le=365,
        title="Days of data",
        description="The newest days, 7 to 365, to learn from and be measured on. Take 90 or more of 4-hour candles.",
        json_schema_extra=_form(WHAT, "days_of_data must be >= 7 and <= 365"),
    )
    epochs: int = Field(
        100,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the training part, 1 to 1000; the best one's weights are kept.",
        json_schema_extra=_form(HOW, "epochs must be between 1-1000"),
    )
    batch_size: int = Field(
        64,
        title="Batch size",
        description="Samples per step. Halved by itself, down to 8, when memory runs out.",
        json_schema_extra=_form(
            HOW, "batch_size must be power of 2 (32, 64, 128, 256, 512, 1024)", enum=list(BATCH_SIZES)
        ),
    )
    learning_rate: float = Field(
        0.001,
        gt=0,
        le=1,
        title="Learning rate",
        description="Step size of the Adam optimiser, above 0 and at most 1. Usual: 0.0001 to 0.01.",
        json_schema_extra=_form(HOW, "learning_rate must be > 0 and <= 1"),
    )
    validation_split: float = Field(
        0.2,
        gt=0,
        lt=0.5,
        title="Hold-out share",
        description="The newest part of the data, above 0 and below 0.5: not trained on, the result is measured on it.",
        json_schema_extra=_form(HOW, "validation_split must be between 0.0 and 0.5"),
    )
    early_stopping: bool = Field(
        False,
        title="Stop early",
        description="End the training when it has not become better for some epochs.",
        json_schema_extra=_form(HOW, "early_stopping must be true or false"),
    )
    early_stopping_patience: int = Field(
        15,
        ge=1,
        le=1000,
        title="Patience",
        description="Epochs without a better one before an early stop. Without early stopping it means nothing.",
        json_schema_extra=_form(HOW, "early_stopping_patience must be between 1-1000"),
    )
    retrain: bool = Field(
        False,
        title="From scratch",
        description="Off: start from the champion's weights, where it fits and has not seen the hold-out.",
        json_schema_extra=_form(HOW, "retrain must be true or false"),
    )
    resume: bool = Field(
        False,
        title="Resume an earlier run",
        description="Continue the newest checkpoint of a run that failed or was cancelled, with the same parameters "
        "and candles (epochs, batch size and patience may differ). Begins anew where there is none, and says so.",
        json_schema_extra=_form(HOW, "resume must be true or false"),
    )
    seed: int = Field(
        7,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Same seed, data and versions: same model.",
        json_schema_extra=_form(HOW, "seed must be between 0 and 2147483647"),
    )
    soft_limit_minutes: float = Field(
        0.0,
        ge=0,
        le=1440,
        title="Time limit (minutes)",
        description="The training then ends with its checkpoint. 0: the configured limit, which also bounds this one.",
        json_schema_extra=_form(HOW, "soft_limit_minutes must be between 0 and 1440"),
    )
    deploy: bool = Field(
        True,
        title="Deploy when better",
        description="Compare with the champion on the same bars and deploy if the rule allows it.",
        json_schema_extra=_form(AFTER, "deploy must be true or false"),
    )
    notify: bool = Field(
        True,
        title="Send a message",
        description="Tell the channels when the training is complete. Failures are always told.",
        json_schema_extra=_form(AFTER, "notify must be true or false"),
    )

    @field_validator("batch_size")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value not in BATCH_SIZES:
            raise ValueError("not an allowed power of two")
        return value
