"""Field types that several params models share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from include.tasks_api.params.base import RULE

ModelType = Literal["lstm", "gru", "transformer"]
MODEL_TYPES: tuple[ModelType, ...] = ("lstm", "gru", "transformer")
Timeframe = Literal["5m", "15m", "1h", "4h"]

_SYMBOL = re.compile(r"[A-Z0-9]{5,20}\Z")


def lower(value: object) -> object:
    """Return a word as the choices spell it; what is no text is left to the type's own check."""
    return value.strip().lower() if isinstance(value, str) else value


def _symbol(value: str) -> str:
    symbol = value.upper()
    # Some other letters become ASCII when upper-cased: the German sharp s, the Turkish i without a dot.
    if not value.isascii() or not _SYMBOL.match(symbol):
        raise ValueError("Invalid trading symbol")
    return symbol


Symbol = Annotated[str, AfterValidator(_symbol)]
"""A trading pair as Binance spells it, upper-cased; whether it exists is asked at admission."""

AnyCaseModelType = Annotated[ModelType, BeforeValidator(lower)]


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("empty")
    return value


Reason = Annotated[str, AfterValidator(_not_empty)]
"""Why somebody asks for something that nobody does without saying why."""


def reason_field(description: str, why: str) -> Any:
    """Return the field of a :data:`Reason`.

    The form asks for it with an empty default and no `minLength`: Airflow would refuse the DAG for its own default.

    :param description: what becomes of it, for the form.
    :param why: ends the message's sentence `say in 1 to 1000 characters ...`.
    """
    return Field(
        "",
        max_length=1000,
        validate_default=True,
        title="Reason",
        description=description,
        json_schema_extra={RULE: f"reason is required: say in 1 to 1000 characters {why}"},
    )
