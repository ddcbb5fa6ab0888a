"""What `backtest_strategy` and `optimize_strategy` ask alike: strategy, candles, account and costs of trading."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from include.errors import BadInputError
from include.market.timeframes import DAY_MS, MAX_RANGE_BARS, bars_per_day
from include.strategies.costs import LIMITS, TradingCosts
from include.strategies.registry import strategy_names
from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import Symbol, Timeframe, lower

WHAT, ACCOUNT, COSTS = None, "Account", "Costs of trading"
"""Sections of the form; the first has no name of its own, since Airflow opens only that one."""

FIRST_DAY = date(2017, 7, 14)
"""Binance opened: no candle is older."""

MAX_CASH_USDT = 1_000_000_000


def form(section: str | None, rule: str, **more: Any) -> dict[str, Any]:
    """Return what the form and the messages need beside pydantic's own schema."""
    return {RULE: rule, **({"section": section} if section else {}), **more}


def _strategy(value: str) -> str:
    if value not in strategy_names():
        raise ValueError("unknown strategy")
    return value


Strategy = Annotated[str, BeforeValidator(lower), AfterValidator(_strategy)]


def _day(value: str) -> str:
    # `fromisoformat` alone also takes 20240131 and 2024-W05-3.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) or date.fromisoformat(value) < FIRST_DAY:
        raise ValueError("no day")
    return value


Day = Annotated[str, AfterValidator(_day)]


def day_ms(day: str) -> int:
    """Return the midnight (UTC) that a day such as `2024-01-31` begins with, in milliseconds since the epoch."""
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp()) * 1000


def _date_field(title: str, description: str, rule: str) -> Any:
    # Required: there is no default day. The form's date picker wants "no day yet" to be null.
    extra = form(WHAT, rule, type=["string", "null"], format="date", default=None)
    return Field("", validate_default=True, title=title, description=description, json_schema_extra=extra)


def _cost(name: str, section: str, title: str, description: str) -> Any:
    """Return the field of one of :class:`TradingCosts`' assumptions; default and limits are its own."""
    low, high = LIMITS[name]
    default = getattr(TradingCosts, name)
    rule = f"{name} must be {'a whole number ' if isinstance(default, int) else ''}from {low} to {high}"
    return Field(
        default, ge=low, le=high, title=title, description=description,
        json_schema_extra=form(section, rule),
    )  # fmt: skip


class StrategyLabParams(RunParams):
    """A strategy on the candles of some days, and the terms of trading."""

    strategy_name: Strategy = Field(
        "rsi",
        title="Strategy",
        description="The trading rule; docs/backtests.md says when each enters and leaves.",
        json_schema_extra=form(
            WHAT,
            f"strategy_name must be one of: {', '.join(strategy_names())}",
            enum=list(strategy_names()),
            values_display={name: name.upper() if len(name) <= 4 else name.title() for name in strategy_names()},
        ),
    )
    symbol: Symbol = Field(
        "BTCUSDT",
        title="Symbol",
        description="A Binance trading pair.",
        json_schema_extra=form(
            WHAT,
            "Invalid trading symbol: use a Binance pair such as BTCUSDT",
            examples=["BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT", "LINKUSDT", "LTCUSDT", "XRPUSDT", "DOGEUSDT"],
        ),
    )
    timeframe: Timeframe = Field(
        "1h",
        title="Timeframe",
        description="Length of a candle; the strategy decides at the end of each.",
        json_schema_extra=form(
            WHAT,
            "timeframe must be one of: 5m, 15m, 1h, 4h",
            values_display={"5m": "5 minutes", "15m": "15 minutes", "1h": "1 hour", "4h": "4 hours"},
        ),
    )
    start_date: Day = _date_field(
        "First day",
        "Trading begins at 00:00 UTC of that day. Candles before it are loaded for the indicators. Required.",
        f"start_date is required: a day such as 2024-01-31, not before {FIRST_DAY}, and before end_date",
    )
    end_date: Day = _date_field(
        "End",
        "The first day after the period (UTC), today at the latest. Missing candles are fetched. Required.",
        "end_date is required: the first day after the period, such as 2024-07-31, not in the future",
    )
    initial_cash_usdt: float = Field(
        10_000.0,
        ge=1,
        le=MAX_CASH_USDT,
        title="Initial cash (USDT)",
        description=f"What the account begins with, 1 to {MAX_CASH_USDT:,}. Parts of a coin can be traded.",
        json_schema_extra=form(ACCOUNT, f"initial_cash_usdt must be from 1 to {MAX_CASH_USDT}"),
    )
    direction: Literal["both", "long", "short"] = Field(
        "both",
        title="Direction",
        description="Which positions are allowed. Shorting needs margin or futures.",
        json_schema_extra=form(
            ACCOUNT,
            "direction must be one of: both, long, short",
            values_display={"both": "Long and short", "long": "Long only", "short": "Short only"},
        ),
    )
    position_pct: float = _cost(
        "position_pct", ACCOUNT, "Position size (%)", "Share of the available margin that a position uses, 1 to 100."
    )
    leverage: float = _cost(
        "leverage", ACCOUNT, "Leverage", "Position value that a unit of equity may carry, 1 to 125. 1: none."
    )
    fee_pct: float = _cost("fee_pct", COSTS, "Fee (%)", "Of the value of each fill. Binance's spot taker: 0.1.")
    spread_pct: float = _cost("spread_pct", COSTS, "Spread (%)", "Between bid and ask; half is lost at each fill.")
    slippage_pct: float = _cost("slippage_pct", COSTS, "Slippage (%)", "Lost at each fill on top, always.")
    slippage_atr_pct: float = _cost(
        "slippage_atr_pct",
        COSTS,
        "Slippage in a storm (% of the range)",
        "Lost at each fill on top: so many percent of the average true range of the 14 bars before.",
    )
    latency_bars: int = _cost(
        "latency_bars", COSTS, "Latency (bars)", "From the close that decides to the open that fills; 1: the next open."
    )
    short_funding_pct_per_8h: float = _cost(
        "short_funding_pct_per_8h",
        COSTS,
        "Funding of shorts (% per 8 h)",
        "What a short pays at 00:00, 08:00 and 16:00 UTC, of its value. Negative: it receives.",
    )
    seed: int = Field(
        7,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Of everything that draws lots. Same seed, candles and versions: same result.",
        json_schema_extra=form(ACCOUNT, "seed must be from 0 to 2147483647"),
    )

    @field_validator("end_date")
    @classmethod
    def _period(cls, end: str, info: ValidationInfo) -> str:
        start, timeframe = info.data.get("start_date"), info.data.get("timeframe")
        if start is None:
            return end
        if end <= start:
            raise BadInputError(
                f"end_date must lie after start_date, got {start} to {end}; end_date is the first day after the period"
            )
        days = (day_ms(end) - day_ms(start)) // DAY_MS
        if timeframe is not None and days * bars_per_day(timeframe) > MAX_RANGE_BARS:
            raise BadInputError(
                f"end_date must lie at most {MAX_RANGE_BARS // bars_per_day(timeframe):,} days after start_date "
                f"(timeframe {timeframe}), got {start} to {end}: choose a shorter period or a longer timeframe"
            )
        return end

    @property
    def start_ms(self) -> int:
        """Begin of the period, in milliseconds since the epoch (UTC)."""
        return day_ms(self.start_date)

    @property
    def end_ms(self) -> int:
        """End of the period, exclusive."""
        return day_ms(self.end_date)

    @property
    def costs(self) -> TradingCosts:
        """The terms of trading."""
        return TradingCosts(**{name: getattr(self, name) for name in LIMITS})
