"""The body of `/api/v3/exchangeInfo`, in the shape that the real service sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.binance.weight import WEIGHT_LIMIT

QUOTE = "USDT"

# Tick size, step size and largest market order, as listed; other pairs get the middle ones.
_SIZES = {
    "BTCUSDT": ("0.01000000", "0.00001000", "1000000.00000000", "9000.00000000", "119.27356195"),
    "ETHUSDT": ("0.01000000", "0.00010000", "1000000.00000000", "9000.00000000", "2446.53886333"),
    "SOLUSDT": ("0.01000000", "0.00100000", "10000.00000000", "90000.00000000", "70751.52192083"),
    "BNBUSDT": ("0.01000000", "0.00100000", "100000.00000000", "900000.00000000", "3817.09280000"),
    "LTCUSDT": ("0.01000000", "0.00100000", "100000.00000000", "90000.00000000", "21714.91350000"),
    "LINKUSDT": ("0.01000000", "0.01000000", "10000.00000000", "90000.00000000", "151245.20000000"),
    "XRPUSDT": ("0.00010000", "0.10000000", "10000.00000000", "9222449.00000000", "3019530.00000000"),
    "ADAUSDT": ("0.00010000", "0.10000000", "1000.00000000", "900000.00000000", "4518870.00000000"),
    "DOGEUSDT": ("0.00001000", "1.00000000", "1000.00000000", "9000000.00000000", "33254510.00000000"),
}
_OTHER = ("0.00010000", "0.10000000", "10000.00000000", "900000.00000000", "900000.00000000")


def exchange_info(symbols: Sequence[str], now_ms: int) -> dict[str, Any]:
    """Return the whole body for some symbols."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_LIMIT),
            _limit("ORDERS", "SECOND", 10, 100),
            _limit("ORDERS", "DAY", 1, 200_000),
            _limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [_symbol(symbol) for symbol in symbols],
    }


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _symbol(symbol: str) -> dict[str, Any]:
    switches = {
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
    }
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix(QUOTE),
        "baseAssetPrecision": 8,
        "quoteAsset": QUOTE,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [
            "LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT",
        ],
        **switches,
        "filters": _filters(*_SIZES.get(symbol, _OTHER)),
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"],
    }  # fmt: skip


def _filters(tick: str, step: str, max_price: str, max_quantity: str, max_market: str) -> list[dict[str, Any]]:
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": max_price, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": max_quantity, "stepSize": step},
        {"filterType": "ICEBERG_PARTS", "limit": 100},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": max_market, "stepSize": "0.00000000"},
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "1.2",
            "bidMultiplierDown": "0.5",
            "askMultiplierUp": "2",
            "askMultiplierDown": "0.8",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
    ]
