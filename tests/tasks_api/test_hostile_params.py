"""A thousand random and hostile parameter sets: every valid one is taken, every other one refused in words."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError

from dags.wiring.params import dag_params
from include.errors import BadInputError
from include.tasks_api.params.base import RunParams, parse_params
from include.tasks_api.params.train_model import TrainModelParams
from tests.tasks_api.hostile import ParameterSet, Rule, draw, flag, number, one_of, symbol, text_of, whole

SETS = 1000
LONGEST_MESSAGE = 8_000

NETWORK = text_of(("lstm", "gru", "transformer"), any_case=True)
TIMEFRAME = text_of(("5m", "15m", "1h", "4h"))

TRAIN_MODEL: dict[str, Rule] = {
    "model_type": NETWORK,
    "symbol": symbol(),
    "timeframe": TIMEFRAME,
    "days_of_data": whole(7, 365),
    "epochs": whole(1, 1000),
    "batch_size": Rule(
        one_of(32, 64, 128, 256, 512, 1024), one_of(0, -32, 8, 16, 33, 48, 2048, 64.0, "64", True, None, [64], "\x00")
    ),
    "learning_rate": number(0.0, 1.0, low_open=True, high_open=False),
    "validation_split": number(0.0, 0.5, low_open=True, high_open=True),
    "target": text_of(("trend", "return")),
    "seed": whole(0, 2**31 - 1),
    "deploy": flag(),
}

CASES: dict[str, tuple[type[RunParams], dict[str, Rule], tuple[str, ...]]] = {
    "train_model": (TrainModelParams, TRAIN_MODEL, ()),
}


def sets_of(name: str) -> list[ParameterSet]:
    rng = random.Random(f"hostile {name}")
    _, rules, required = CASES[name]
    return [draw(rng, rules, required) for _ in range(SETS)]


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_has_a_rule_here(name: str) -> None:
    model, rules, required = CASES[name]
    assert set(rules) == set(model.model_fields)
    assert set(required) == {field for field, info in model.model_fields.items() if info.is_required()}


@pytest.mark.parametrize("name", CASES)
def test_valid_sets_are_accepted_and_others_refused_naming_each_wrong_parameter(name: str) -> None:
    model, _, _ = CASES[name]
    sets = sets_of(name)
    assert SETS / 4 < sum(not parameters.wrong for parameters in sets) < SETS * 3 / 4
    for parameters in sets:
        if not parameters.wrong:
            assert isinstance(parse_params(model, parameters.values), model), parameters
            continue
        with pytest.raises(BadInputError) as refused:
            parse_params(model, parameters.values)
        message = str(refused.value)
        missing = [field for field in parameters.wrong if not says(field, message)]
        assert not missing, (parameters, message)
        assert len(message) < LONGEST_MESSAGE
        assert message.isprintable(), "one line, no control characters"
        assert "Traceback" not in message
        assert "pydantic" not in message


@pytest.mark.parametrize("name", CASES)
def test_airflows_own_door_takes_every_valid_set_and_names_the_parameter_that_it_refuses(name: str) -> None:
    """Its schema may be laxer than the rules (the first task refuses the rest), but never stricter."""
    model, _, _ = CASES[name]
    for parameters in sets_of(name)[: SETS // 4]:
        if not parameters.wrong:
            assert refusal_at_the_door(model, as_the_form_sends(model, parameters.values)) is None, parameters
            continue
        # A choice spelled in another case is right here and unknown to the schema: not what this is about.
        wrong = {field: value for field, value in parameters.values.items() if field in parameters.wrong}
        refusal = refusal_at_the_door(model, wrong)
        assert refusal is None or any(field in refusal for field in wrong), (wrong, refusal)


def says(field: str, message: str) -> bool:
    return ascii(field).strip("'")[:40] in message


def as_the_form_sends(model: type[RunParams], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a valid set as the form offers it: words in the list's case."""
    params = parse_params(model, values).model_dump(mode="json")
    return {field: params[field] for field in values}


def refusal_at_the_door(model: type[RunParams], values: Mapping[str, Any]) -> str | None:
    params = ParamsDict(dag_params(model))
    try:
        for field, value in values.items():
            if field in model.model_fields:
                params[field] = value
        params.validate()
    except ParamValidationError as error:
        return str(error)
    return None
