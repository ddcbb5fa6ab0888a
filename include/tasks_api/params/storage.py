"""Parameters of the DAGs that keep, move and remove stored documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from include.tasks_api.params.base import RULE, RunParams

MAX_IDS = 500
MAX_ID_CHARS = 600


class ReplayPendingParams(RunParams):
    """One attempt to store and deliver what waits."""


class SweepLeasesParams(RunParams):
    """One look for claims whose runs are over."""


class RetentionParams(RunParams):
    """One removal of what is older than it is kept."""

    dry_run: bool = Field(
        False,
        title="Only count",
        description="Say what would be removed; remove nothing.",
        json_schema_extra={RULE: "dry_run must be true or false"},
    )


def _ids(value: tuple[str, ...]) -> tuple[str, ...]:
    entries = tuple(dict.fromkeys(entry.strip() for entry in value))
    if len(entries) > MAX_IDS or any(not entry or len(entry) > MAX_ID_CHARS or ":" not in entry for entry in entries):
        raise ValueError("not a list of dead letters")
    return entries


def _since(value: str) -> str:
    moment = datetime.fromisoformat(value) if value else None
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat() if moment else ""


class ReplayDeadLettersParams(RunParams):
    """One replay of runs that have failed for good."""

    ids: Annotated[tuple[str, ...], AfterValidator(_ids)] = Field(
        (),
        title="Dead letters",
        description="Ids of the letters, <dag_id>:<run_id>, one per line; none: every waiting one that matches below.",
        json_schema_extra={
            RULE: f"ids must be a list of at most {MAX_IDS} dead letters' ids such as "
            "train_model:manual__2026-01-01T00:00:00+00:00"
        },
    )
    dag_id: str = Field(
        "",
        max_length=250,
        title="DAG",
        description="Only letters of this DAG; empty: of all.",
        json_schema_extra={RULE: "dag_id must be the id of a DAG, at most 250 characters"},
    )
    since: Annotated[str, AfterValidator(_since)] = Field(
        "",
        max_length=40,
        title="Failed since",
        description="Only runs that failed at or after this time, as 2026-01-31 or 2026-01-31T08:00:00Z; empty: all.",
        json_schema_extra={RULE: "since must be empty or a date or time such as 2026-01-31T08:00:00Z"},
    )
    dry_run: bool = Field(
        True,
        title="Only show",
        description="Say which runs would be started and which not, and why; start nothing.",
        json_schema_extra={RULE: "dry_run must be true or false"},
    )
