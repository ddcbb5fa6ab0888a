"""What was said already is not said at every check."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pymongo.database import Database

from include.trading.risk_state import due, over, said
from tests.trading.closed_trades import NOON

HOUR_S = 3600.0


def test_unchanged_situation_is_due_again_after_the_hour_and_not_before(db: Database[dict[str, Any]]) -> None:
    assert due(db, "book", "a", NOON, HOUR_S) == 1
    said(db, "book", "a", 1, NOON)
    assert due(db, "book", "a", NOON + timedelta(minutes=59, seconds=59), HOUR_S) is None
    assert due(db, "book", "a", NOON + timedelta(hours=1), HOUR_S) == 2


def test_changed_situation_is_due_at_once(db: Database[dict[str, Any]]) -> None:
    said(db, "book", "a", 1, NOON)
    assert due(db, "book", "b", NOON + timedelta(minutes=5), HOUR_S) == 2


def test_crash_before_it_is_remembered_gives_the_same_number_again(db: Database[dict[str, Any]]) -> None:
    assert due(db, "book", "a", NOON, HOUR_S) == due(db, "book", "a", NOON, HOUR_S) == 1


def test_subjects_do_not_know_each_other(db: Database[dict[str, Any]]) -> None:
    said(db, "book", "a", 1, NOON)
    assert due(db, "blind", "a", NOON, HOUR_S) == 1


def test_end_is_told_once_with_its_beginning_and_a_relapse_is_new(db: Database[dict[str, Any]]) -> None:
    assert over(db, "blind") is None
    said(db, "blind", "x", 1, NOON)
    said(db, "blind", "x", 2, NOON + timedelta(hours=1))
    assert over(db, "blind") == NOON
    assert over(db, "blind") is None
    relapse = NOON + timedelta(hours=2)
    assert due(db, "blind", "x", relapse, HOUR_S) == 3
    said(db, "blind", "x", 3, relapse)
    assert over(db, "blind") == relapse
