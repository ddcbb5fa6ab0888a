"""The strategy laboratory a second time, as plainly as possible: loops over bars, one number after the other.

Written from the texts that describe the strategies, the costs and the broker, without a look at how those do it.
Nothing here is fast, and nothing is shared with what it checks but the numbers that go in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from include.market.candles import Candles
from include.strategies.costs import TradingCosts

HOUR_MS = 3_600_000
SATOSHI = 1e-8

Series = list[float | None]


@dataclass
class Bars:
    """Candles as lists."""

    time_ms: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]

    @classmethod
    def of(cls, candles: Candles) -> Bars:
        return cls(
            candles.open_time.tolist(), candles.open.tolist(), candles.high.tolist(), candles.low.tolist(),
            candles.close.tolist(), candles.volume.tolist(),
        )  # fmt: skip


# Indicators


def mean(values: list[float], bars: int) -> Series:
    answer: Series = []
    for t in range(len(values)):
        answer.append(sum(values[t - bars + 1 : t + 1]) / bars if t >= bars - 1 else None)
    return answer


def deviation(values: list[float], bars: int) -> Series:
    answer: Series = []
    for t, middle in enumerate(mean(values, bars)):
        if middle is None:
            answer.append(None)
        else:
            squares = sum((value - middle) ** 2 for value in values[t - bars + 1 : t + 1])
            answer.append(math.sqrt(squares / bars))
    return answer


def exponential(values: list[float], span: int) -> list[float]:
    weight = 2 / (span + 1)
    answer = [values[0]]
    for value in values[1:]:
        answer.append(weight * value + (1 - weight) * answer[-1])
    return answer


def wilder(values: list[float], bars: int) -> Series:
    answer: Series = []
    for t, value in enumerate(values):
        if t < bars - 1:
            answer.append(None)
        elif t == bars - 1:
            answer.append(sum(values[:bars]) / bars)
        else:
            answer.append((answer[-1] * (bars - 1) + value) / bars)
    return answer


def relative_strength(close: list[float], bars: int) -> Series:
    gains = [max(close[t] - close[t - 1], 0.0) for t in range(1, len(close))]
    losses = [max(close[t - 1] - close[t], 0.0) for t in range(1, len(close))]
    answer: Series = [None]
    for gain, loss in zip(wilder(gains, bars), wilder(losses, bars), strict=True):
        if gain is None:
            answer.append(None)
        else:
            answer.append(50.0 if gain + loss == 0 else 100 * gain / (gain + loss))
    return answer


def average_range(bars: Bars, count: int) -> Series:
    ranges = []
    for t in range(len(bars.close)):
        before = bars.close[t - 1] if t else bars.close[0]
        ranges.append(max(bars.high[t], before) - min(bars.low[t], before))
    return wilder(ranges, count)


# Strategies: what each of them wants after every bar


def wants_rsi(bars: Bars, rsi_period: int, rsi_overbought: float, rsi_oversold: float) -> list[int]:
    middle = (rsi_overbought + rsi_oversold) / 2
    wanted, now = [], 0
    for level in relative_strength(bars.close, rsi_period):
        if level is not None:
            if (now > 0 and level >= middle) or (now < 0 and level <= middle):
                now = 0
            if level <= rsi_oversold:
                now = 1
            elif level >= rsi_overbought:
                now = -1
        wanted.append(now)
    return wanted


def wants_macd(bars: Bars, macd_fast: int, macd_slow: int, macd_signal: int) -> list[int]:
    fast, slow = exponential(bars.close, macd_fast), exponential(bars.close, macd_slow)
    line = [fast[t] - slow[t] for t in range(len(fast))]
    signal = exponential(line, macd_signal)
    wanted = []
    for t in range(len(line)):
        settled = t >= macd_slow + macd_signal and abs(line[t] - signal[t]) > 1e-12 * bars.close[t]
        wanted.append(0 if not settled else 1 if line[t] > signal[t] else -1)
    return wanted


def wants_bollinger(bars: Bars, bb_period: int, bb_std: float) -> list[int]:
    wanted, now = [], 0
    middles, widths = mean(bars.close, bb_period), deviation(bars.close, bb_period)
    for close, middle, width in zip(bars.close, middles, widths, strict=True):
        if middle is not None and width is not None:
            if (now > 0 and close >= middle) or (now < 0 and close <= middle):
                now = 0
            if close < middle - bb_std * width:
                now = 1
            elif close > middle + bb_std * width:
                now = -1
        wanted.append(now)
    return wanted


def wants_volume(bars: Bars, volume_period: int, volume_spike: float) -> list[int]:
    wanted, now = [], 0
    usual: Series = [None, *mean(bars.volume, volume_period)[:-1]]
    middles = mean(bars.close, volume_period)
    for t, close in enumerate(bars.close):
        middle, often = middles[t], usual[t]
        if middle is not None:
            if (now > 0 and close < middle) or (now < 0 and close > middle):
                now = 0
            if often is not None and often > 0 and bars.volume[t] >= volume_spike * often:
                if close > bars.open[t] and not close < middle:
                    now = 1
                elif close < bars.open[t] and not close > middle:
                    now = -1
        wanted.append(now)
    return wanted


WANTS = {"rsi": wants_rsi, "macd": wants_macd, "bollinger": wants_bollinger, "volume": wants_volume}


def one_sided(wanted: list[int], direction: str) -> list[int]:
    allowed = {"both": (-1, 1), "long": (1,), "short": (-1,)}[direction]
    return [want if want in allowed else 0 for want in wanted]


# Trading


@dataclass
class PlainTrade:
    """A closed trade; `funding` is what was paid."""

    entry_bar: int
    exit_bar: int
    size: float
    entry_price: float
    exit_price: float
    fees: float
    funding: float
    pnl: float
    why: str


@dataclass
class PlainRun:
    """Trades oldest first, and the equity at every close."""

    trades: list[PlainTrade] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)


@dataclass
class _Held:
    bar: int
    size: float
    price: float
    entry_fee: float
    funding: float = 0.0


def trade(bars: Bars, wanted: list[int], costs: TradingCosts, cash: float, before: Bars | None = None) -> PlainRun:
    """Trade the wanted positions; the account is opened at the first bar's close.

    :param before: bars before them, for the average true range.
    """
    fee = costs.fee_pct / 100
    share = costs.position_pct / 100
    lost = lost_at_each_bar(bars, costs, before)
    last = len(bars.close) - 1
    run = PlainRun(equity=[cash])
    money = cash
    """What the account has, the open position's gain or loss left out."""
    held: _Held | None = None

    def leave(bar: int, price: float, cost: float, why: str) -> float:
        assert held is not None
        paid = price * (1 - cost) if held.size > 0 else price * (1 + cost)
        rest = money + held.size * (paid - held.price) - abs(held.size) * paid * fee
        if rest <= 0 or why == "liquidation":
            # The price at which nothing is left: size * (x - entry) - |size| * x * fee = -money.
            why, rest = "liquidation", 0.0
            paid = (held.size * held.price - money) / (held.size - abs(held.size) * fee)
        fees = held.entry_fee + abs(held.size) * paid * fee
        pnl = held.size * (paid - held.price) - fees - held.funding
        run.trades.append(PlainTrade(held.bar, bar, held.size, held.price, paid, fees, held.funding, pnl, why))
        return rest

    for bar in range(1, last + 1):
        if held is not None and held.size < 0:
            hours = bars.time_ms[bar] // (8 * HOUR_MS) - bars.time_ms[bar - 1] // (8 * HOUR_MS)
            charge = hours * costs.short_funding_pct_per_8h / 100 * abs(held.size) * bars.open[bar]
            held.funding += charge
            money -= charge

        decided = bar - costs.latency_bars
        target = wanted[decided] if decided >= 0 else 0
        side = 0 if held is None else 1 if held.size > 0 else -1
        if target != side and bars.volume[bar] > 0:
            if held is not None:
                money, held = leave(bar, bars.open[bar], lost[bar], "signal"), None
            if target != 0 and money > 0:
                price = bars.open[bar] * (1 + target * lost[bar])
                size = math.floor(money * share / (price * (1 / costs.leverage + fee)) / SATOSHI) * SATOSHI
                if size > 0:
                    held = _Held(bar, target * size, price, size * price * fee)
                    money -= held.entry_fee

        if held is not None and (held.size < 0 or costs.leverage > 1):
            worst = bars.low[bar] if held.size > 0 else bars.high[bar]
            if money + held.size * (worst - held.price) - abs(held.size) * worst * fee <= 0:
                money, held = leave(bar, worst, 0.0, "liquidation"), None

        if held is not None and bar == last:
            money, held = leave(bar, bars.close[bar], lost[bar], "end"), None

        run.equity.append(money if held is None else money + held.size * (bars.close[bar] - held.price))
        if run.equity[-1] <= 0:
            run.equity += [0.0] * (last - bar)
            break
    return run


def lost_at_each_bar(bars: Bars, costs: TradingCosts, before: Bars | None = None) -> list[float]:
    """Return the share of the price that a fill at each bar's open loses."""
    early = 0 if before is None else len(before.close)
    whole = bars
    if before is not None:
        whole = Bars(
            before.time_ms + bars.time_ms, before.open + bars.open, before.high + bars.high, before.low + bars.low,
            before.close + bars.close, before.volume + bars.volume,
        )  # fmt: skip
    ranges = average_range(whole, 14)
    lost = []
    for t in range(early, len(whole.close)):
        stormy = ranges[t - 1] / whole.close[t - 1] if t and ranges[t - 1] is not None else 0.0
        share = costs.spread_pct / 2 / 100 + costs.slippage_pct / 100 + costs.slippage_atr_pct / 100 * stormy
        lost.append(min(share, 0.99))
    return lost
