"""Wrong parameters are refused with the specified words, before any work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dags.wiring.params import dag_params
from include.errors import BadInputError
from include.tasks_api.params.adaptive_retrain import AdaptiveRetrainParams
from include.tasks_api.params.base import parse_params, rule_of
from include.tasks_api.params.ingest_candles import IngestCandlesParams
from include.tasks_api.params.reports import SelfAnalysisParams
from include.tasks_api.params.train_model import TrainModelParams

pytestmark = pytest.mark.critical


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model_type", "invalid_model", "model_type must be one of: lstm, gru, transformer"),
        ("symbol", "NO SUCH", "Invalid trading symbol"),
        ("epochs", 0, "epochs must be between 1-1000"),
        ("epochs", 1001, "epochs must be between 1-1000"),
        ("batch_size", 33, "batch_size must be power of 2 (32, 64, 128, 256, 512, 1024)"),
        ("batch_size", 16, "batch_size must be power of 2 (32, 64, 128, 256, 512, 1024)"),
        ("days_of_data", 3, "days_of_data must be >= 7"),
        ("learning_rate", -0.1, "learning_rate must be > 0"),
        ("learning_rate", float("nan"), "learning_rate must be > 0"),
        ("validation_split", 0.6, "validation_split must be between 0.0 and 0.5"),
        ("validation_split", 0.0, "validation_split must be between 0.0 and 0.5"),
        ("timeframe", "2h", "timeframe must be one of: 5m, 15m, 1h, 4h"),
        ("target", "price", "target must be one of: trend, return"),
        ("early_stopping", "often", "early_stopping must be true or false"),
        ("early_stopping_patience", 0, "early_stopping_patience must be between 1-1000"),
        ("retrain", "perhaps", "retrain must be true or false"),
        ("resume", 7, "resume must be true or false"),
        ("soft_limit_minutes", -1, "soft_limit_minutes must be between 0 and 1440"),
        ("notify", "mail", "notify must be true or false"),
    ],
)
def test_tc_async_002_an_invalid_parameter_is_named_with_rule_and_value(name: str, value: Any, message: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse_params(TrainModelParams, {name: value})
    assert message in str(refused.value)
    assert repr(value) in str(refused.value)


def test_several_problems_are_said_at_once() -> None:
    with pytest.raises(BadInputError) as refused:
        parse_params(TrainModelParams, {"epochs": 0, "batch_size": 33, "colour": "red"})
    text = str(refused.value)
    assert "epochs must be" in text
    assert "batch_size must be" in text
    assert "unknown parameter 'colour'" in text


def test_defaults_are_valid_and_names_are_normalised() -> None:
    params = parse_params(TrainModelParams, {"model_type": " LSTM ", "symbol": "ethusdt"})
    assert (params.model_type, params.symbol, params.epochs) == ("lstm", "ETHUSDT", 100)


@pytest.mark.parametrize("model", [TrainModelParams, AdaptiveRetrainParams, IngestCandlesParams, SelfAnalysisParams])
def test_every_field_has_a_rule_in_words(model: type[Any]) -> None:
    assert parse_params(model, {}) == model()
    assert all(rule_of(model, field) for field in model.model_fields)


def test_retraining_takes_each_network_once_and_at_least_one() -> None:
    assert parse_params(AdaptiveRetrainParams, {"model_types": ["gru", "GRU"]}).model_types == ("gru",)
    for wrong in ([], ["cnn"], ["lstm", "gru", "transformer", "lstm"]):
        with pytest.raises(BadInputError, match="model_types must name at least one of"):
            parse_params(AdaptiveRetrainParams, {"model_types": wrong})


@given(st.integers(-2000, 3000))
def test_epochs_are_accepted_exactly_from_1_to_1000(epochs: int) -> None:
    try:
        assert parse_params(TrainModelParams, {"epochs": epochs}).epochs == epochs
        accepted = True
    except BadInputError:
        accepted = False
    assert accepted == (1 <= epochs <= 1000)


def test_the_trigger_form_of_train_model_reads_well() -> None:
    """What Airflow's form shows: sections, titles, help, words for choices; and what it must be able to render."""
    fields = dag_params(TrainModelParams)
    # Airflow opens the section without a name, and no other.
    assert list(dict.fromkeys(field.schema.get("section") for field in fields.values())) == [
        None, "How to train", "Afterwards",
    ]  # fmt: skip
    for name, field in fields.items():
        assert field.schema["title"][0].isupper(), name
        assert field.description.endswith("."), name
        assert len(field.description) < 220, name
        assert field.schema["type"] in {"string", "integer", "number", "boolean"}, "a form field of its own kind"
        assert set(field.schema.get("values_display", ())) <= set(field.schema.get("enum", ())), name
        field.resolve()
    assert fields["model_type"].schema["enum"] == ["lstm", "gru", "transformer"]
    assert fields["batch_size"].schema["enum"] == [32, 64, 128, 256, 512, 1024]
    defaults = {name: field.value for name, field in fields.items()}
    assert [defaults[name] for name in ("early_stopping", "retrain", "resume", "deploy", "notify")] == [
        False, False, False, True, True,
    ]  # fmt: skip
    assert (defaults["epochs"], defaults["days_of_data"], defaults["batch_size"]) == (100, 30, 64)
