"""One stack for the tests of this folder, as shipped but for what makes trainings short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.stack import Stack, running_stack

SHORT_TRAININGS = {
    # The chain retrains every configured symbol with the configured epochs: once and briefly is enough to see it.
    "TRADING_OPS_SYMBOLS": "BTCUSDT",
    "TRADING_OPS_RETRAIN_EPOCHS": "2",
    "TRADING_OPS_RETRAIN_DAYS": "30",
    # Two epochs are as good as the market of the day allows: whether they deploy is not what is tested here.
    "TRADING_OPS_MIN_DEPLOY_ACCURACY": "0.3",
    "TRADING_OPS_MIN_DEPLOY_SKILL": "-0.7",
}


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack; it ends with the folder's last test."""
    with running_stack(tmp_path_factory.mktemp("basic"), **SHORT_TRAININGS) as running:
        yield running
