"""Reading closed trades: strict, loud, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import MalformedAnswerError
from include.trading.timestamps import parse_rfc3339
from include.trading.trades import closed_between, parse_trade, parse_trades
from tests.trading.engine_answers import NOW, trade

EPOCH = NOW.replace(tzinfo=None, year=1970)


def test_return_is_computed_from_pnl_because_pnl_percentage_is_stale() -> None:
    read = parse_trade(trade(-2.0, pnl_percentage=+1.5))
    assert read.return_pct == pytest.approx(-2.0)
    assert read.return_source == "pnl"
    assert not read.won


@pytest.mark.parametrize("missing", ["pnl", "entry_price", "quantity"])
@pytest.mark.parametrize("source", ["pnl_percentage", "profit_percent", "profit_pct"])
def test_return_falls_back_when_a_field_is_missing(missing: str, source: str) -> None:
    row = trade(-2.0)
    del row["pnl_percentage"]
    row[missing] = None
    row[source] = 1.25
    read = parse_trade(row)
    assert (read.return_pct, read.return_source) == (1.25, source)


def test_fallbacks_are_read_in_the_decided_order() -> None:
    row = trade(pnl=None, pnl_percentage=None, profit_pct=3.0, profit_percent=2.0)
    assert parse_trade(row).return_pct == 2.0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": ""}, "id ''"),
        ({"symbol": 5}, "symbol 5"),
        ({"close_time": None}, "close_time None"),
        ({"close_time": "2025-11-21 10:00:00"}, "close_time '2025-11-21 10:00:00'"),
        ({"close_time": "2025-11-21T10:00:00"}, "RFC 3339 time with a zone"),
        ({"close_time": "0001-01-01T00:00:00+23:00"}, "RFC 3339"),
        ({"close_time": "2024-01-01T00:00:00Z"}, "before it was opened"),
        ({"pnl": float("nan")}, "pnl nan.*not finite"),
        ({"pnl": float("inf")}, "pnl inf.*not finite"),
        ({"pnl": 10**400}, "not finite"),
        ({"pnl": "12.5"}, "pnl '12.5'.*not a number"),
        ({"pnl": True}, "pnl True.*not a number"),
        ({"pnl": 1e9}, "no believable return"),
        ({"pnl": 1e300}, "beyond every real trade"),
        ({"entry_price": 0}, "entry_price 0.0.*not above zero"),
        ({"quantity": -0.003}, "quantity -0.003.*not above zero"),
        ({"entry_price": 1e-200, "quantity": 1e-200}, "no believable return"),
        ({"pnl": None, "pnl_percentage": None}, "gives no return"),
        ({"status": "Open"}, "status 'Open' in the list of closed trades"),
        ({"status": "Cancelled"}, "status 'Cancelled'"),
    ],
)
def test_malformed_trade_is_refused_and_named(changes: dict[str, object], says: str) -> None:
    row = {**trade(), **changes}
    with pytest.raises(MalformedAnswerError, match=says):
        parse_trade(row)


@pytest.mark.parametrize("row", [None, "x", [], 3])
def test_trade_that_is_no_object_is_refused(row: object) -> None:
    with pytest.raises(MalformedAnswerError, match="must be a JSON object"):
        parse_trade(row)


def test_one_malformed_trade_refuses_the_whole_answer() -> None:
    rows = [trade() for _ in range(20)] + [trade(pnl="lots", id="the-bad-one")]
    with pytest.raises(MalformedAnswerError, match=r"1 of 21 trades.*the-bad-one"):
        parse_trades(rows, since=NOW - timedelta(days=14))


def test_malformed_trade_of_last_year_does_not_blind_the_analysis() -> None:
    old = trade(pnl="lots", closed=NOW - timedelta(days=300))
    assert len(parse_trades([old, trade()], since=NOW - timedelta(days=14))) == 1
    with pytest.raises(MalformedAnswerError):
        parse_trades([old, trade()])


def test_malformed_trade_without_a_readable_close_time_may_belong_to_the_window() -> None:
    with pytest.raises(MalformedAnswerError):
        parse_trades([trade(close_time="yesterday")], since=NOW - timedelta(days=14))


def test_reloaded_copy_of_a_trade_with_a_shorter_time_is_the_same_trade() -> None:
    first = trade(id="x")
    assert len(parse_trades([first, {**first, "close_time": first["close_time"][:23] + "Z"}])) == 1


def test_two_records_of_one_id_that_disagree_are_refused() -> None:
    with pytest.raises(MalformedAnswerError, match="comes twice with different numbers"):
        parse_trades([trade(1.0, id="x"), trade(-1.0, id="x")])


def test_last_seven_days_are_filtered_by_close_time_not_by_order() -> None:
    ages = [1, 200, 3, 8, 0.5]
    trades = parse_trades([trade(closed=NOW - timedelta(days=age)) for age in ages])
    window = closed_between(trades, NOW - timedelta(days=7), NOW)
    assert [(NOW - row.close_time).days for row in window] == [2, 0, 0]


def test_window_includes_its_start_and_excludes_its_end() -> None:
    trades = parse_trades(
        [
            trade(close_time="2025-11-15T01:00:00Z", open_time=None),
            trade(close_time="2025-11-22T01:00:00Z", open_time=None),
        ]
    )
    assert [row.close_time.day for row in closed_between(trades, NOW - timedelta(days=7), NOW)] == [15]


@given(
    st.datetimes(min_value=EPOCH, max_value=EPOCH.replace(year=2100), timezones=st.just(UTC)),
    st.integers(0, 9),
    st.sampled_from(["Z", "+00:00"]),
)
def test_any_number_of_fraction_digits_is_read(moment: datetime, digits: int, zone: str) -> None:
    fraction = f"{moment.microsecond:06d}789"[:digits]
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    read = parse_rfc3339(text + (f".{fraction}" if digits else "") + zone)
    assert read == moment.replace(microsecond=int(fraction[:6].ljust(6, "0")) if digits else 0)


def test_other_zones_become_utc() -> None:
    assert parse_rfc3339("2025-11-22T03:00:00+02:00") == NOW


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=3)))
def test_no_value_of_any_field_escapes_the_reader(value: object) -> None:
    for field in ("id", "symbol", "close_time", "open_time", "pnl", "entry_price", "quantity", "status"):
        row = {**trade(), field: value}
        try:
            read = parse_trade(row)
        except MalformedAnswerError:
            continue
        assert abs(read.return_pct) <= 100_000
