"""What all params models share: frozen, no unknown keys, and messages a person can act on.

Each DAG has one model. The trigger form and the JSON Schema that Airflow checks are made from it
(`dags/wiring/params.py`), and the run's first task parses the values with :func:`parse_params`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json

from include.errors import BadInputError

RULE = "rule"
"""Key of a field's `json_schema_extra` that holds its rule in words, used as the error message."""

MAX_SHOWN = 120
"""Characters of a wrong value that a message repeats."""
MAX_PROBLEMS = 20
"""Problems that one message lists."""


class RunParams(BaseModel):
    """Base of the params models."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)


Params = TypeVar("Params", bound=RunParams)


def rule_of(model: type[RunParams], field: str) -> str | None:
    """Return the rule in words of a field, or None where it has none."""
    extra = model.model_fields[field].json_schema_extra if field in model.model_fields else None
    rule = extra.get(RULE) if isinstance(extra, dict) else None
    return str(rule) if rule else None


def parse_params(model: type[Params], raw: Mapping[str, Any]) -> Params:
    """Return the typed params of a run.

    Types are those of JSON and are not converted: `"64"`, `64.0` and `true` are no whole number.

    :param raw: as it came through a door: JSON-able values.
    :raises BadInputError: naming every wrong parameter, its rule and its value (shortened), or every unknown key
        and the known ones.
    """
    unreadable = {(name,): problem for name, value in raw.items() if (problem := _no_json(name, value))}
    problems = list(unreadable.values())
    try:
        readable = {name: value for name, value in raw.items() if (name,) not in unreadable}
        params = model.model_validate_json(json.dumps(readable), strict=True)
        if not problems:
            return params
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        problems += [_problem(model, detail) for detail in wrong if detail["loc"][:1] not in unreadable]
    said = list(dict.fromkeys(problems))
    more = [f"and {len(said) - MAX_PROBLEMS} more"] if len(said) > MAX_PROBLEMS else []
    raise BadInputError("; ".join(said[:MAX_PROBLEMS] + more)) from None


def _no_json(name: str, value: object) -> str:
    """Say what keeps a value from being read at all: half a character, numbers or nesting beyond JSON's limits."""
    try:
        from_json(json.dumps({name: value}))
    except (ValueError, TypeError, RecursionError):
        return f"{_shown(name)} cannot be read as JSON, got {_shown(value)}"
    return ""


def _problem(model: type[RunParams], detail: ErrorDetails) -> str:
    field = str(detail["loc"][0]) if detail["loc"] else model.__name__
    if detail["type"] == "extra_forbidden":
        return f"unknown parameter {_shown(field)}; known: {', '.join(model.model_fields)}"
    if detail["type"] == "missing":
        return f"{field} is required"
    if isinstance(said := detail.get("ctx", {}).get("error"), BadInputError):
        return str(said)  # a validator that knows more than the field's rule
    return f"{rule_of(model, field) or f'{field}: ' + detail['msg']}, got {_shown(detail['input'])}"


def _shown(value: object) -> str:
    """Return a value as a message shows it: one line of ASCII, cut where it is long."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # Python writes no whole number of more than 4,300 digits
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text)} characters)"
