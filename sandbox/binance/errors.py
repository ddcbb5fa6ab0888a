"""Binance's error bodies: `{"code": -1121, "msg": "Invalid symbol."}`."""

from __future__ import annotations

from starlette.responses import JSONResponse


class BinanceError(Exception):
    """An answer with an error body."""

    def __init__(self, code: int, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.headers = code, message, status, headers or {}

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse(
            {"code": self.code, "msg": self.message},
            status_code=self.status,
            headers=self.headers,
            media_type="application/json;charset=UTF-8",
        )


def invalid_symbol() -> BinanceError:
    """A symbol that is not traded."""
    return BinanceError(-1121, "Invalid symbol.")


def invalid_interval() -> BinanceError:
    """An interval that does not exist."""
    return BinanceError(-1120, "Invalid interval.")


def missing(parameter: str) -> BinanceError:
    """A mandatory parameter was not sent, or is empty."""
    return BinanceError(-1102, f"Mandatory parameter '{parameter}' was not sent, was empty/null, or malformed.")


def illegal_characters(parameter: str, legal: str) -> BinanceError:
    """A parameter with characters outside of its legal range."""
    return BinanceError(-1100, f"Illegal characters found in parameter '{parameter}'; legal range is '{legal}'.")


def not_valid(parameter: str) -> BinanceError:
    """A parameter whose value is out of range."""
    return BinanceError(-1130, f"Data sent for parameter '{parameter}' is not valid.")


def unread(known: int, sent: int) -> BinanceError:
    """Parameters that the endpoint does not know."""
    return BinanceError(-1104, f"Not all sent parameters were read; read '{known}' parameter(s) but was sent '{sent}'.")


def too_much_weight(limit: int, retry_after_s: int) -> BinanceError:
    """The weight limit of the minute is used up."""
    message = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return BinanceError(-1003, message, 429, {"Retry-After": str(retry_after_s)})
