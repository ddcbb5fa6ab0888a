"""One stack for the tests of this folder, without schedules: what is measured is what the tests start.

Beside the shipped bundle it has one with a DAG whose task does nothing, to compare with (`bundle/`).
"""

from __future__ import annotations

import json
from configparser import RawConfigParser
from pathlib import Path

import pytest

from ops.run_dir import REPOSITORY
from tests.stack.stack import OneStack, Stack

BUNDLE = Path(__file__).resolve().parent / "bundle"


def bundles() -> str:
    """Return the shipped list of bundles, and ours."""
    config = RawConfigParser()
    config.read(REPOSITORY / "airflow.cfg")
    (shipped,) = json.loads(config["dag_processor"]["dag_bundle_config_list"])
    return json.dumps([shipped, shipped | {"name": "measuring", "kwargs": {"path": str(BUNDLE)}}])


@pytest.fixture(scope="package")
def stack(one_stack: OneStack) -> Stack:
    """The running stack; no other folder uses it."""
    return one_stack.set_as(
        {
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles(),
            # A long measurement asks nothing anew in its middle.
            "TRADING_OPS_PREDICTION_CACHE_TTL_S": "86400",
        }
    )
