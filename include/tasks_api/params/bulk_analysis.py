"""Parameters of `bulk_analysis`.

Where the door is: a list that is none, is empty or names more than 5,000 symbols, an entry that is no text, or one
of more than 100 characters, is refused, since then nobody knows what was meant. A text that can be no symbol
(`BTC-USD`, `lower case`, other alphabets) is one symbol's failure: it is named in `failed_symbols`, and the others
are analysed. A line or text may hold several symbols, divided by commas or semicolons; empty entries are passed over.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import Timeframe, lower

MAX_SYMBOLS = 5_000
MAX_ENTRY = 100
"""Characters of an entry: long enough for every slip, short enough for 5,000 of them in a document."""

_SYMBOL = re.compile(r"[A-Z0-9]{5,20}\Z")
_DIVIDERS = re.compile(r"[,;\r\n\t]")


def _entries(value: object) -> object:
    """Return the entries of a list or text: stripped, upper-cased, printable, each once, in order."""
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list | tuple) or not all(isinstance(line, str) for line in lines):
        return value
    entries = (part.strip() for line in lines for part in _DIVIDERS.split(line))
    return tuple(dict.fromkeys(_normal(entry) for entry in entries if entry))


def _normal(entry: str) -> str:
    """Return an entry in capitals; of other alphabets as it is, since theirs may become A to Z; unprintable escaped."""
    shown = entry if entry.isprintable() else entry.encode("unicode_escape").decode("ascii")
    return shown.upper() if entry.isascii() and entry.isprintable() else shown


def _countable(value: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(value) <= MAX_SYMBOLS:
        raise ValueError(f"{len(value)} symbols")
    if any(len(entry) > MAX_ENTRY for entry in value):
        raise ValueError("an entry is too long")
    return value


Entries = Annotated[tuple[str, ...], BeforeValidator(_entries), AfterValidator(_countable)]


class BulkAnalysisParams(RunParams):
    """One look at many symbols with the deployed models."""

    symbols: Entries = Field(
        ("BTCUSDT", "ETHUSDT"),
        title="Symbols",
        description="Binance pairs, one per line or divided by commas; 1 to 5,000. Duplicates count once.",
        json_schema_extra={
            RULE: f"symbols must name 1 to {MAX_SYMBOLS:,} Binance pairs such as BTCUSDT, as a list or divided by "
            f"commas or lines, each of at most {MAX_ENTRY} characters",
            "minItems": 1,
        },
    )
    timeframe: Timeframe = Field(
        "1h",
        title="Timeframe",
        description="Length of a candle; models of that timeframe must be deployed.",
        json_schema_extra={RULE: "timeframe must be one of: 5m, 15m, 1h, 4h"},
    )
    model_type: Annotated[Literal["lstm", "gru", "transformer", "ensemble"], BeforeValidator(lower)] = Field(
        "ensemble",
        title="Network",
        description="Which deployed network to ask; ensemble is the mean of those that are deployed.",
        json_schema_extra={RULE: "model_type must be one of: lstm, gru, transformer, ensemble"},
    )
    min_confidence: float = Field(
        0.6,
        ge=0,
        le=1,
        title="Least confidence",
        description="Results below it are not listed. 0.5 lists all: it is the confidence of a coin.",
        json_schema_extra={RULE: "min_confidence must be >= 0.0 and <= 1.0"},
    )
    top_n: int = Field(
        10,
        ge=1,
        le=MAX_SYMBOLS,
        title="Results to list",
        description="At most so many, the most confident first.",
        json_schema_extra={RULE: f"top_n must be between 1 and {MAX_SYMBOLS}"},
    )

    @property
    def wanted(self) -> tuple[str, ...]:
        """The entries that can be symbols, in order."""
        return tuple(entry for entry in self.symbols if _SYMBOL.match(entry))

    @property
    def malformed(self) -> dict[str, str]:
        """The entries that can be no symbol, with the reason."""
        return {
            entry: f"Invalid trading symbol: {entry} is not 5 to 20 letters A-Z and digits; use one such as BTCUSDT"
            for entry in self.symbols
            if not _SYMBOL.match(entry)
        }

    def terms(self) -> dict[str, Any]:
        """Return what a result repeats of the request."""
        return {name: getattr(self, name) for name in ("timeframe", "model_type", "min_confidence", "top_n")}
