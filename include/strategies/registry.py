"""Finds the strategies: every file in `catalogue` is one. Their names are known without importing them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from include.errors import BadInputError

if TYPE_CHECKING:
    from include.strategies.definition import StrategyDefinition, StrategyParams

CATALOGUE = "include.strategies.catalogue"


def strategy_names() -> tuple[str, ...]:
    """Return the names that `strategy_name` may have, in alphabetical order.

    >>> strategy_names()
    ('bollinger', 'macd', 'rsi', 'volume')
    """
    return tuple(sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(CATALOGUE).__path__)))


def get_strategy(name: str) -> StrategyDefinition[Any]:
    """Return a strategy.

    :raises BadInputError: for an unknown name; the message lists the known ones.
    """
    if name not in strategy_names():
        raise BadInputError(f"strategy_name must be one of: {', '.join(strategy_names())}, got {name!r}")
    return importlib.import_module(f"{CATALOGUE}.{name}").STRATEGY


def parse_strategy_params(name: str, raw: Mapping[str, Any]) -> StrategyParams:
    """Return a strategy's typed parameters; what is not given has its default.

    :raises BadInputError: naming each wrong or unknown parameter, the value, and what is allowed.
    """
    model = get_strategy(name).params_model
    try:
        return model.model_validate(dict(raw), strict=True)
    except ValidationError as error:
        raise BadInputError("; ".join(_problem(model, name, detail) for detail in error.errors())) from None


def _problem(model: type[StrategyParams], name: str, detail: Any) -> str:
    given = str(detail["loc"][0]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        canonical = canonical_param(model, given)
        if canonical in model.model_fields:
            return f"{canonical} is given twice, also as {given!r}; keep one of them"
        known = ", ".join(model.model_fields)
        return f"unknown parameter {given!r} of the strategy {name}; known: {known}"
    if not given:
        return str(detail["msg"]).removeprefix("Value error, ")
    field = canonical_param(model, given)
    return f"{field} must be {allowed(model, field)}, got {detail['input']!r}"[:300]


def canonical_param(model: type[StrategyParams], given: str) -> str:
    """Return the canonical name of a parameter that was given by that name or by one of its other names."""
    for field, info in model.model_fields.items():
        choices = getattr(info.validation_alias, "choices", ())
        if given == field or given in choices:
            return field
    return given


def allowed(model: type[StrategyParams], field: str) -> str:
    """Return in words what a parameter may be: its type and bounds.

    >>> from include.strategies.catalogue.rsi import RsiParams
    >>> allowed(RsiParams, "rsi_period")
    'a whole number >= 2 and <= 200'
    """
    schema = model.model_json_schema(by_alias=False)["properties"][field]
    kind = "a whole number" if schema.get("type") == "integer" else "a number"
    words = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in words.items() if key in schema]
    return f"{kind} {' and '.join(bounds)}".strip()
