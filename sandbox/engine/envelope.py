"""The core engine's answers on the wire: envelopes, timestamps, and warp's own errors."""

from __future__ import annotations

import math
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

NS_PER_S = 1_000_000_000


def rfc3339(time_ns: int) -> str:
    """Return a time as chrono's serde writes it: UTC, `Z`, and 0, 3, 6 or 9 fraction digits as needed."""
    seconds, fraction = divmod(time_ns, NS_PER_S)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    if not fraction:
        return text + "Z"
    digits = f"{fraction:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def plain(data: Any, error: str | None = None) -> Response:
    """Return the envelope of `/api/health`, `/api/market/*`, `/api/monitoring/*`: always HTTP 200."""
    return JSONResponse({"success": error is None, "data": _without_nan(data), "error": error})


def stamped(data: Any, error: str | None = None, status: int = 200) -> Response:
    """Return the envelope of `/api/paper-trading/*`, which also has a timestamp."""
    body = {
        "success": error is None,
        "data": _without_nan(data),
        "error": error,
        "timestamp": rfc3339(time.time_ns()),
    }
    return JSONResponse(body, status_code=status)


def _without_nan(data: Any) -> Any:
    """Write NaN and infinity as null, as serde_json does."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_without_nan(value) for value in data]
    return data


async def warp_rejection(_: Request, error: Any) -> Response:
    """Answer as warp does without a rejection handler: never JSON, 404 with no body and no content type."""
    if error.status_code == 405:
        return PlainTextResponse("HTTP method not allowed", status_code=405)
    return Response(status_code=404)


def invalid_query() -> Response:
    """Return warp's answer to a query value that cannot be parsed."""
    return PlainTextResponse("Invalid query string", status_code=400)


def body_error(detail: str) -> Response:
    """Return warp's answer to a body that lacks a field or has a wrong type."""
    return PlainTextResponse(f"Request body deserialize error: {detail}", status_code=400)
