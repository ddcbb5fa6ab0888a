"""The price table and the worst case of a call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.analyst.answer import ANSWER_SCHEMA
from include.analyst.prices import NANO, PRICES, cost_usd, price_of, worst_case_cost_usd, worst_case_tokens
from include.errors import ConfigurationError
from include.settings import Settings


def test_tc_async_055_cost_is_arithmetic_of_the_price_table() -> None:
    assert cost_usd("gpt-4-turbo", 500, 200) == pytest.approx(500 * 10e-6 + 200 * 30e-6)
    assert cost_usd("gpt-4o", 500, 200) == 0.00325
    assert cost_usd("gpt-4-turbo", 1500, 300) == 0.024


def test_model_without_a_price_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'gpt-9' has no price.*TRADING_OPS_OPENAI_MODEL.*gpt-4o"):
        worst_case_cost_usd("gpt-9", [{"role": "user", "content": "x"}], 100)


def test_default_model_has_a_price_and_binds_its_answer_to_the_schema() -> None:
    assert price_of(Settings.model_fields["openai_model"].default).schema_bound


@pytest.mark.parametrize("model", sorted(PRICES))
def test_every_price_is_a_whole_number_of_nano_dollars_per_token(model: str) -> None:
    price = PRICES[model]
    assert price.nano_usd(1_000_000, 0) == round(price.input_usd_per_1m * NANO)
    assert price.nano_usd(0, 1_000_000) == round(price.output_usd_per_1m * NANO)


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4), st.integers(1, 4000))
def test_worst_case_is_at_least_one_token_per_byte(texts: list[str], limit: int) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    tokens = worst_case_tokens(messages)
    assert tokens >= sum(len(text.encode()) for text in texts) + 7 * len(texts)
    assert worst_case_tokens(messages, ANSWER_SCHEMA) > tokens + 500
    assert worst_case_cost_usd("gpt-4o", messages, limit) >= cost_usd("gpt-4o", tokens, limit) - 1e-12


def test_emoji_cost_their_bytes_not_their_characters() -> None:
    assert worst_case_tokens([{"role": "user", "content": "🔴" * 100}]) >= 400
