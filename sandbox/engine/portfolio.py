"""The portfolio object, computed from the trades as the engine computes it."""

from __future__ import annotations

import math
import statistics
from datetime import datetime

from sandbox.engine.trades import Trade

INITIAL_BALANCE = 10_000.0


def portfolio(closed: list[Trade], opened: list[Trade]) -> dict[str, float | int | None]:
    """Return the sixteen keys.

    Traps of the original, kept: `total_trades` counts open trades too and dilutes `win_rate`; the Sharpe
    ratio is mean over deviation of returns on margin, not annualised; `profit_factor` is average win over
    average loss, infinite (null on the wire) without a loss.
    """
    closed = [trade for trade in closed if _is_usable(trade)]
    opened = [trade for trade in opened if _is_usable(trade)]
    in_order = sorted(closed, key=lambda trade: datetime.fromisoformat(trade["close_time"] or trade["open_time"]))
    pnls = [float(trade["pnl"]) for trade in in_order]
    wins, losses = [pnl for pnl in pnls if pnl > 0], [-pnl for pnl in pnls if pnl < 0]
    realized = math.fsum(pnls)
    unrealized = math.fsum(float(trade["pnl"] or 0.0) for trade in opened)
    margin = math.fsum(_margin(trade) for trade in opened)
    total = len(closed) + len(opened)
    drawdown, drawdown_pct = _drawdown(pnls)
    average_win = statistics.fmean(wins) if wins else 0.0
    average_loss = statistics.fmean(losses) if losses else 0.0
    equity = INITIAL_BALANCE + realized + unrealized
    return {
        "total_trades": total,
        "win_rate": len(wins) / total * 100 if total else 0.0,
        "total_pnl": realized + unrealized,
        "total_pnl_percentage": (realized + unrealized) / INITIAL_BALANCE * 100,
        "max_drawdown": drawdown,
        "max_drawdown_percentage": drawdown_pct,
        "sharpe_ratio": _sharpe(in_order),
        "profit_factor": _profit_factor(average_win, average_loss),
        "average_win": average_win,
        "average_loss": average_loss,
        "largest_win": max(wins, default=0.0),
        "largest_loss": max(losses, default=0.0),
        "current_balance": INITIAL_BALANCE + realized,
        "equity": equity,
        "margin_used": margin,
        "free_margin": equity - margin,
    }


def _is_usable(trade: Trade) -> bool:
    """Whether a trade has its numbers: a custom one may be corrupt on purpose."""
    numbers = [trade.get(name) for name in ("pnl", "entry_price", "quantity", "leverage")]
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)


def _margin(trade: Trade) -> float:
    return float(trade["entry_price"]) * float(trade["quantity"]) / max(1, int(trade["leverage"]))


def _sharpe(trades: list[Trade]) -> float:
    returns = [float(trade["pnl"]) / _margin(trade) for trade in trades if _margin(trade) > 0]
    if len(returns) < 2:
        return 0.0
    deviation = statistics.pstdev(returns)
    return statistics.fmean(returns) / deviation if deviation else 0.0


def _profit_factor(average_win: float, average_loss: float) -> float:
    if average_loss:
        return average_win / average_loss
    return math.inf if average_win else 0.0


def _drawdown(pnls: list[float]) -> tuple[float, float]:
    """Return the deepest fall of the realized equity below its peak, in USDT and in percent of the peak."""
    equity = peak = INITIAL_BALANCE
    deepest, deepest_pct = 0.0, 0.0
    for pnl in pnls:
        equity += pnl
        peak = max(peak, equity)
        deepest = max(deepest, peak - equity)
        deepest_pct = max(deepest_pct, (peak - equity) / peak * 100)
    return deepest, deepest_pct
