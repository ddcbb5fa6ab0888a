"""The stored result of an optimisation, from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.market.binance_wire import iso
from include.market.timeframes import DAY_MS
from include.strategies.daily import DailyEquity
from include.strategies.figures import WHY_NONE
from include.strategies.optimise.objective import ranked, score
from include.strategies.optimise.request import OptimisationRequest
from include.strategies.optimise.robustness import Robustness
from include.strategies.optimise.searching import Found
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment, Variation
from include.strategies.optimise.walk_forward import Stitched, WalkedWindow, efficiency, stability
from include.strategies.optimise.windows import Plan
from include.strategies.ratios import annual_return_pct

DECIMALS = 6
TOP = 10
NOTHING_CHOSEN = (
    "no variation has a value of the objective {objective} in the train part: none traded, or the figure has no value "
    "for those that did; choose a longer period, more variations or another objective"
)


@dataclass(frozen=True, eq=False)
class Parts:
    """All that an optimisation has found.

    :param tested: the chosen variation on the final test part.
    :param data: where the candles come from, and their gaps.
    """

    request: OptimisationRequest
    space: SearchSpace
    plan: Plan
    found: Found
    tested: Variation | None
    walked: tuple[WalkedWindow, ...]
    stitched: Stitched
    robustness: Robustness
    data: dict[str, Any]


def document(parts: Parts) -> dict[str, Any]:
    """Return the result as a JSON-able mapping: no number in it is NaN or infinite; one that has no value is None."""
    request, found, best = parts.request, parts.found, parts.found.best
    rows = [{"rank": i + 1, **variation.to_row()} for i, variation in enumerate(ranked(found.variations))]
    verdict = parts.robustness.verdict
    answer = {
        "status": "success",
        "strategy": request.strategy,
        "symbol": request.symbol,
        "timeframe": request.timeframe,
        "request": request.to_dict(),
        "method": request.method,
        "objective": request.objective,
        "total_variations_tested": len(found.variations),
        "search": {
            "combinations": len(parts.space.points),
            "whole_space": len(found.variations) == len(parts.space.points),
            "remembered": found.remembered,
            "runs": len(found.variations) * (1 + len(parts.walked)),
        },
        "verdict": verdict.word,
        "verdict_reasons": list(verdict.reasons),
        "best_parameters": best.parameters if best else None,
        "best_performance": _selected(parts, parts.plan.final.train, best),
        "no_choice_reason": None if best else NOTHING_CHOSEN.format(objective=request.objective),
        "out_of_sample": _selected(parts, parts.plan.final.test, parts.tested),
        "walk_forward": _walk_forward(parts),
        "robustness": {**parts.robustness.numbers, **verdict.to_dict()},
        "top_10_results": rows[:TOP],
        "all_results": rows,
        "data": parts.data,
    }
    plain: dict[str, Any] = rounded(answer)
    return plain


def _selected(parts: Parts, segment: Segment, variation: Variation | None) -> dict[str, Any] | None:
    if variation is None:
        return None
    return {**_dates(segment), **variation.figures, "objective": score(variation, parts.request.objective)}


def _walk_forward(parts: Parts) -> dict[str, Any]:
    stitched, cash = parts.stitched, parts.request.cash_usdt
    equity = stitched.equity(cash)
    value, reason = efficiency(parts.walked)
    outside = {
        "days": len(stitched.returns),
        "total_trades": stitched.trades,
        "total_return": stitched.total_return_pct,
        "annual_return_pct": annual_return_pct(cash, float(equity[-1]), len(equity)),
        "sharpe_ratio": stitched.sharpe,
        "max_drawdown": stitched.max_drawdown_pct,
        "gross_pnl_usdt": _gross_pnl_usdt(parts.walked, cash),
    }
    return {
        "anchored": parts.request.anchored,
        "embargo_days": parts.plan.embargo_days,
        "windows": [window.to_dict() for window in parts.walked],
        "out_of_sample": {
            **outside,
            "undefined": {name: WHY_NONE[name] for name, figure in outside.items() if figure is None},
        },
        "efficiency": value,
        "efficiency_reason": reason,
        "parameter_stability": stability(parts.walked, parts.space),
        "equity_curve": DailyEquity(stitched.day_ms, equity, cash).to_list(),
    }


def _gross_pnl_usdt(walked: Sequence[WalkedWindow], cash_usdt: float) -> float:
    """Return what the test parts, each begun with the cash, earned before fees, slippage and funding."""
    runs = [window.tested.figures for window in walked if window.tested]
    costs = ("fees_usdt", "slippage_usdt", "funding_usdt")
    return sum(run["final_equity_usdt"] - cash_usdt + sum(run[name] for name in costs) for run in runs)


def _dates(segment: Segment) -> dict[str, Any]:
    return {
        "start_date": iso(segment.start_ms)[:10],
        "end_date": iso(segment.end_ms)[:10],
        "days": (segment.end_ms - segment.start_ms) // DAY_MS,
    }


def rounded(value: Any) -> Any:
    """Return the value with every float in it rounded to 6 decimals."""
    if isinstance(value, float):
        return round(float(value), DECIMALS)
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
