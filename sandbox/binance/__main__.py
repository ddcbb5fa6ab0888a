"""`python -m sandbox.binance --port N`: the stand-in for Binance as a process."""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox.binance.app import BinanceService
from sandbox.kit.serve import parser, serve
from sandbox.market.clock import ClockError
from sandbox.market.source import MarketDataError, default_folder
from sandbox.market.view import open_view


def main() -> None:
    """Serve until told to end."""
    arguments = parser("Stand-in for Binance's public REST API")
    arguments.add_argument("--market-data-dir", type=Path, default=default_folder(), help="folder of *_1h.csv.gz")
    arguments.add_argument("--state-file", type=Path, help="keeps the shift and the clock over restarts")
    options = arguments.parse_args()
    try:
        view = open_view(options.market_data_dir, options.state_file)
    except (ClockError, MarketDataError) as error:
        sys.exit(f"sandbox binance: {error}")
    days = view.clock.ahead_ms() / 86_400_000
    print(f"sandbox binance: {view.describe()}; {days:.0f} days of candles lie ahead")
    serve("binance", BinanceService(view).app(), options)


if __name__ == "__main__":
    main()
