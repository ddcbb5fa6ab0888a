"""Which candles the sandbox has, in their original time, loaded when first asked for."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sandbox.market.bars import HOUR_MS, Bars, from_floats
from sandbox.market.fallback import END_MS, SYNTHETIC, eurusd_path, load_eurusd, synthetic

SUFFIX = "_1h.csv.gz"
REPOSITORY = Path(__file__).resolve().parent.parent.parent


class MarketDataError(ValueError):
    """A file of candles is not what it should be; the message names it."""


def default_folder() -> Path:
    """Return `MARKET_DATA_DIR`, or the folder that lies beside the repository on development machines."""
    return Path(os.environ.get("MARKET_DATA_DIR", REPOSITORY.parent / "shared" / "data" / "klines"))


@dataclass
class MarketSource:
    """Hourly candles by symbol: the files of a folder, or the fallback when it has none."""

    folder: Path | None
    _loaded: dict[str, Bars] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look once which files there are."""
        found = sorted(self.folder.glob("*" + SUFFIX)) if self.folder and self.folder.is_dir() else []
        self._files = {path.name.removesuffix(SUFFIX): path for path in found}
        self._eurusd = None if self._files else eurusd_path()

    @property
    def is_real(self) -> bool:
        """Whether the candles come from the folder."""
        return bool(self._files)

    @property
    def symbols(self) -> list[str]:
        """The symbols that have candles."""
        if self._files:
            return list(self._files)
        return [*SYNTHETIC, *(["EURUSDT"] if self._eurusd else [])]

    @property
    def end_ms(self) -> int:
        """Where the series end (exclusive), in original time: the earliest end of all, for the first symbols."""
        return int(self.hours(self.symbols[0]).open_time[-1]) + HOUR_MS if self._files else END_MS

    def hours(self, symbol: str) -> Bars:
        """Return all hourly candles of a symbol in their original time.

        :raises KeyError: for a symbol without candles.
        :raises MarketDataError: when its file cannot be read.
        """
        if symbol not in self._loaded:
            if symbol in self._files:
                self._loaded[symbol] = _read(self._files[symbol])
            elif symbol not in self.symbols:
                raise KeyError(symbol)
            elif symbol == "EURUSDT" and self._eurusd:
                self._loaded[symbol] = load_eurusd(self._eurusd)
            else:
                self._loaded[symbol] = synthetic(symbol)
        return self._loaded[symbol]

    def describe(self) -> str:
        """Return which data this is, without its shift."""
        if self._files:
            hours = self.hours(self.symbols[0])
            first, last = (str(np.datetime64(int(t), "ms"))[:4] for t in hours.open_time[[0, -1]])
            return f"real Binance candles {first}-{last}"
        eurusd = "real EURUSD of backtesting.py as EURUSDT on consecutive hours, and " if self._eurusd else ""
        return f"fallback: {eurusd}seeded synthetic random walks"


def _read(path: Path) -> Bars:
    try:
        with gzip.open(path, "rt") as file:
            header = file.readline().strip()
            if header != "open_time,open,high,low,close,volume":
                raise MarketDataError(f"{path} begins with {header!r}: expected open_time,open,high,low,close,volume")
            table = np.loadtxt(file, delimiter=",", dtype=np.float64, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise MarketDataError(f"{path} cannot be read ({error}): replace the file") from error
    return from_floats(table[:, 0].astype(np.int64), table[:, 1:])
