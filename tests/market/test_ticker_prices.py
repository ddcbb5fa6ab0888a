"""All prices with one question."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import MalformedAnswerError
from include.market.binance import BinanceClient
from tests.market.binance_server import Answer, FakeBinance

PRICES = "/api/v3/ticker/price"


def entry(symbol: str, price: Any) -> dict[str, Any]:
    return {"symbol": symbol, "price": price}


def test_every_listed_symbol_has_its_price_and_an_untraded_one_zero(
    binance: FakeBinance, client: BinanceClient
) -> None:
    binance.prices = {"BTCUSDT": "67778.45000000", "SHIBUSDT": "0.00001234", "NEWUSDT": "0.00000000"}
    assert client.ticker_prices() == {"BTCUSDT": 67778.45, "SHIBUSDT": 0.00001234, "NEWUSDT": 0.0}
    assert binance.asked(PRICES) == [{}]


@pytest.mark.parametrize(
    "body",
    [
        {"symbol": "BTCUSDT", "price": "1.0"},
        [entry("BTCUSDT", "NaN")],
        [entry("BTCUSDT", "inf")],
        [entry("BTCUSDT", "-1.0")],
        [entry("BTCUSDT", 1.0)],
        [entry("BTCUSDT", None)],
        [entry("BTCUSDT", "1.0"), entry("BTCUSDT", "2.0")],
        ["BTCUSDT"],
        [{"price": "1.0"}],
    ],
)
def test_prices_that_cannot_be_believed_are_refused_as_a_whole(
    body: Any, binance: FakeBinance, client: BinanceClient
) -> None:
    binance.answer_next(PRICES, Answer(body=body))
    with pytest.raises(MalformedAnswerError, match="Binance answered"):
        client.ticker_prices()
