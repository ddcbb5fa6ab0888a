"""The demo starts its runs when the chain's own have ended: otherwise a retraining of the same symbol is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ops.demo.follow import ChainBrokenError
from ops.demo.quiet import CHAIN_DAGS, pending, wait_until_quiet
from tests.chain.conftest import Bundle

pytestmark = pytest.mark.slow

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SOME_DAY = datetime(2100, 1, 1, tzinfo=UTC)


def test_a_run_that_has_not_ended_is_waited_for(bundle: Bundle) -> None:
    run_id = bundle.start("gpt4_self_analysis")
    assert f"gpt4_self_analysis {run_id}" in pending(bundle.client, LONG_AGO)
    said: list[str] = []
    with pytest.raises(ChainBrokenError, match=run_id):
        wait_until_quiet(bundle.client, 0.0, said.append)
    assert len(said) == 1
    assert run_id in said[0]
    bundle.finish("gpt4_self_analysis", run_id)
    assert f"gpt4_self_analysis {run_id}" not in pending(bundle.client, LONG_AGO)


def test_a_scheduled_run_that_is_due_and_not_there_yet_is_waited_for(bundle: Bundle) -> None:
    due = {name.split()[0] for name in pending(bundle.client, SOME_DAY) if " of " in name}
    assert due == {"daily_performance_analysis", "gpt4_self_analysis"}
    assert due < set(CHAIN_DAGS), "adaptive_retrain has no schedule"
    assert not [name for name in pending(bundle.client, LONG_AGO) if " of " in name]


def test_a_scheduled_run_that_would_begin_during_the_demo_is_waited_for(bundle: Bundle) -> None:
    lasts = SOME_DAY - datetime.now(UTC)
    with pytest.raises(ChainBrokenError, match="daily_performance_analysis of "):
        wait_until_quiet(bundle.client, 0.0, lambda _: None, lasts)


def test_a_paused_dag_begins_nothing(bundle: Bundle) -> None:
    path = "/api/v2/dags/gpt4_self_analysis"
    bundle.client.request("PATCH", path, json={"is_paused": True})
    try:
        due = {name.split()[0] for name in pending(bundle.client, SOME_DAY) if " of " in name}
    finally:
        bundle.client.request("PATCH", path, json={"is_paused": False})
    assert due == {"daily_performance_analysis"}
