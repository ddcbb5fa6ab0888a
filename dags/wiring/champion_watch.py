"""Counts how the champions did in a task, and says so when one was rolled back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.ml.champion_health import Rollback
    from include.ml.prediction.question import Seen


@contextmanager
def champion_watch(db: Database[dict[str, Any]], seen: Seen, context: Mapping[str, Any]) -> Iterator[None]:
    """Hand what `seen` was told in the block to the count of failures, whether the block raised or not.

    An `IntegrityError` of the block says in addition what was rolled back because of it.
    """
    from include.errors import IntegrityError

    try:
        yield
    except IntegrityError as error:
        done = [rollback for rollback in note(db, seen, context) if rollback.done]
        if not done:
            raise
        after = "; ".join(f"rolled back from {r.from_model_id} to {r.to_model_id}" for r in done)
        raise IntegrityError(f"{error}; {after}: start the run again") from error
    except BaseException:
        note(db, seen, context)
        raise
    else:
        note(db, seen, context)


def note(db: Database[dict[str, Any]], seen: Seen, context: Mapping[str, Any]) -> list[Rollback]:
    """Count the failures, roll back what failed too often, send the messages; return what was rolled back or not."""
    from datetime import UTC, datetime

    from dags.wiring.runtime import promotions, send
    from include.ml.champion_health import note_outcomes, rollback_message
    from include.settings import get_settings

    if not (seen.failures or seen.well):
        return []
    rollbacks = note_outcomes(
        db,
        promotions(db),
        seen.failures,
        seen.well,
        limit=get_settings().champion_failures_limit,
        who=f"{context['ti'].dag_id}/{context['run_id']}",
        now=datetime.now(UTC),
    )
    for rollback in rollbacks:
        send(rollback_message(rollback, context["run_id"]))
    return rollbacks
