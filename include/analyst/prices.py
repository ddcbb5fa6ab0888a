"""What a GPT-4 call costs, and the most it can cost before it is sent.

Money is counted in whole nano-dollars: every price in the table is then an integer per token and sums
are exact. Prices are OpenAI's published list prices as of :data:`PRICES_AS_OF`; the discount for cached
input is ignored, so that an estimate is never too low.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.errors import ConfigurationError

PRICES_AS_OF = date(2025, 11, 1)
NANO = 1_000_000_000

TOKENS_PER_MESSAGE = 16
"""Role and separators of a chat message take 3 or 4 tokens, a reply's start 3; more than enough for both."""
TOKENS_FOR_SCHEMA = 256
"""What surrounds an answer schema in the model's context, beyond the schema's own bytes."""


@dataclass(frozen=True)
class Price:
    """List price in USD per million tokens, and whether the model binds its answer to a JSON schema."""

    input_usd_per_1m: float
    output_usd_per_1m: float
    schema_bound: bool

    def nano_usd(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Return the price of that many tokens in nano-dollars, exactly."""
        return (
            round(self.input_usd_per_1m * 1000) * prompt_tokens
            + round(self.output_usd_per_1m * 1000) * completion_tokens
        )


PRICES: dict[str, Price] = {
    "gpt-4o": Price(2.50, 10.00, schema_bound=True),
    "gpt-4o-2024-08-06": Price(2.50, 10.00, schema_bound=True),
    "gpt-4o-2024-11-20": Price(2.50, 10.00, schema_bound=True),
    "gpt-4o-mini": Price(0.15, 0.60, schema_bound=True),
    "gpt-4.1": Price(2.00, 8.00, schema_bound=True),
    "gpt-4.1-mini": Price(0.40, 1.60, schema_bound=True),
    "gpt-4-turbo": Price(10.00, 30.00, schema_bound=False),
}


def price_of(model: str) -> Price:
    """Return the model's price.

    :raises ConfigurationError: for a model that is not in the table: without a price no budget can be kept.
    """
    try:
        return PRICES[model]
    except KeyError:
        raise ConfigurationError(
            f"the model {model!r} has no price in include/analyst/prices.py, so its cost cannot be limited; "
            f"set TRADING_OPS_OPENAI_MODEL to one of {', '.join(PRICES)} or add its price"
        ) from None


def worst_case_tokens(messages: Sequence[dict[str, str]], schema: dict[str, Any] | None = None) -> int:
    """Return more tokens than the prompt can have.

    OpenAI's tokenisers are byte-level: a token covers at least one byte of the UTF-8 text, so its bytes
    bound its tokens without the tokeniser's tables (which would have to be downloaded).
    """
    tokens = sum(
        TOKENS_PER_MESSAGE + len(message["role"].encode()) + len(message["content"].encode()) for message in messages
    )
    if schema is not None:
        tokens += TOKENS_FOR_SCHEMA + len(json.dumps(schema, ensure_ascii=False).encode())
    return tokens


def worst_case_cost_usd(
    model: str, messages: Sequence[dict[str, str]], max_output_tokens: int, schema: dict[str, Any] | None = None
) -> float:
    """Return what a request costs at most, in USD.

    :raises ConfigurationError: for a model without a price.
    """
    return price_of(model).nano_usd(worst_case_tokens(messages, schema), max_output_tokens) / NANO


def cost_usd(model: str, prompt_tokens: int, completion_tokens: int) -> float:
    """Return what that many tokens cost, in USD.

    >>> cost_usd("gpt-4-turbo", 500, 200)
    0.011

    :raises ConfigurationError: for a model without a price.
    """
    return price_of(model).nano_usd(prompt_tokens, completion_tokens) / NANO
