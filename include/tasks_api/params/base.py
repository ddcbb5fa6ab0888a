"""What all params models share: frozen, no unknown keys, and messages a person can act on.

Each DAG has one model. The trigger form and the JSON Schema that Airflow checks are made from it
(`dags/wiring/params.py`), and the run's first task parses the values with :func:`parse_params`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from include.errors import BadInputError

RULE = "rule"
"""Key of a field's `json_schema_extra` that holds its rule in words, used as the error message."""


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

    :raises BadInputError: naming every wrong parameter, its rule and its value, or every unknown key
        and the known ones.
    """
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False):
            field = str(detail["loc"][0]) if detail["loc"] else model.__name__
            if detail["type"] == "extra_forbidden":
                problems.append(f"unknown parameter {field!r}; known: {', '.join(model.model_fields)}")
            elif detail["type"] == "missing":
                problems.append(f"{field} is required")
            else:
                rule = rule_of(model, field) or f"{field}: {detail['msg']}"
                problems.append(f"{rule}, got {detail['input']!r}")
        raise BadInputError("; ".join(dict.fromkeys(problems))) from None
