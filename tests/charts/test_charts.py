"""The charts: real PNGs of the mail's width, the same for the same data, another for other data."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from include.charts.canvas import WIDTH_PX
from include.charts.equity import HEIGHT_PX, equity_alt, equity_chart
from include.charts.trend import HEIGHT_PX as TREND_HEIGHT_PX
from include.charts.trend import trend_alt, trend_chart
from include.trading.equity_curve import equity_curve
from include.trading.performance import analyse
from include.trading.trades import parse_trades
from tests.analyst.evidence_parts import GOOD, POOR
from tests.trading.engine_answers import NOW, trade, week

LIMIT_BYTES = 100_000
EIGHT = datetime(2025, 11, 22, 8, 0, tzinfo=UTC)


def size_of(png: bytes) -> tuple[int, int]:
    """Decode the PNG as far as its structure goes: signature, checksums of all chunks, as many pixels as announced."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels, size = 8, b"", (0, 0)
    channels = 0
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data = png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + data) == struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0]
        if kind == b"IHDR":
            size = struct.unpack(">II", data[:8])
            channels = {2: 3, 6: 4}[data[9]]
        pixels += data if kind == b"IDAT" else b""
        at += 12 + length
    assert len(zlib.decompress(pixels)) == size[1] * (size[0] * channels + 1)
    return size


def curve_of(balance: float, *, days: int = 30) -> object:
    trades = parse_trades(
        [trade(1.5 if n % 3 else -2.0, EIGHT - timedelta(hours=7 * n), id=str(n)) for n in range(days * 3)]
    )
    stored = [{"timestamp": EIGHT - timedelta(hours=n), "equity": balance + n} for n in range(48)]
    return equity_curve(balance, trades, stored, EIGHT)


def test_the_equity_chart_is_a_picture_of_its_data() -> None:
    curve = curve_of(10_542.75)
    png = equity_chart(curve)  # type: ignore[arg-type]
    assert png is not None
    assert size_of(png) == (WIDTH_PX, HEIGHT_PX)
    assert len(png) < LIMIT_BYTES
    assert equity_chart(curve) == png, "the same data, the same bytes"  # type: ignore[arg-type]
    assert equity_chart(curve_of(9_000.0)) != png  # type: ignore[arg-type]


def test_the_equity_charts_words_say_the_same() -> None:
    alt = equity_alt(curve_of(10_542.75))  # type: ignore[arg-type]
    assert "Realised balance, 2025-10-23 to 2025-11-22" in alt
    assert "10,542.75 USDT" in alt
    assert "equity with open trades" in alt
    assert "Realised profit" in equity_alt(equity_curve(None, [], [], EIGHT))


def test_a_flat_line_is_drawn_and_nothing_is_not() -> None:
    assert equity_chart(equity_curve(10_000.0, [], [], EIGHT)) is not None
    assert equity_chart(equity_curve(None, None, [], EIGHT)) is None


@pytest.mark.parametrize("days", [GOOD, POOR], ids=["good", "poor"])
def test_tc_async_040_041_the_trend_chart_is_a_picture_of_seven_days(days: list[tuple[int, int, float, float]]) -> None:
    daily = analyse(parse_trades(week(*days)), NOW).daily
    png = trend_chart(daily)
    assert png is not None
    assert size_of(png) == (WIDTH_PX, TREND_HEIGHT_PX)
    assert len(png) < LIMIT_BYTES
    assert trend_chart(daily) == png
    assert trend_chart(daily[:-1]) != png
    assert trend_alt(daily).count(" %, win rate ") == len(daily)
    assert "11-21" in trend_alt(daily)


def test_a_week_without_trades_has_no_trend() -> None:
    daily = analyse([], NOW).daily
    assert trend_chart(daily) is None
    assert trend_alt(daily).count("no trades") == len(daily)
