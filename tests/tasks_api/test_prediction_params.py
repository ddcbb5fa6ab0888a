"""Parameters of `predict_price` and `rollback_model`."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import BadInputError
from include.tasks_api.params.base import parse_params
from include.tasks_api.params.predict_price import PredictPriceParams
from include.tasks_api.params.rollback_model import RollbackModelParams

pytestmark = pytest.mark.critical


def test_tc_async_013_defaults_are_24_hours_of_the_best_model() -> None:
    params = parse_params(PredictPriceParams, {"symbol": "btcusdt"})
    assert (params.symbol, params.model_type, params.horizon_hours) == ("BTCUSDT", "best", 24)
    assert parse_params(PredictPriceParams, {"model_type": " LSTM "}).model_type == "lstm"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("horizon_hours", 0, "horizon_hours must be between 1 and 48"),
        ("horizon_hours", 49, "horizon_hours must be between 1 and 48"),
        ("horizon_hours", 1.5, "horizon_hours must be between 1 and 48"),
        ("horizon_hours", "soon", "horizon_hours must be between 1 and 48"),
        ("model_type", "ensemble", "model_type must be one of: best, lstm, gru, transformer"),
        ("model_type", None, "model_type must be one of: best, lstm, gru, transformer"),
        ("symbol", "NO SUCH", "Invalid trading symbol"),
    ],
)
def test_tc_async_013_a_wrong_question_is_refused_with_rule_and_value(name: str, value: Any, message: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse_params(PredictPriceParams, {name: value})
    assert message in str(refused.value)


@pytest.mark.parametrize("given", [{}, {"reason": ""}, {"reason": " \t "}, {"reason": "x" * 1001}, {"reason": None}])
def test_a_rollback_needs_a_reason(given: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="reason is required: say in 1 to 1000 characters"):
        parse_params(RollbackModelParams, given)


def test_a_rollback_with_a_reason_is_accepted() -> None:
    params = parse_params(RollbackModelParams, {"model_type": "GRU", "symbol": "ethusdt", "reason": " trading errors "})
    assert (params.model_type, params.symbol, params.timeframe) == ("gru", "ETHUSDT", "1h")
    assert (params.reason, params.skip_unreadable) == ("trading errors", False)
