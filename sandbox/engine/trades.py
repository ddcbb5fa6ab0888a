"""The engine's trades: a history that is the same at every request, and grows with time."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.envelope import NS_PER_S, rfc3339
from sandbox.engine.scenarios import WEEK_S, Pattern, Slot, scenario

FEE_RATE = 0.0004
HISTORY_WEEKS = 10
SYMBOLS = {"BTCUSDT": (67_000.0, 2), "ETHUSDT": (3_100.0, 2), "BNBUSDT": (610.0, 2), "SOLUSDT": (155.0, 2)}
STRATEGIES = ("rsi", "macd", "bollinger", "volume")
RELOADED_BEFORE_S = 2 * 86_400
"""The engine of the stand-in was restarted so long before the scenario was set."""

Trade = dict[str, Any]


@dataclass
class TradeBook:
    """All trades of the engine.

    The trades that close in the seven days before `since` and later follow `pattern`, earlier ones `before`:
    an old history that says something else than the last week.
    """

    pattern: Pattern = field(default_factory=lambda: scenario("good"))
    before: Pattern = field(default_factory=lambda: scenario("mediocre"))
    seed: int = 7
    now: Callable[[], float] = time.time
    since: float = 0.0
    custom: list[Trade] | None = None

    def __post_init__(self) -> None:
        """Fix the moment at which the scenario begins to be told."""
        self.since = self.since or self.now()

    def closed(self) -> list[Trade]:
        """Return every closed trade, in the engine's order.

        Trades from before its restart come first, newest first, with what a reload loses; the
        later ones follow in the order in which they closed.
        """
        if self.custom is not None:
            return [trade for trade in self.custom if trade["status"] == "Closed"]
        now, restart = self.now(), self.since - RELOADED_BEFORE_S
        trades = [self._trade(week, at, slot) for week, at, slot in self._slots(now)]
        reloaded = [trade for closes, trade in trades if closes < restart]
        recent = [trade for closes, trade in trades if closes >= restart]
        return [_reloaded(trade) for trade in reversed(reloaded)] + recent

    def open(self) -> list[Trade]:
        """Return the open trades: two, or the custom ones."""
        if self.custom is not None:
            return [trade for trade in self.custom if trade["status"] == "Open"]
        if not self.pattern.slots:
            return []
        return [_open_trade(position, self.since, self.seed) for position in range(2)]

    def _slots(self, now: float) -> list[tuple[int, int, Slot]]:
        """Return week, position and slot of all trades that closed by now, oldest first."""
        first_week = int((self.since - HISTORY_WEEKS * WEEK_S) // WEEK_S)
        told_from = self.since - WEEK_S
        result = []
        for week in range(first_week, int(now // WEEK_S) + 1):
            for pattern, later in ((self.before, False), (self.pattern, True)):
                for at, slot in enumerate(pattern.slots):
                    closes = week * WEEK_S + slot.closes_s
                    if (closes >= told_from) == later and closes <= now:
                        result.append((closes, (week, at, slot)))
        return [entry for _, entry in sorted(result, key=lambda pair: pair[0])]

    def _trade(self, week: int, at: int, slot: Slot) -> tuple[float, Trade]:
        closes = week * WEEK_S + slot.closes_s
        # The moment is part of the seed: in the week in which one pattern follows the other, both have a slot `at`.
        chance = random.Random(f"{self.seed}/{week}/{at}/{slot.closes_s}")
        return closes, closed_trade(closes, slot.return_pct, chance)


def closed_trade(closes: float, return_pct: float, chance: random.Random, notional: float | None = None) -> Trade:
    """Return a closed trade that earned `return_pct` percent of its notional (USDT), net of fees.

    `pnl_percentage` is the last tick's value, as in the engine: near the true return, sometimes with the
    other sign, sometimes 0.
    """
    symbol = chance.choice(list(SYMBOLS))
    price, digits = SYMBOLS[symbol]
    entry = round(price * chance.uniform(0.92, 1.08), digits)
    notional = chance.uniform(180.0, 420.0) if notional is None else notional
    quantity = round(notional / entry, 5)
    notional = entry * quantity
    pnl = notional * return_pct / 100
    fee = notional * FEE_RATE
    long = chance.random() < 0.6
    gross = pnl + 2 * fee
    exit_price = round(entry + (gross if long else -gross) / quantity, digits)
    held_s = chance.uniform(0.5, 9.0) * 3600
    close_ns = int(closes * NS_PER_S) + chance.randrange(1, 1000)
    open_ns = close_ns - int(held_s * NS_PER_S)
    reason = chance.choice(["TakeProfit", "TrailingStop", "AISignal"] if pnl > 0 else ["StopLoss", "AISignal"])
    return {
        "id": _uuid(chance),
        "symbol": symbol,
        "trade_type": "Long" if long else "Short",
        "status": "Closed",
        "entry_price": entry,
        "exit_price": exit_price,
        "quantity": quantity,
        "leverage": chance.choice([1, 2, 3, 5]),
        "stop_loss": round(entry * (0.97 if long else 1.03), digits),
        "take_profit": round(entry * (1.06 if long else 0.94), digits),
        "pnl": pnl,
        "pnl_percentage": _stale(return_pct, chance),
        "trading_fees": fee,
        "funding_fees": 0.0,
        "duration_ms": (close_ns - open_ns) // 1_000_000,
        "open_time": rfc3339(open_ns),
        "close_time": rfc3339(close_ns),
        "close_reason": reason,
        "ai_signal_id": _uuid(chance),
        "ai_confidence": round(chance.uniform(0.6, 0.92), 2),
    }


def _stale(return_pct: float, chance: random.Random) -> float:
    kind = chance.random()
    if kind < 0.04:
        return 0.0
    if kind < 0.14:
        return -return_pct * chance.uniform(0.1, 0.6)
    return return_pct + chance.uniform(-0.4, 0.4)


def _reloaded(trade: Trade) -> Trade:
    """Return what is left of a trade after a restart: milliseconds, no stops, no duration."""
    lost = {"stop_loss": None, "take_profit": None, "duration_ms": None}
    times = {name: _to_milliseconds(trade[name]) for name in ("open_time", "close_time")}
    return trade | lost | times


def _to_milliseconds(text: str) -> str:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    digits = fraction[:3]
    return f"{whole}.{digits}Z" if digits.strip("0") else f"{whole}Z"


def _open_trade(position: int, since: float, seed: int) -> Trade:
    chance = random.Random(f"{seed}/open/{position}")
    trade = closed_trade(since, 0.9 - position * 0.6, chance)
    opened_ns = int((since - chance.uniform(0.5, 3.0) * 3600) * NS_PER_S) + chance.randrange(1, 1000)
    unrealized_pct = trade["pnl"] / (trade["entry_price"] * trade["quantity"]) * 100
    return trade | {
        "status": "Open",
        "exit_price": None,
        "pnl_percentage": unrealized_pct,
        "duration_ms": None,
        "open_time": rfc3339(opened_ns),
        "close_time": None,
        "close_reason": None,
    }


def named(trade: Trade) -> Trade:
    """Return the trade with a strategy: its own (None stays None), else one that its id decides."""
    return {"strategy": STRATEGIES[int(trade["id"][:8], 16) % len(STRATEGIES)]} | trade


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def from_request(entry: Any, at: int, now: float) -> Trade:
    """Return a trade of a custom list.

    Either a whole trade (it has `id` and `status`), passed through as it is, or a short form: `return_pct` with
    `closed_hours_ago` (default: one hour per position) and `notional` (USDT), and any field of a trade to replace.

    :raises ValueError: when the entry is neither.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"trade {at} is not an object")
    if "id" in entry and "status" in entry:
        return entry
    if "return_pct" not in entry:
        raise ValueError(f"trade {at} has neither id and status nor return_pct")
    own = {name: value for name, value in entry.items() if name not in {"return_pct", "closed_hours_ago", "notional"}}
    closes = now - float(entry.get("closed_hours_ago", at + 1)) * 3600
    return closed_trade(closes, float(entry["return_pct"]), random.Random(f"custom/{at}"), entry.get("notional")) | own
