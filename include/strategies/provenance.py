"""What a result was computed from."""

from __future__ import annotations

from typing import Any

from include.market.binance_wire import iso
from include.market.candles import Candles
from include.market.gaps import GapReport


def provenance(known: Candles, start_ms: int, end_ms: int) -> dict[str, Any]:
    """Return number, hash and gaps of the candles of `[start_ms, end_ms)`, as a JSON-able mapping.

    :param known: those and the warm-up before them; the hash is that of all. At least one lies in the period.
    """
    period = known.between(start_ms, end_ms)
    gaps = GapReport.of(period, start_ms, end_ms).to_dict()
    return {
        "candles": len(period),
        "warm_up_candles": len(known) - len(period),
        "sha256": known.sha256(),
        "first_candle": iso(int(period.open_time[0])),
        "last_candle": iso(int(period.open_time[-1])),
        "bars_without_volume": int((period.volume == 0).sum()),
        **{name: gaps[name] for name in ("expected", "missing", "missing_pct", "longest", "gaps")},
    }
