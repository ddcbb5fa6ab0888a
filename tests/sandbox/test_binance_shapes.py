"""The exchange's bodies against those that the real one sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.control import Control
from sandbox.launcher import Sandbox
from tests.conftest import required


@pytest.fixture
def binance(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.urls["binance"] + "/api/v3", trust_env=False, verify=False) as client:
        yield client


@pytest.fixture(scope="session")
def real_bodies(market_data_dir: Path) -> Path:
    return required(market_data_dir.parent / "binance", "real bodies")


def shape(value: Any) -> Any:
    """Return the keys and types of a body, in order; a number written as a string is told apart from text."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return ["list"]
    if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d{8}", value):
        return "decimal with eight places"
    return type(value).__name__


def test_exchange_info_has_the_real_shape(binance: httpx.Client, real_bodies: Path) -> None:
    real = json.loads((real_bodies / "exchangeInfo_BTC_ETH_SOL_BTCBRL_2026-09-25.json").read_text())
    ours = binance.get("/exchangeInfo", params={"symbol": "BTCUSDT"}).json()
    assert shape(ours) == shape(real)
    assert ours["rateLimits"] == real["rateLimits"]
    theirs = {symbol["symbol"]: symbol for symbol in real["symbols"]}["BTCUSDT"]
    assert shape(ours["symbols"][0]) == shape(theirs)
    assert ours["symbols"][0]["filters"] == theirs["filters"]
    assert ours["symbols"][0]["orderTypes"] == theirs["orderTypes"]


@pytest.mark.parametrize("symbol", ["ETHUSDT", "SOLUSDT"])
def test_exchange_info_has_the_real_filters_of_other_symbols(
    binance: httpx.Client, real_bodies: Path, symbol: str
) -> None:
    real = json.loads((real_bodies / "exchangeInfo_BTC_ETH_SOL_BTCBRL_2026-09-25.json").read_text())
    theirs = {entry["symbol"]: entry for entry in real["symbols"]}[symbol]
    ours = binance.get("/exchangeInfo", params={"symbol": symbol}).json()["symbols"][0]
    assert ours["filters"] == theirs["filters"]


@pytest.mark.parametrize("interval", ["5m", "15m", "1h", "4h"])
def test_kline_rows_have_the_real_shape(binance: httpx.Client, real_bodies: Path, interval: str) -> None:
    real = json.loads((real_bodies / "klines_ADAUSDT_1m_2024-11-16_5rows.json").read_text())
    rows = binance.get("/klines", params={"symbol": "ADAUSDT", "interval": interval, "limit": 50}).json()
    assert len(rows) == 50
    assert {tuple(map(shape, row)) for row in rows} == {tuple(map(shape, row)) for row in real}


def test_ticker_has_the_real_shape(binance: httpx.Client, real_bodies: Path) -> None:
    real = json.loads((real_bodies / "ticker24hr_SHIBTRY_2022-02-01.json").read_text())
    ours = binance.get("/ticker/24hr", params={"symbol": "BTCUSDT"}).json()
    assert list(ours) == list(real)
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in real.items()}
    assert re.fullmatch(r"-?\d+\.\d{3}", ours["priceChangePercent"])


def test_ticker_agrees_with_the_candles(binance: httpx.Client) -> None:
    ticker = binance.get("/ticker/24hr", params={"symbol": "BTCUSDT"}).json()
    rows = binance.get(
        "/klines",
        params={
            "symbol": "BTCUSDT",
            "interval": "5m",
            "startTime": ticker["openTime"],
            "endTime": ticker["closeTime"],
            "limit": 1000,
        },
    ).json()
    assert len(rows) == 288
    # The running candle may have grown between the two requests.
    highs, lows = [float(row[2]) for row in rows], [float(row[3]) for row in rows]
    assert max(highs[:-1]) <= float(ticker["highPrice"]) <= max(highs)
    assert min(lows) <= float(ticker["lowPrice"]) <= min(lows[:-1])
    assert ticker["openPrice"] == rows[0][1]
    change = float(ticker["lastPrice"]) - float(ticker["openPrice"])
    assert float(ticker["priceChange"]) == pytest.approx(change, abs=1e-6)
    assert float(ticker["priceChangePercent"]) == pytest.approx(change / float(ticker["openPrice"]) * 100, abs=1e-3)
    assert ticker["closeTime"] - ticker["openTime"] == 86_400_000


def test_ticker_for_all_symbols_is_a_list(binance: httpx.Client, control: Control) -> None:
    tickers = binance.get("/ticker/24hr").json()
    assert [ticker["symbol"] for ticker in tickers] == control.data()["symbols"]


KLINES = {"symbol": "BTCUSDT", "interval": "1h"}


@pytest.mark.parametrize(
    ("path", "query", "code", "message"),
    [
        ("/exchangeInfo", {"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
        ("/ticker/24hr", {"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
        ("/klines", KLINES | {"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
        ("/klines", KLINES | {"interval": "7m"}, -1120, "Invalid interval."),
        (
            "/klines",
            {"symbol": "BTCUSDT"},
            -1102,
            "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.",
        ),
        (
            "/klines",
            KLINES | {"limit": "None"},
            -1100,
            "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.",
        ),
        (
            "/klines",
            KLINES | {"startTime": "-5"},
            -1100,
            "Illegal characters found in parameter 'startTime'; legal range is '^[0-9]{1,20}$'.",
        ),
        (
            "/klines",
            KLINES | {"symbol": "btcusdt"},
            -1100,
            "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
        ),
        (
            "/klines",
            KLINES | {"start_time": "5"},
            -1104,
            "Not all sent parameters were read; read '2' parameter(s) but was sent '3'.",
        ),
    ],
)
def test_bad_parameters_answer_as_binance_does(
    binance: httpx.Client, path: str, query: dict[str, str], code: int, message: str
) -> None:
    answer = binance.get(path, params=query)
    assert answer.status_code == 400
    assert answer.json() == {"code": code, "msg": message}


def test_answers_announce_the_used_weight(binance: httpx.Client, control: Control) -> None:
    first = binance.get("/klines", params=KLINES)
    assert first.headers["content-type"] == "application/json;charset=UTF-8"
    assert int(first.headers["x-mbx-used-weight-1m"]) >= 2


def test_above_the_weight_limit_every_request_is_429_with_retry_after(
    binance: httpx.Client, control: Control, sandbox: Sandbox
) -> None:
    httpx.post(sandbox.urls["binance"] + "/__sandbox__/weight-limit", json={"limit": 1}).raise_for_status()
    answer = binance.get("/klines", params=KLINES)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["code"] == -1003
    control.reset("binance")
    assert binance.get("/klines", params=KLINES).status_code == 200


def test_an_unknown_path_is_404_without_json(binance: httpx.Client) -> None:
    answer = binance.get("/nothing")
    assert answer.status_code == 404
    assert "json" not in answer.headers["content-type"]
