"""Turns a params model into the `params` of a DAG: form, defaults and JSON Schema from one source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from airflow.sdk import Param

from include.audit.masking import masked
from include.tasks_api.params.base import RULE, RunParams, parse_params

Params = TypeVar("Params", bound=RunParams)


def dag_params(model: type[RunParams]) -> dict[str, Param]:
    """Return one Airflow `Param` per field of the model, in the model's order."""
    params = {}
    for name, schema in model.model_json_schema()["properties"].items():
        keywords = {key: value for key, value in schema.items() if key not in ("default", "description", RULE)}
        default = (
            schema["default"]
            if "default" in schema
            else model.model_fields[name].get_default(call_default_factory=True)
        )
        params[name] = Param(default, description=schema.get("description"), **keywords)
    return params


def run_params(model: type[Params], context: Mapping[str, Any]) -> Params:
    """Return the typed params of the running task's run; secrets in their texts are blacked out.

    No parameter asks for a secret: one that was typed into a reason goes no further than Airflow's own database.

    :raises include.errors.BadInputError: naming each wrong or unknown parameter.
    """
    clean, _ = masked(dict(context["params"]))
    return parse_params(model, clean)
