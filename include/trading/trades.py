"""Closed trades: read strictly, de-duplicated, filtered by the time they closed.

A trade whose numbers cannot be believed is never dropped in silence: a metric without it would be
wrong, and nobody would know. It is refused when it may belong to the span that was asked for, and
counted in the log when it surely closed before.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from include.errors import MalformedAnswerError
from include.trading.strategy_names import canonical_name
from include.trading.timestamps import parse_rfc3339

log = logging.getLogger(__name__)

ReturnSource = Literal["pnl", "pnl_percentage", "profit_percent", "profit_pct"]
PERCENT_FIELDS: tuple[ReturnSource, ...] = get_args(ReturnSource)[1:]
"""Where the return is read when it cannot be computed from `pnl`, in this order."""

MAX_RETURN_PCT = 100_000.0
MAX_MAGNITUDE = 1e15
"""No price, quantity, profit or return of a real trade is larger; beyond it sums lose their cents."""


@dataclass(frozen=True)
class Trade:
    """One closed trade.

    `return_pct` is in percent of the unleveraged notional, after fees: `pnl / (entry_price * quantity)
    * 100`, because the engine's own `pnl_percentage` is that of the last price tick *before* the exit.
    `return_source` says whether it was computed so ("pnl") or read from a field.
    `pnl_usdt` is None when the service did not say it. Times are aware UTC.
    `strategy` is the strategy's canonical name (`include.trading.strategy_names`), None where the engine does not
    say it; the shipped engine never does.
    """

    id: str
    symbol: str
    close_time: datetime
    open_time: datetime | None
    return_pct: float
    return_source: ReturnSource
    pnl_usdt: float | None
    strategy: str | None = None

    @property
    def won(self) -> bool:
        """Whether the trade earned anything after fees."""
        return self._result > 0

    @property
    def lost(self) -> bool:
        """Whether the trade cost anything after fees; one that ended at zero neither won nor lost."""
        return self._result < 0

    @property
    def _result(self) -> float:
        return self.return_pct if self.pnl_usdt is None else self.pnl_usdt


def parse_trade(row: object) -> Trade:
    """Return the trade that one element of the engine's answer describes.

    :raises MalformedAnswerError: naming the trade, the field and its value: no id, symbol or close
        time; a number that is text, NaN or infinite; a price or quantity that is not above zero; a
        close before the open; a trade that is still open; no field that gives the return.
    """
    if not isinstance(row, dict):
        raise MalformedAnswerError(f"a trade must be a JSON object, not {row!r:.100}")
    name = f"trade {row.get('id')!r:.60}"
    status = row.get("status", "Closed")
    if status != "Closed":
        raise MalformedAnswerError(f"{name} has status {status!r:.40} in the list of closed trades")
    close_time = _time(row, "close_time", name)
    open_time = None if row.get("open_time") is None else _time(row, "open_time", name)
    if open_time is not None and close_time < open_time:
        raise MalformedAnswerError(f"{name} closed at {close_time} before it was opened at {open_time}")
    pnl_usdt = _number(row, "pnl", name)
    return_pct, source = _return_pct(row, pnl_usdt, name)
    return Trade(
        id=_text(row, "id", name),
        symbol=_text(row, "symbol", name),
        close_time=close_time,
        open_time=open_time,
        return_pct=return_pct,
        return_source=source,
        pnl_usdt=pnl_usdt,
        strategy=_strategy(row, name),
    )


def parse_trades(rows: Sequence[object], since: datetime | None = None) -> list[Trade]:
    """Return the trades sorted by close time, each id once.

    :param since: aware UTC; a malformed trade that provably closed earlier is logged instead of refused,
        so that one broken record of last year does not blind the analysis for ever.
    :raises MalformedAnswerError: naming up to three malformed trades and how many there are; or two
        records of one id that disagree about the money.
    """
    trades: dict[str, Trade] = {}
    problems: list[str] = []
    ignored = 0
    for row in rows:
        try:
            trade = parse_trade(row)
            known = trades.setdefault(trade.id, trade)
            if _account(known) != _account(trade):
                raise MalformedAnswerError(f"trade {trade.id!r:.60} comes twice with different numbers")
        except MalformedAnswerError as error:
            if since is not None and _closed_before(row, since):
                ignored += 1
            else:
                problems.append(str(error))
    if problems:
        raise MalformedAnswerError(
            f"{len(problems)} of {len(rows)} trades cannot be believed, so no figure is computed from them: "
            f"{'; '.join(problems[:3])}; correct them in the engine"
        )
    if ignored:
        log.warning("%d malformed trades closed before %s and do not matter here", ignored, since)
    return sorted(trades.values(), key=lambda trade: (trade.close_time, trade.id))


def closed_between(trades: Iterable[Trade], start: datetime, end: datetime) -> list[Trade]:
    """Return the trades with `start <= close_time < end`, oldest first (aware datetimes)."""
    chosen = [trade for trade in trades if start <= trade.close_time < end]
    return sorted(chosen, key=lambda trade: (trade.close_time, trade.id))


def _account(trade: Trade) -> tuple[object, ...]:
    """What two records of one trade must agree on."""
    return trade.pnl_usdt, trade.return_pct, trade.symbol, trade.strategy


def _return_pct(row: dict[str, Any], pnl_usdt: float | None, name: str) -> tuple[float, ReturnSource]:
    entry_price = _number(row, "entry_price", name)
    quantity = _number(row, "quantity", name)
    for field, value in (("entry_price", entry_price), ("quantity", quantity)):
        if value is not None and value <= 0:
            raise MalformedAnswerError(f"{name} has {field} {value}, which is not above zero")
    if pnl_usdt is not None and entry_price is not None and quantity is not None:
        notional = entry_price * quantity
        computed = pnl_usdt / notional * 100 if notional > 0 else math.inf
        if not abs(computed) <= MAX_RETURN_PCT:
            raise MalformedAnswerError(f"{name}: {pnl_usdt} / ({entry_price} * {quantity}) is no believable return")
        return computed, "pnl"
    for source in PERCENT_FIELDS:
        percent = _number(row, source, name)
        if percent is not None:
            if abs(percent) > MAX_RETURN_PCT:
                raise MalformedAnswerError(f"{name} has {source} {percent}, which is no believable return")
            return percent, source
    raise MalformedAnswerError(
        f"{name} gives no return: it lacks pnl, entry_price or quantity, and also {', '.join(PERCENT_FIELDS)}"
    )


def _closed_before(row: object, since: datetime) -> bool:
    try:
        return isinstance(row, dict) and _time(row, "close_time", "trade") < since
    except MalformedAnswerError:
        return False


def _number(row: dict[str, Any], field: str, name: str) -> float | None:
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedAnswerError(f"{name} has {field} {value!r:.60}, which is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MalformedAnswerError(f"{name} has {field} {value!r:.60}, which is not finite")
    if abs(number) > MAX_MAGNITUDE:
        raise MalformedAnswerError(f"{name} has {field} {value!r:.60}, which is beyond every real trade")
    return number


def _text(row: dict[str, Any], field: str, name: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise MalformedAnswerError(f"{name} has {field} {value!r:.60}, which is not a non-empty text")
    return value


def _strategy(row: dict[str, Any], name: str) -> str | None:
    value = row.get("strategy")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return canonical_name(_text(row, "strategy", name))


def _time(row: dict[str, Any], field: str, name: str) -> datetime:
    value = row.get(field)
    try:
        return parse_rfc3339(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise MalformedAnswerError(
            f"{name} has {field} {value!r:.60}, which is not an RFC 3339 time with a zone"
        ) from None
