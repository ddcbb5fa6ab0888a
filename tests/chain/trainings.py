"""What the tests ask about trainings: the job's record, the progress, the messages and the answer."""

from __future__ import annotations

from typing import Any

from include.store import collections
from tests.chain.conftest import Bundle, RunView

TRAIN = "train_model"
LONG_TIMEOUT_S = 500


def job_of(bundle: Bundle, run_id: str) -> dict[str, Any]:
    job = bundle.db[collections.TRAINING_JOBS].find_one({"_id": run_id})
    assert job is not None
    return job


def progress_of(bundle: Bundle, run_id: str, model_type: str) -> dict[str, Any]:
    return bundle.client.state_store(TRAIN, run_id, f"{model_type}.train", "progress") or {}


def messages_of(bundle: Bundle, run_id: str) -> str:
    return "\n".join(f"{message['title']}\n{message['body']}" for message in bundle.messages(run_id))


def trained(run: RunView) -> dict[str, Any]:
    """Return the answer of a run that succeeded."""
    assert run.state == "success", run.story
    return dict(run.xcom("result"))
