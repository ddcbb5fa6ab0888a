"""Which lists of symbols are refused at the door, and which entries are one symbol's failure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from dags.wiring.params import dag_params
from include.errors import BadInputError
from include.store.results import store_result
from include.tasks_api.params.base import parse_params, rule_of
from include.tasks_api.params.bulk_analysis import MAX_SYMBOLS, BulkAnalysisParams

pytestmark = pytest.mark.critical

SYMBOLS_RULE = "symbols must name 1 to 5,000 Binance pairs"


def parse(**values: Any) -> BulkAnalysisParams:
    return parse_params(BulkAnalysisParams, values)


@pytest.mark.parametrize(
    "symbols",
    [
        ["btcusdt", "ETHUSDT", " BTCUSDT ", "ethusdt", "SOLUSDT"],
        "btcusdt, ETHUSDT,,BTCUSDT;ethusdt\nSOLUSDT\n",
        ["btcusdt,ETHUSDT", "", "  ", "BTCUSDT\r\nethusdt\tSOLUSDT"],
    ],
)
def test_symbols_come_as_list_lines_or_text_upper_cased_and_once_each_in_order(symbols: Any) -> None:
    params = parse(symbols=symbols)
    assert params.symbols == params.wanted == ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    assert params.malformed == {}


@pytest.mark.parametrize(
    "symbols",
    [[], "", " , ;\n", ["", " "], [f"S{n:05d}USDT" for n in range(MAX_SYMBOLS + 1)], None, 5, True, {"a": 1}, [1],
     ["BTCUSDT", None], [["BTCUSDT"]], ["X" * 101]],
)  # fmt: skip
def test_what_is_no_list_of_1_to_5000_texts_is_refused(symbols: Any) -> None:
    with pytest.raises(BadInputError) as refused:
        parse(symbols=symbols)
    assert SYMBOLS_RULE in str(refused.value)
    assert len(str(refused.value)) < 500


def test_5000_symbols_are_accepted_and_duplicates_do_not_count() -> None:
    symbols = [f"S{n:05d}USDT" for n in range(MAX_SYMBOLS)]
    assert len(parse(symbols=symbols).wanted) == 5_000
    assert len(parse(symbols=symbols + symbols).wanted) == 5_000


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ("BTC-USD", "BTC-USD"),
        ("lower case", "LOWER CASE"),
        ("X" * 60, "X" * 60),
        ("ВTCUSDT", "ВTCUSDT"),  # its first letter is Cyrillic
        ("strausßusdt", "strausßusdt"),  # would be ASCII in capitals
        ("٣BTCUSDT", "٣BTCUSDT"),
        ("BTC", "BTC"),
        ("BTCUSDT\x00", "BTCUSDT\\x00"),
        ("BTC\u202eUSDT", "BTC\\u202eUSDT"),
        ("$where", "$WHERE"),
        ("a.b.cde", "A.B.CDE"),
        ("' OR 1=1 --", "' OR 1=1 --"),
    ],
)
def test_a_text_that_can_be_no_symbol_is_one_symbols_failure(entry: str, named: str) -> None:
    params = parse(symbols=["BTCUSDT", entry])
    assert params.wanted == ("BTCUSDT",)
    assert list(params.malformed) == [named]
    assert named in params.malformed[named]


def test_failures_of_every_name_can_be_stored(db: Database[dict[str, Any]]) -> None:
    names = ["$where", "a.b", "BTC\x00", "ВTC", "x" * 100, "__proto__", "\u202e"]
    malformed = parse(symbols=names).malformed
    assert len(malformed) == len(names)
    store_result(db, "bulk_analyses", "run", {"failures": malformed, "failed_symbols": list(malformed)}, 1)
    stored = db["bulk_analyses"].find_one({"_id": "run"})
    assert stored is not None
    assert stored["failures"] == malformed


@given(st.one_of(st.text(), st.lists(st.text(), max_size=8)))
def test_any_text_is_accepted_or_refused_by_the_rule_and_nothing_gets_lost(symbols: Any) -> None:
    params, refusal = None, ""
    try:
        params = parse(symbols=symbols)
    except BadInputError as refused:
        refusal = str(refused)
    if params is None:
        assert SYMBOLS_RULE in refusal or "cannot be read as JSON" in refusal
        return
    assert sorted([*params.wanted, *params.malformed]) == sorted(params.symbols)
    assert all(symbol.isascii() and symbol.isalnum() and symbol == symbol.upper() for symbol in params.wanted)
    assert all(name.isprintable() for name in params.symbols)
    assert parse(symbols=list(params.wanted) or ["BTCUSDT"]).malformed == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model_type", "cnn", "model_type must be one of: lstm, gru, transformer, ensemble"),
        ("timeframe", "1d", "timeframe must be one of: 5m, 15m, 1h, 4h"),
        ("min_confidence", 1.01, "min_confidence must be >= 0.0 and <= 1.0"),
        ("min_confidence", -0.1, "min_confidence must be >= 0.0 and <= 1.0"),
        ("min_confidence", "0.6", "min_confidence must be >= 0.0 and <= 1.0"),
        ("min_confidence", float("nan"), "min_confidence must be >= 0.0 and <= 1.0"),
        ("top_n", 0, "top_n must be between 1 and 5000"),
        ("top_n", 2.5, "top_n must be between 1 and 5000"),
        ("top_n", True, "top_n must be between 1 and 5000"),
    ],
)
def test_an_invalid_parameter_is_named_with_rule_and_value(name: str, value: Any, message: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse(**{name: value})
    assert message in str(refused.value)
    assert repr(value) in str(refused.value)


def test_defaults_are_those_of_the_specification_and_every_field_has_its_rule() -> None:
    params = parse(model_type=" Ensemble ")
    assert (params.timeframe, params.model_type, params.min_confidence, params.top_n) == ("1h", "ensemble", 0.6, 10)
    assert parse() == BulkAnalysisParams()
    assert all(rule_of(BulkAnalysisParams, field) for field in BulkAnalysisParams.model_fields)


def test_the_form_offers_one_symbol_per_line() -> None:
    symbols = dag_params(BulkAnalysisParams)["symbols"]
    for value in (["BTCUSDT", "btc-usd"], ["BTCUSDT, ETHUSDT"], ["X"] * 6_000):
        symbols.resolve(value)
    for wrong in ([], "", "BTCUSDT", 5, [1]):
        with pytest.raises(Exception, match="Failed validating"):
            symbols.resolve(wrong)
    assert (symbols.schema["type"], symbols.schema["items"]) == ("array", {"type": "string"}), (
        "drawn as lines, not JSON"
    )
