"""The server of these tests answers in the shapes that Binance really sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import required
from tests.market.binance_server import EXCHANGE_INFO, KLINE_ROW, SYMBOL_ENTRY, TICKER_24H


@pytest.fixture
def recordings(market_data_dir: Path) -> Path:
    return required(market_data_dir.parent / "binance", "recorded Binance bodies")


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_klines_have_the_recorded_shape(recordings: Path) -> None:
    rows = _read(recordings, "klines_ADAUSDT_1m_2024-11-16_5rows.json")
    assert rows[0] == KLINE_ROW


def test_ticker_has_the_recorded_shape(recordings: Path) -> None:
    assert _read(recordings, "ticker24hr_SHIBTRY_2022-02-01.json") == TICKER_24H


def test_exchange_info_is_part_of_the_recorded_body(recordings: Path) -> None:
    recorded = _read(recordings, "exchangeInfo_BTC_ETH_SOL_BTCBRL_2026-09-25.json")
    assert recorded.keys() == EXCHANGE_INFO.keys()
    entry = next(entry for entry in recorded["symbols"] if entry["symbol"] == "BTCUSDT")
    for key, value in SYMBOL_ENTRY.items():
        if key == "filters":
            assert value[0] in entry[key]
        else:
            assert value == entry[key], key
