"""Parameters of the DAGs that control risk: the watchdog, disabling, enabling, and the halt of all new entries."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import Reason, reason_field
from include.trading.strategy_names import BOOK, RESERVED, canonical_name

MOST_STRATEGIES = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_NAMES_RULE = (
    f"strategy_name is required: one strategy such as rsi, or up to {MOST_STRATEGIES} separated by commas "
    "(letters, digits, blank, dot, dash, underscore; not `book` and not `unattributed`)"
)


def _evidence() -> Any:
    return Field(
        default_factory=dict,
        title="Evidence",
        description="Figures that go with the reason; the watchdog gives them.",
        json_schema_extra={RULE: "evidence must be an object"},
    )


class _Reasoned(RunParams):
    """A change that nobody makes without saying why."""

    reason: Reason = reason_field(
        "Why; it is kept with the record, beside your name. Required.", "why; it is kept beside your name"
    )


class StrategyWatchdogParams(RunParams):
    """One check."""


class EmergencyDisableParams(_Reasoned):
    """Strategies that must not trade any more."""

    strategy_name: str = Field(
        "",
        max_length=2000,
        validate_default=True,
        title="Strategy",
        description="Which one: rsi, macd, bollinger, volume, stochastic; several separated by commas. Required.",
        json_schema_extra={RULE: _NAMES_RULE},
    )
    evidence: dict[str, Any] = _evidence()
    trigger: Literal["manual", "watchdog", "reassert"] = Field(
        "manual",
        title="Asked for by",
        description="Goes into the record: a person, the watchdog, or the watchdog that found it active again.",
        json_schema_extra={RULE: "trigger must be one of: manual, watchdog, reassert"},
    )

    @field_validator("strategy_name")
    @classmethod
    def _strategies(cls, value: str) -> str:
        names = split_names(value)
        if not 1 <= len(names) <= MOST_STRATEGIES or not all(is_strategy(name) for name in names):
            raise ValueError("names")
        return ",".join(names)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The canonical names, each once, in the given order."""
        return split_names(self.strategy_name)


class EnableStrategyParams(_Reasoned):
    """A strategy that shall trade again, once a person has approved it."""

    strategy_name: str = Field(
        "",
        max_length=100,
        validate_default=True,
        title="Strategy",
        description="Which one; `book` takes the halt of all new entries back. Required.",
        json_schema_extra={RULE: "strategy_name is required: one strategy such as rsi, or book"},
    )

    @field_validator("strategy_name")
    @classmethod
    def _strategy(cls, value: str) -> str:
        name = canonical_name(value)
        if name.lower() == BOOK:
            return BOOK
        if not is_strategy(name):
            raise ValueError("name")
        return name


class HaltNewEntriesParams(_Reasoned):
    """The blunt lever, which acts on all strategies."""

    evidence: dict[str, Any] = _evidence()
    trigger: Literal["manual", "watchdog", "reassert"] = Field(
        "manual",
        title="Asked for by",
        description="A person, the watchdog, or the watchdog that found an approved halt undone.",
        json_schema_extra={RULE: "trigger must be one of: manual, watchdog, reassert"},
    )


def split_names(text: str) -> tuple[str, ...]:
    """Return the canonical names of a comma-separated list, each once.

    >>> split_names("RSI Strategy, macd,rsi,")
    ('rsi', 'macd')
    """
    return tuple(dict.fromkeys(canonical_name(part) for part in text.split(",") if part.strip()))


def is_strategy(name: str) -> bool:
    """Return whether that can be a strategy's name (it goes into an address) and is not reserved."""
    return _NAME.fullmatch(name) is not None and name.lower() not in RESERVED
