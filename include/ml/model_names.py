"""The names of model files: `{model_type}_{symbol}_{timeframe}_{YYYYmmdd_HHMMSS}.keras`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from include.errors import BadInputError

_NAME = re.compile(r"[a-z]+_[A-Z0-9]{2,20}_\d{1,2}[mh]_\d{8}_\d{6}\.keras")
ENCRYPTED_SUFFIX = ".enc"


def model_file_name(model_type: str, symbol: str, timeframe: str, at: datetime) -> str:
    """Return the name of the file of a model that was made at the second of `at` (timezone-aware)."""
    name = f"{model_type}_{symbol}_{timeframe}_{at.astimezone(UTC):%Y%m%d_%H%M%S}.keras"
    return check_model_file_name(name)


def next_second(at: datetime) -> datetime:
    """Return the next second, the name's time when this one's name is taken."""
    return at + timedelta(seconds=1)


def check_model_file_name(name: str) -> str:
    """Return `name` if it is the name of a model file.

    :raises BadInputError: for anything else, so that no path separator ever reaches the file system.
    """
    if not _NAME.fullmatch(name):
        raise BadInputError(
            f"Invalid model file name: {name!r}; it must look like lstm_BTCUSDT_1h_20251122_143022.keras"
        )
    return name
