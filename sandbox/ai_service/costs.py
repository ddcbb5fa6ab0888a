"""The body of `/ai/cost/statistics`: session counters, and projections made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VND_PER_USD = 23_000
INTERVAL_MINUTES = 15
SYMBOLS_TRACKED = 4


@dataclass
class SessionCosts:
    """What the AI service counted since its process started."""

    requests: int = 10
    input_tokens: int = 4000
    output_tokens: int = 900
    cost_usd: float = 0.0123
    daily_projection_usd: float | None = None
    """Overrides the computed projection of a day."""


def cost_statistics(costs: SessionCosts, timestamp: str) -> dict[str, Any]:
    """Return the body.

    The projection is the average cost of a call times the calls of a day if every tracked symbol were
    analysed every interval: hypothetical, as in the real service.
    """
    tokens = costs.input_tokens + costs.output_tokens
    average = costs.cost_usd / costs.requests if costs.requests else 0.0
    daily = average * SYMBOLS_TRACKED * (24 * 60 // INTERVAL_MINUTES)
    if costs.daily_projection_usd is not None:
        daily = costs.daily_projection_usd
    monthly = daily * 30
    return {
        "session_statistics": {
            "total_requests": costs.requests,
            "total_input_tokens": costs.input_tokens,
            "total_output_tokens": costs.output_tokens,
            "total_tokens": tokens,
            "total_cost_usd": round(costs.cost_usd, 4),
            "total_cost_vnd": float(round(costs.cost_usd * VND_PER_USD)),
            "average_cost_per_request_usd": round(average, 6),
            "average_tokens_per_request": round(tokens / costs.requests, 1) if costs.requests else 0.0,
        },
        "projections": {
            "estimated_daily_cost_usd": round(daily, 3),
            "estimated_daily_cost_vnd": float(round(daily * VND_PER_USD)),
            "estimated_monthly_cost_usd": round(monthly, 2),
            "estimated_monthly_cost_vnd": float(round(monthly * VND_PER_USD)),
        },
        "configuration": {
            "model": "grok-4-1-fast-non-reasoning",
            "analysis_interval_minutes": INTERVAL_MINUTES,
            "symbols_tracked": SYMBOLS_TRACKED,
            "cache_duration_minutes": 15,
            "max_tokens": 1200,
            "input_cost_per_1m_tokens": 0.2,
            "output_cost_per_1m_tokens": 0.5,
        },
        "optimization_status": {
            "cache_optimized": True,
            "interval_optimized": True,
            "prompt_optimized": True,
            "max_tokens_optimized": True,
            "estimated_savings_percent": 63,
        },
        "timestamp": timestamp,
    }
