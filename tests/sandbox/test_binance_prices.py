"""The exchange's price of one, some and all symbols, what the questions weigh, and symbols that are listed on top."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sandbox.control import Control, ControlError
from sandbox.launcher import Sandbox


@pytest.fixture
def binance(sandbox: Sandbox, control: Control) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.urls["binance"] + "/api/v3", trust_env=False, verify=False) as client:
        yield client


def test_one_symbol_is_an_object_and_several_or_all_are_a_list(binance: httpx.Client, control: Control) -> None:
    one = binance.get("/ticker/price", params={"symbol": "BTCUSDT"}).json()
    some = binance.get("/ticker/price", params={"symbols": '["ETHUSDT","BTCUSDT"]'}).json()
    all_of_them = binance.get("/ticker/price").json()
    assert list(one) == ["symbol", "price"]
    assert [entry["symbol"] for entry in some] == ["ETHUSDT", "BTCUSDT"]
    assert [entry["symbol"] for entry in all_of_them] == control.data()["symbols"]
    assert all(len(entry["price"].partition(".")[2]) == 8 and float(entry["price"]) > 0 for entry in all_of_them)


def test_the_price_is_the_last_one_of_the_24_hour_ticker_within_its_range(binance: httpx.Client) -> None:
    day = binance.get("/ticker/24hr", params={"symbol": "ETHUSDT"}).json()
    price = float(binance.get("/ticker/price", params={"symbol": "ETHUSDT"}).json()["price"])
    assert float(day["lowPrice"]) * 0.99 <= price <= float(day["highPrice"]) * 1.01


@pytest.mark.parametrize("params", [{"symbol": "NOSUCHUSDT"}, {"symbols": '["BTCUSDT","NOSUCHUSDT"]'}])
def test_an_unknown_symbol_is_refused(binance: httpx.Client, params: dict[str, str]) -> None:
    answer = binance.get("/ticker/price", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, -1121)


@pytest.mark.parametrize(
    ("path", "count", "weight"),
    [
        ("/ticker/price", 1, 2), ("/ticker/price", 2, 4), ("/ticker/price", None, 4),
        ("/ticker/24hr", 1, 2), ("/ticker/24hr", 20, 2), ("/ticker/24hr", 21, 40), ("/ticker/24hr", 100, 40),
        ("/ticker/24hr", 101, 80), ("/ticker/24hr", None, 80),
    ],
)  # fmt: skip
def test_questions_weigh_by_the_number_of_symbols(
    binance: httpx.Client, control: Control, path: str, count: int | None, weight: int
) -> None:
    names = [f"S{number:03d}USDT" for number in range(101)]
    control.list_symbols(**dict.fromkeys(names, "BTCUSDT"))
    params = {}
    if count == 1:
        params = {"symbol": names[0]}
    elif count:
        params = {"symbols": "[" + ",".join(f'"{name}"' for name in names[:count]) + "]"}
    control.limit_weight(10_000)  # a fresh count
    answer = binance.get(path, params=params)
    assert answer.status_code == 200
    assert int(answer.headers["x-mbx-used-weight-1m"]) == weight


def test_a_listed_symbol_has_the_candles_of_its_base_until_the_next_reset(
    binance: httpx.Client, control: Control
) -> None:
    control.list_symbols(SYMBOL0USDT="BTCUSDT")

    def klines(symbol: str) -> httpx.Response:
        return binance.get("/klines", params={"symbol": symbol, "interval": "1h", "limit": 5})

    closed = [klines(symbol).json()[:4] for symbol in ("SYMBOL0USDT", "BTCUSDT")]
    assert [row[:5] for row in closed[0]] == [row[:5] for row in closed[1]]
    info = binance.get("/exchangeInfo", params={"symbol": "SYMBOL0USDT"}).json()
    assert [entry["symbol"] for entry in info["symbols"]] == ["SYMBOL0USDT"]
    with pytest.raises(ControlError, match="no candles to list"):
        control.list_symbols(OTHERUSDT="NOSUCHUSDT")
    control.reset("binance")
    assert klines("SYMBOL0USDT").json()["code"] == -1121
