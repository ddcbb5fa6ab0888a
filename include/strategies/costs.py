"""What trading costs and how orders are carried out: the assumptions of a backtest, stored with its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from include.errors import BadInputError

LIMITS: dict[str, tuple[float, float]] = {
    "fee_pct": (0, 5),
    "spread_pct": (0, 10),
    "slippage_pct": (0, 10),
    "slippage_atr_pct": (0, 100),
    "latency_bars": (1, 100),
    "leverage": (1, 125),
    "position_pct": (1, 100),
    "short_funding_pct_per_8h": (-5, 5),
}
"""Lowest and highest value of each assumption, both allowed."""


@dataclass(frozen=True)
class TradingCosts:
    """How a decision becomes a fill, and what the fill costs. All percentages are of the traded value.

    :param fee_pct: fee of each fill (Binance's spot taker: 0.1).
    :param spread_pct: between bid and ask; half of it is lost at each fill.
    :param slippage_pct: lost at each fill on top.
    :param slippage_atr_pct: lost at each fill on top, in percent of the average true range (14 bars) known before it:
        a stormy market fills worse.
    :param latency_bars: bars between the close that decides and the open that fills; 1 is the next open.
    :param leverage: position value that a unit of equity may carry.
    :param position_pct: share of the available margin that a position uses.
    :param short_funding_pct_per_8h: what a short pays at 00:00, 08:00 and 16:00 UTC, of its value; negative: receives.
    """

    fee_pct: float = 0.1
    spread_pct: float = 0.02
    slippage_pct: float = 0.02
    slippage_atr_pct: float = 1.0
    latency_bars: int = 1
    leverage: float = 1.0
    position_pct: float = 100.0
    short_funding_pct_per_8h: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what the broker could not carry out."""
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInputError(f"{name} must be between {low} and {high}, got {value}")
        if self.latency_bars != int(self.latency_bars):
            raise BadInputError(f"latency_bars must be a whole number, got {self.latency_bars}")
        round_trip_pct = self.leverage * (2 * self.fee_pct + self.spread_pct + 2 * self.slippage_pct)
        if round_trip_pct >= 100:
            raise BadInputError(
                f"leverage must be below {100 * self.leverage / round_trip_pct:.4g} with these costs, got "
                f"{self.leverage}: getting in and out again would cost {round_trip_pct:.4g} % of the account"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the assumptions as a JSON-able mapping."""
        return asdict(self)
