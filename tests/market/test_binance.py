"""The Binance client against a real HTTP server: paging, limits, failures, the exchange's clock."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from include.errors import (
    BadInputError,
    ConfigurationError,
    MalformedAnswerError,
    ServiceUnavailableError,
    TransientError,
)
from include.market.binance import BinanceClient
from tests.market.binance_server import (
    INVALID_SYMBOL,
    TICKER_24H,
    TOO_MANY_REQUESTS,
    UNKNOWN_ERROR,
    Answer,
    FakeBinance,
)
from tests.market.series import HOUR_MS, START_MS, assert_same, make_candles

KLINES = "/api/v3/klines"
TIME = "/api/v3/time"
HTML = "<html><body>Sign in to the hotel's network</body></html>"


def _serve(binance: FakeBinance, count: int, **kwargs: object) -> None:
    binance.serve(make_candles(count, **kwargs))  # type: ignore[arg-type]
    binance.now_ms = START_MS + count * HOUR_MS


class TestKlines:
    """Paging, ranges, and which candles are closed."""

    @pytest.mark.critical
    def test_three_pages_of_a_thousand_rows_make_one_series(self, binance: FakeBinance, client: BinanceClient) -> None:
        series = make_candles(2_345)
        binance.serve(series)
        binance.now_ms = START_MS + 2_345 * HOUR_MS
        assert_same(client.klines("BTCUSDT", "1h", START_MS, binance.now_ms), series)
        pages = binance.asked(KLINES)
        assert [page["limit"] for page in pages] == ["1000"] * 3
        assert [int(page["startTime"]) for page in pages] == [START_MS + n * HOUR_MS for n in (0, 1_000, 2_000)]

    @pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 2_000])
    def test_counts_around_the_page_size_are_complete(
        self, count: int, binance: FakeBinance, client: BinanceClient
    ) -> None:
        _serve(binance, 2_500)
        candles = client.klines("BTCUSDT", "1h", START_MS, START_MS + count * HOUR_MS)
        assert len(candles) == count
        assert list(candles.open_time[-1:]) == [START_MS + (count - 1) * HOUR_MS] * min(count, 1)

    def test_end_is_exclusive_and_start_inclusive(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 10)
        candles = client.klines("BTCUSDT", "1h", START_MS + 2 * HOUR_MS, START_MS + 5 * HOUR_MS)
        assert candles.open_time.tolist() == [START_MS + n * HOUR_MS for n in (2, 3, 4)]

    def test_a_gap_across_a_page_boundary_is_no_error(self, binance: FakeBinance, client: BinanceClient) -> None:
        series = make_candles(2_100, without=range(990, 1_010))
        binance.serve(series)
        binance.now_ms = START_MS + 2_100 * HOUR_MS
        assert_same(client.klines("BTCUSDT", "1h", START_MS, binance.now_ms), series)

    @pytest.mark.critical
    def test_unfinished_candle_is_dropped_by_the_servers_clock_though_the_local_one_is_years_ahead(
        self, binance: FakeBinance, client: BinanceClient
    ) -> None:
        _serve(binance, 10)
        binance.now_ms = START_MS + 7 * HOUR_MS + 1_800_000  # the eighth bar is half done
        candles = client.klines("BTCUSDT", "1h", START_MS, START_MS + 10 * HOUR_MS)
        assert len(binance.rows["BTCUSDT", "1h"]) == 10
        assert candles.open_time[-1] == START_MS + 6 * HOUR_MS
        assert binance.requests[0][0] == TIME

    def test_candles_that_the_local_clock_calls_future_are_kept(
        self, binance: FakeBinance, client: BinanceClient
    ) -> None:
        start_ms = (int(time.time()) // 3600 + 24 * 365) * HOUR_MS
        binance.serve(make_candles(5, start_ms=start_ms))
        binance.now_ms = start_ms + 5 * HOUR_MS
        assert len(client.klines("BTCUSDT", "1h", start_ms, binance.now_ms)) == 5

    @pytest.mark.parametrize(("late_ms", "expected"), [(-2, 3), (-1, 4), (0, 4)])
    def test_a_candle_counts_from_its_close_time_on(
        self, late_ms: int, expected: int, binance: FakeBinance, client: BinanceClient
    ) -> None:
        _serve(binance, 10)
        binance.now_ms = START_MS + 4 * HOUR_MS + late_ms  # the fourth closes 1 ms before the full hour
        assert len(client.klines("BTCUSDT", "1h", START_MS, START_MS + 10 * HOUR_MS)) == expected

    def test_a_given_server_time_is_not_asked_for_again(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 10)
        candles = client.klines("BTCUSDT", "1h", START_MS, binance.now_ms, server_time_ms=START_MS + 3 * HOUR_MS)
        assert len(candles) == 3
        assert not binance.asked(TIME)

    def test_a_range_in_the_future_is_empty_without_a_question(
        self, binance: FakeBinance, client: BinanceClient
    ) -> None:
        _serve(binance, 10)
        assert len(client.klines("BTCUSDT", "1h", binance.now_ms + HOUR_MS, binance.now_ms + 9 * HOUR_MS)) == 0
        assert not binance.asked(KLINES)

    def test_unknown_timeframe_is_refused_before_any_question(
        self, binance: FakeBinance, client: BinanceClient
    ) -> None:
        with pytest.raises(BadInputError, match="Invalid timeframe: '30m'"):
            client.klines("BTCUSDT", "30m", START_MS, START_MS + HOUR_MS)
        assert not binance.requests


class TestNumbersThatCannotBeTrue:
    """Nothing untrue passes the boundary."""

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            (1, "NaN"), (2, "Infinity"), (3, "-inf"), (4, "0.00000000"), (4, "-1.00000000"), (1, ""), (2, "abc"),
            (3, None), (4, 40000.5), (5, "-0.10000000"), (5, "nan"), (2, "1.00000000"), (3, "99999999.00000000"),
        ],
    )  # fmt: skip
    def test_bad_number_names_symbol_time_and_value(
        self, column: int, value: object, binance: FakeBinance, client: BinanceClient
    ) -> None:
        _serve(binance, 30)
        binance.rows["BTCUSDT", "1h"][5][column] = value
        with pytest.raises(MalformedAnswerError, match=r"BTCUSDT 1h .*2024-01-01T05:00") as caught:
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)
        shown = repr(value) if not isinstance(value, str) or not value[-1:].isdigit() else str(float(value))
        assert shown in str(caught.value)

    def test_duplicated_candle_is_refused(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 30)
        rows = binance.rows["BTCUSDT", "1h"]
        rows.insert(9, rows[8])
        with pytest.raises(MalformedAnswerError, match=r"BTCUSDT 1h candle of 2024-01-01T08:00.*duplicate"):
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)

    def test_newest_first_is_refused_and_not_sorted_silently(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 30)
        binance.rows["BTCUSDT", "1h"].reverse()
        with pytest.raises(MalformedAnswerError, match="a time before the one before it"):
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)

    @pytest.mark.parametrize("row", [[], [1, "2"], "row", None, {"openTime": 1}])
    def test_row_of_another_shape_is_refused(self, row: object, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 30)
        binance.answer_next(KLINES, Answer(body=[row]))
        with pytest.raises(MalformedAnswerError, match="BTCUSDT 1h kline without 12 fields"):
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)

    @pytest.mark.parametrize("time_ms", ["1704067200000", -5, 1704067200000.0, True, None])
    def test_open_time_that_is_no_time_is_refused(
        self, time_ms: object, binance: FakeBinance, client: BinanceClient
    ) -> None:
        _serve(binance, 30)
        row = [time_ms, *binance.rows["BTCUSDT", "1h"][0][1:]]
        binance.answer_next(KLINES, Answer(body=[row]))
        with pytest.raises(MalformedAnswerError, match="open time of BTCUSDT 1h kline 0"):
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)

    def test_candles_of_another_length_are_refused(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 30)
        binance.rows["BTCUSDT", "1h"][0][6] = START_MS + 59_999
        with pytest.raises(MalformedAnswerError, match=r"BTCUSDT 1h kline of 2024-01-01T00:00.*close time"):
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)

    def test_a_server_that_repeats_a_page_cannot_keep_the_client_for_ever(
        self, binance: FakeBinance, client: BinanceClient
    ) -> None:
        _serve(binance, 3_000)
        page = binance.rows["BTCUSDT", "1h"][:1_000]
        binance.answer_next(KLINES, Answer(body=page), Answer(body=page))
        with pytest.raises(MalformedAnswerError, match="outside of the range asked for"):
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)

    @pytest.mark.parametrize("body", [{"serverTime": "x"}, {"serverTime": 0}, {}, [], 5])
    def test_a_clock_that_is_none_is_refused(self, body: object, binance: FakeBinance, client: BinanceClient) -> None:
        binance.answer_next(TIME, Answer(body=body))
        with pytest.raises(MalformedAnswerError, match="serverTime"):
            client.server_time_ms()


class TestLimits:
    """429 and 418."""

    @pytest.mark.critical
    @pytest.mark.parametrize("status", [429, 418])
    def test_retry_after_is_waited_for_and_the_question_asked_again(
        self, status: int, binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        _serve(binance, 5)
        binance.answer_next(KLINES, Answer(status, TOO_MANY_REQUESTS, headers={"Retry-After": "17"}))
        assert len(client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)) == 5
        assert waits == [17.0]
        assert len(binance.asked(KLINES)) == 2

    def test_retry_after_as_a_date_is_understood(
        self, binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        until = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
        binance.answer_next(TIME, Answer(429, TOO_MANY_REQUESTS, headers={"Retry-After": until}))
        binance.now_ms = START_MS
        assert client.server_time_ms() == START_MS
        assert len(waits) == 1
        assert 0 < waits[0] <= 30

    @pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}, {"Retry-After": "nan"}, {"Retry-After": "-5"}])
    def test_without_a_usable_retry_after_the_wait_is_short(
        self, headers: dict[str, str], binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        binance.now_ms = START_MS
        binance.answer_next(TIME, Answer(429, TOO_MANY_REQUESTS, headers=headers))
        assert client.server_time_ms() == START_MS
        assert len(waits) == 1
        assert 0 <= waits[0] <= 8

    @pytest.mark.parametrize("seconds", ["61", "86400", "1e300"])
    def test_a_long_ban_is_left_to_the_task_and_says_until_when(
        self, seconds: str, binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        binance.answer_next(TIME, Answer(418, TOO_MANY_REQUESTS, headers={"Retry-After": seconds}))
        with pytest.raises(TransientError, match=r"/api/v3/time until 20\d\d-\d\d-\d\dT"):
            client.server_time_ms()
        assert waits == []

    def test_limit_that_stays_is_a_transient_error_after_all_attempts(
        self, binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        binance.answer_next(TIME, *[Answer(429, TOO_MANY_REQUESTS, headers={"Retry-After": "1"})] * 9)
        with pytest.raises(TransientError, match=r"4 attempt.*429"):
            client.server_time_ms()
        assert waits == [1.0, 1.0, 1.0]
        assert len(binance.asked(TIME)) == 4


class TestFailures:
    """Servers that fail, hang, are absent, or are not Binance."""

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_server_error_is_tried_again(
        self, status: int, binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        binance.now_ms = START_MS
        binance.answer_next(TIME, Answer(status, HTML, "text/html"), Answer(status, UNKNOWN_ERROR))
        assert client.server_time_ms() == START_MS
        assert waits == [0.5, 1.0]

    def test_server_errors_that_stay_are_unavailable(self, binance: FakeBinance, client: BinanceClient) -> None:
        binance.answer_next(TIME, *[Answer(503, HTML, "text/html")] * 9)
        with pytest.raises(ServiceUnavailableError, match=r"/api/v3/time in 4 attempt.*503"):
            client.server_time_ms()

    def test_time_out_is_tried_again_then_unavailable(self, binance: FakeBinance, waits: list[float]) -> None:
        binance.now_ms = START_MS
        with BinanceClient(binance.url, timeout_s=1.0, max_attempts=2, sleep=waits.append) as client:
            binance.answer_next(TIME, Answer(hang=True))
            assert client.server_time_ms() == START_MS
            binance.answer_next(TIME, Answer(hang=True), Answer(hang=True))
            with pytest.raises(ServiceUnavailableError, match=r"2 attempt.*ReadTimeout"):
                client.server_time_ms()

    def test_nobody_listening_is_unavailable_and_names_the_address(self, waits: list[float]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
            url = f"http://127.0.0.1:{probe.getsockname()[1]}"
            with (
                BinanceClient(url, timeout_s=2, max_attempts=3, sleep=waits.append) as client,
                pytest.raises(ServiceUnavailableError, match=f"Binance at {url}.*ConnectError"),
            ):
                client.server_time_ms()
        assert len(waits) == 2

    def test_html_with_status_200_is_malformed(self, binance: FakeBinance, client: BinanceClient) -> None:
        binance.answer_next(TIME, Answer(200, HTML, "text/html; charset=utf-8"))
        with pytest.raises(MalformedAnswerError, match=r"text/html.*instead of JSON.*hotel"):
            client.server_time_ms()

    def test_html_that_claims_to_be_json_is_malformed(self, binance: FakeBinance, client: BinanceClient) -> None:
        binance.answer_next(TIME, Answer(200, HTML))
        with pytest.raises(MalformedAnswerError, match="broken JSON"):
            client.server_time_ms()

    def test_body_that_cannot_be_unpacked_is_malformed(self, binance: FakeBinance, client: BinanceClient) -> None:
        binance.answer_next(TIME, Answer(200, "no gzip at all", headers={"Content-Encoding": "gzip"}))
        with pytest.raises(MalformedAnswerError, match="/api/v3/time with a body that cannot be unpacked"):
            client.server_time_ms()

    def test_truncated_json_is_malformed(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 5)
        binance.answer_next(KLINES, Answer(200, '[[1704067200000,"1.0'))
        with pytest.raises(MalformedAnswerError, match="broken JSON"):
            client.klines("BTCUSDT", "1h", START_MS, binance.now_ms)

    def test_other_refusals_carry_binances_words(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 5)
        with pytest.raises(BadInputError, match=r"Invalid interval\. \(status 400, code -1120\)"):
            client.klines("BTCUSDT", "4h", START_MS, binance.now_ms)
        assert len(binance.asked(KLINES)) == 1

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (Answer(404, HTML, "text/html"), ConfigurationError),
            (Answer(451, {"code": 0, "msg": "Service unavailable from a restricted location"}), ConfigurationError),
            (Answer(301, "", "text/html", {"Location": "https://example.org/"}), ConfigurationError),
            (Answer(403, HTML, "text/html"), ServiceUnavailableError),
            (Answer(401, {"code": -2014, "msg": "API-key format invalid."}), BadInputError),
            (Answer(400, HTML, "text/html"), BadInputError),
        ],
    )
    def test_refusals_are_sorted_by_what_helps(
        self, answer: Answer, kind: type[Exception], binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        binance.answer_next(TIME, answer)
        with pytest.raises(kind, match=str(answer.status)):
            client.server_time_ms()
        assert waits == []

    @pytest.mark.parametrize("url", ["", "binance", "ftp://127.0.0.1", "http://", "http://[::bad"])
    def test_address_that_is_none_is_refused_at_once(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="TRADING_OPS_BINANCE_BASE_URL"):
            BinanceClient(url)


class TestSymbols:
    """Known, unknown and impossible symbols."""

    def test_exchange_info_returns_the_symbols_entry(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 5)
        entry = client.exchange_info("BTCUSDT")
        assert (entry["symbol"], entry["status"], entry["quoteAsset"]) == ("BTCUSDT", "TRADING", "USDT")

    @pytest.mark.critical
    def test_unknown_symbol_is_named_by_every_question(self, binance: FakeBinance, client: BinanceClient) -> None:
        _serve(binance, 5)
        with pytest.raises(BadInputError, match=r"^Invalid symbol: INVALID "):
            client.exchange_info("INVALID")
        with pytest.raises(BadInputError, match=r"^Invalid symbol: INVALID "):
            client.klines("INVALID", "1h", START_MS, binance.now_ms)
        with pytest.raises(BadInputError, match=r"^Invalid symbol: INVALID "):
            client.ticker_24h("INVALID")

    @pytest.mark.parametrize("symbol", ["", "btcusdt", "BTC/USDT", "BTCUSDT&limit=1", "B" * 21, "BTCUSDT\n"])
    def test_what_can_be_no_symbol_is_refused_before_any_question(
        self, symbol: str, binance: FakeBinance, client: BinanceClient
    ) -> None:
        with pytest.raises(BadInputError, match=r"^Invalid symbol: "):
            client.exchange_info(symbol)
        assert not binance.requests

    def test_illegal_characters_answer_counts_as_invalid_symbol(
        self, binance: FakeBinance, client: BinanceClient
    ) -> None:
        body = {"code": -1100, "msg": "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9]$'."}
        binance.answer_next("/api/v3/exchangeInfo", Answer(400, body))
        with pytest.raises(BadInputError, match=r"^Invalid symbol: B-A "):
            client.exchange_info("B-A")

    def test_answer_about_another_symbol_is_invalid(self, binance: FakeBinance, client: BinanceClient) -> None:
        binance.answer_next("/api/v3/exchangeInfo", Answer(body={"symbols": [{"symbol": "ETHUSDT"}]}))
        with pytest.raises(BadInputError, match=r"^Invalid symbol: BTCUSDT "):
            client.exchange_info("BTCUSDT")

    def test_invalid_symbol_is_not_tried_again(
        self, binance: FakeBinance, client: BinanceClient, waits: list[float]
    ) -> None:
        binance.answer_next("/api/v3/exchangeInfo", Answer(400, INVALID_SYMBOL))
        with pytest.raises(BadInputError):
            client.exchange_info("BTCUSDT")
        assert waits == []


class TestTicker:
    """The 24-hour ticker."""

    def test_strings_become_numbers(self, binance: FakeBinance, client: BinanceClient) -> None:
        binance.tickers["SHIBTRY"] = TICKER_24H
        ticker = client.ticker_24h("SHIBTRY")
        assert (ticker.last_price, ticker.price_change_pct, ticker.trades) == (0.00029220, 3.342, 38701)
        assert (ticker.volume_base, ticker.volume_quote) == (621432087719.00, 179748569.24176604)
        assert ticker.to_dict()["close_time_ms"] == 1643723642711

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("lastPrice", "NaN"), ("lastPrice", "0.00000000"), ("volume", "Infinity"), ("openPrice", None),
            ("priceChangePercent", 3.3), ("count", "7"), ("closeTime", "now"), ("symbol", "BTCUSDT"),
        ],
    )  # fmt: skip
    def test_bad_field_is_named(self, key: str, value: object, binance: FakeBinance, client: BinanceClient) -> None:
        binance.tickers["SHIBTRY"] = {**TICKER_24H, key: value}
        with pytest.raises(MalformedAnswerError, match=f"{key}.*SHIBTRY" if key != "symbol" else "ticker of SHIBTRY"):
            client.ticker_24h("SHIBTRY")
