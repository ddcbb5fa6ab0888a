"""The pace of a client: weight per minute, what the exchange announces, and refusals that stop every thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from include.errors import ConfigurationError, TransientError
from include.market.binance import BinanceClient
from include.market.pacing import WeightPacer
from tests.market.binance_server import TOO_MANY_REQUESTS, Answer, FakeBinance
from tests.market.series import HOUR_MS, START_MS, make_candles

KLINES = "/api/v3/klines"


class FakeTime:
    """A clock that moves only when somebody sleeps; safe for threads."""

    def __init__(self) -> None:
        self.now = 60.0 * 16_667 + 20.0  # 20 s past a full minute
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def paced(binance: FakeBinance, time: FakeTime) -> Callable[[int], BinanceClient]:
    def make(weight_per_minute: int) -> BinanceClient:
        client = BinanceClient(binance.url, timeout_s=5.0, max_attempts=4, sleep=time.sleep, clock=time.clock)
        client.pace(weight_per_minute)
        return client

    return make


def test_the_allowance_is_used_up_at_once_and_then_the_next_minute_is_waited_for(time: FakeTime) -> None:
    pacer = WeightPacer(10, time.clock, time.sleep)
    for _ in range(5):
        pacer.take(2)
    assert time.slept == []
    pacer.take(2)
    assert time.slept == [pytest.approx(40.0)]
    for _ in range(4):
        pacer.take(2)
    assert len(time.slept) == 1, "the new minute has its whole allowance"


def test_what_others_of_the_address_have_used_counts_and_an_older_answer_changes_nothing(time: FakeTime) -> None:
    pacer = WeightPacer(100, time.clock, time.sleep)
    pacer.announced("95")
    pacer.announced("40")
    for nonsense in (None, "", "many", "-5", "٣"):
        pacer.announced(nonsense)
    pacer.take(5)
    assert time.slept == []
    pacer.take(1)
    assert time.slept == [pytest.approx(40.0)]


def test_a_request_above_the_whole_allowance_passes_in_a_fresh_minute_instead_of_never(time: FakeTime) -> None:
    pacer = WeightPacer(3, time.clock, time.sleep)
    pacer.take(20)
    pacer.take(20)
    assert len(time.slept) == 1


def test_threads_together_keep_to_the_allowance_of_every_minute(time: FakeTime) -> None:
    pacer, taken = WeightPacer(10, time.clock, time.sleep), []

    def work() -> None:
        for _ in range(10):
            pacer.take(2)
            taken.append(int(time.now // 60))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 40
    assert len(set(taken)) >= 8, "40 x 2 weight need 8 minutes of 10"


def test_a_pace_without_weight_is_refused(client: BinanceClient) -> None:
    with pytest.raises(ConfigurationError, match="weight_per_minute is 0"):
        client.pace(0)


def test_a_client_waits_for_the_next_minute_and_reads_the_announced_weight(
    binance: FakeBinance, paced: Callable[[int], BinanceClient], time: FakeTime
) -> None:
    binance.now_ms = START_MS
    binance.answer_next("/api/v3/time", Answer(body={"serverTime": START_MS}, headers={"x-mbx-used-weight-1m": "2999"}))
    with paced(3000) as client:
        client.server_time_ms()
        client.pace(3000)  # the same pace again keeps the count
        client.server_time_ms()
        assert time.slept == []
        client.server_time_ms()
    assert time.slept == [pytest.approx(40.0)]


def test_one_refusal_holds_every_thread_and_is_waited_for_once_by_each(
    binance: FakeBinance, paced: Callable[[int], BinanceClient], time: FakeTime
) -> None:
    series = make_candles(3)
    binance.serve(series)
    binance.now_ms = START_MS + 3 * HOUR_MS
    binance.answer_next(KLINES, Answer(429, TOO_MANY_REQUESTS, headers={"Retry-After": "7"}))
    with paced(3000) as client:
        client.klines("BTCUSDT", "1h", START_MS, binance.now_ms, server_time_ms=binance.now_ms)
        assert time.slept == [7.0]
        client._refusal.hold(5.0)  # as another thread, refused in the meantime
        client.server_time_ms()
    assert time.slept == [7.0, pytest.approx(5.0)]
    assert len(binance.asked(KLINES)) == 2


def test_during_a_long_ban_nobody_asks_any_more(
    binance: FakeBinance, paced: Callable[[int], BinanceClient], time: FakeTime
) -> None:
    binance.now_ms = START_MS
    binance.answer_next("/api/v3/time", Answer(418, TOO_MANY_REQUESTS, headers={"Retry-After": "7200"}))
    with paced(3000) as client:
        for _ in range(3):
            with pytest.raises(TransientError, match=r"Binance refuses GET /api/v3/time until 1970-01-12T1"):
                client.server_time_ms()
        assert len(binance.asked("/api/v3/time")) == 1
        assert time.slept == []
        time.now += 7200
        assert client.server_time_ms() == START_MS
