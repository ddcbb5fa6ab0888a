"""What replaying dead letters would do: which run each starts, or why it starts none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from include.audit.letter import replay_run_id

MAX_RUN_ID_CHARS = 250
"""Airflow's limit."""


@dataclass(frozen=True)
class Step:
    """One letter of a plan.

    :param refused: why no run is started, in words; None: one is.
    :param over: the run has been repeated meanwhile by other means: the letter is done with.
    """

    letter: str
    dag_id: str
    run_id: str
    trigger_run_id: str
    conf: dict[str, Any]
    failed_at: str
    failed_tasks: list[dict[str, Any]]
    refused: str | None = None
    over: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-able, for XCom."""
        return asdict(self)


def plan(
    letters: Sequence[Mapping[str, Any]],
    why_no_dag: Callable[[str], str | None],
    state_of: Callable[[str, str], str | None],
) -> list[Step]:
    """Decide about each letter.

    :param letters: documents of `dead_letters`.
    :param why_no_dag: asked about a DAG: why no run of it can be started (gone, paused); None when one can.
    :param state_of: the state of a run in Airflow now; None when Airflow does not know it any more.
    """
    return [_step(letter, why_no_dag, state_of) for letter in letters]


def _step(
    letter: Mapping[str, Any], why_no_dag: Callable[[str], str | None], state_of: Callable[[str, str], str | None]
) -> Step:
    dag_id, run_id = letter["dag_id"], letter["run_id"]
    replay = replay_run_id(run_id)
    refused, over = None, False
    now, conf = state_of(dag_id, run_id), _conf(letter)
    if letter["give_again"]:
        refused = (
            f"the values of {', '.join(letter['give_again'])} held secrets and were not kept: "
            "start the run by hand and give them again"
        )
    elif conf is None:
        refused = "its conf cannot be read any more: start the run by hand"
    elif letter["state"] == "replayed":
        refused = f"it was replayed already, as run {letter['replay_run_id']}"
    elif now in ("success", "running", "queued"):
        refused, over = f"the run itself was repeated meanwhile and is {now}", True
    elif len(replay) > MAX_RUN_ID_CHARS:
        refused = f"its run id is too long to derive another one from it ({len(replay)} characters): start it by hand"
    else:
        refused = why_no_dag(dag_id)
    return Step(
        letter=letter["_id"],
        dag_id=dag_id,
        run_id=run_id,
        trigger_run_id=replay,
        conf=conf or {},
        failed_at=letter["failed_at"].isoformat(),
        failed_tasks=[dict(task) for task in letter["failed_tasks"][:5]],
        refused=refused,
        over=over,
    )


def _conf(letter: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the run's conf; None when it is damaged: that costs this letter, not the plan."""
    try:
        conf = json.loads(letter["conf"])
    except (KeyError, TypeError, ValueError):
        return None
    return conf if isinstance(conf, dict) else None
