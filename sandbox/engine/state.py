"""Everything that the stand-in for the core engine remembers."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.defaults import BASIC_SETTINGS, INDICATOR_SETTINGS, STRATEGY_SETTINGS
from sandbox.engine.scenarios import scenario
from sandbox.engine.trades import STRATEGIES, Trade, TradeBook, from_request


@dataclass
class EngineState:
    """Trades, settings and switches; in memory, as most of the real engine's."""

    spec_endpoints: bool = False
    now: Callable[[], float] = time.time
    book: TradeBook = field(init=False)
    running: bool = True
    strategy_settings: dict[str, Any] = field(default_factory=lambda: deepcopy(STRATEGY_SETTINGS))
    indicator_settings: dict[str, Any] = field(default_factory=lambda: deepcopy(INDICATOR_SETTINGS))
    basic_settings: dict[str, Any] = field(default_factory=lambda: deepcopy(BASIC_SETTINGS))
    symbol_settings: dict[str, Any] = field(default_factory=dict)
    pending_orders: list[dict[str, Any]] = field(default_factory=list)
    disabled_strategies: set[str] = field(default_factory=set)
    pending_signals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STRATEGIES, 3))
    uptime_minutes: float | None = None
    started: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the good scenario."""
        self.started = self.now()
        self.book = TradeBook(now=self.now)

    def tell(self, body: dict[str, Any]) -> None:
        """Set the scenario: a `name` of `sandbox.engine.scenarios`, or a list `trades`.

        :raises ValueError: for an unknown name or key, or an unusable trade.
        """
        unknown = sorted(set(body) - {"name", "trades", "seed", "before"})
        if unknown:
            raise ValueError(f"unknown scenario key(s) {', '.join(unknown)}; known: name, trades, seed, before")
        seed = int(body.get("seed", 7))
        try:
            pattern = scenario(body.get("name", "good"), seed)
            before = scenario(body.get("before", "mediocre"), seed)
        except KeyError as error:
            raise ValueError(f"unknown scenario {error}; known: good, losing, mediocre, few, none") from None
        custom: list[Trade] | None = None
        if "trades" in body:
            custom = [from_request(entry, at, self.now()) for at, entry in enumerate(body["trades"])]
        self.book = TradeBook(pattern, before, seed, self.now, custom=custom)

    def restart(self) -> None:
        """Forget what a restart of the engine loses: settings go back to its file, disabled strategies trade again."""
        self.strategy_settings = deepcopy(STRATEGY_SETTINGS)
        self.indicator_settings = deepcopy(INDICATOR_SETTINGS)
        self.basic_settings = deepcopy(BASIC_SETTINGS)
        self.disabled_strategies = set()
        self.pending_signals = dict.fromkeys(STRATEGIES, 0)
        self.started = self.now()

    def uptime(self) -> float:
        """Return the minutes since the engine's start, or what was set."""
        return (self.now() - self.started) / 60 if self.uptime_minutes is None else self.uptime_minutes
