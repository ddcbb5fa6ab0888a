"""`python -m sandbox.engine --port N`: the stand-in for the core engine as a process."""

from __future__ import annotations

from pathlib import Path

from sandbox.engine.app import EngineService
from sandbox.kit.serve import parser, serve


def main() -> None:
    """Serve until told to end."""
    arguments = parser("Stand-in for the bot's core engine")
    arguments.add_argument("--market-data-dir", type=Path, help="folder of *_1h.csv.gz (default: MARKET_DATA_DIR)")
    arguments.add_argument("--state-file", type=Path, help="shift and clock of the environment's candles")
    arguments.add_argument("--spec-endpoints", action="store_true", help="add what only the specification has")
    options = arguments.parse_args()
    service = EngineService(options.market_data_dir, options.state_file, options.spec_endpoints)
    serve("engine", service.app(), options)


if __name__ == "__main__":
    main()
