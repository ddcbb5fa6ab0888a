"""What of a result is stored, and what travels between tasks."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from include.strategies.kept_result import MOST_ROWS, XCOM_BYTES, handed_on, stored_result, table

AT = datetime(2026, 1, 2, tzinfo=UTC)


def stored(**parts: Any) -> dict[str, Any]:
    return stored_result({"status": "success", **parts}, AT, "admin")


def test_a_result_says_when_and_for_whom_it_was_made() -> None:
    document = stored(trades=[{"pnl_usdt": 1.0}])
    assert (document["timestamp"], document["requested_by"], document["left_out"]) == (AT, "admin", {})
    assert document["trades"] == [{"pnl_usdt": 1.0}]


def test_a_list_too_long_for_a_document_is_cut_and_it_says_so() -> None:
    document = stored(trades=[{"n": n} for n in range(MOST_ROWS + 5)], equity_curve=[1, 2])
    assert len(document["trades"]) == MOST_ROWS
    assert document["left_out"] == {"trades": 5}
    assert document["equity_curve"] == [1, 2]


@pytest.mark.critical
def test_long_lists_do_not_travel_but_their_lengths_do() -> None:
    document = stored(trades=[{"n": 1}] * 300, walk_forward={"efficiency": 0.5, "equity_curve": [1] * 60})
    answer = handed_on(document, "run 1", "backtest_results", ("trades", "walk_forward.equity_curve"))
    assert answer["not_in_xcom"] == {"trades": 300, "walk_forward.equity_curve": 60}
    assert answer["walk_forward"] == {"efficiency": 0.5}
    assert (answer["task_id"], answer["collection"]) == ("run 1", "backtest_results")
    assert json.loads(json.dumps(answer)) == answer
    assert len(document["walk_forward"]["equity_curve"]) == 60, "the stored one keeps it"


def test_whatever_is_in_it_less_than_48_kib_travel() -> None:
    gaps = [{"start": "2026-01-01T00:00:00+00:00", "bars": n} for n in range(3000)]
    document = stored(results={"win_rate": 50.0}, data={"gaps": gaps}, monthly=[{"month": "2026-01"}] * 3000, trades=[])
    answer = handed_on(document, "run 1", "backtest_results", ("trades",))
    assert len(json.dumps(answer)) < XCOM_BYTES
    assert answer["results"] == {"win_rate": 50.0}
    assert answer["not_in_xcom"] == {"trades": 0, "data": 1, "monthly": 3000}


def test_rows_become_a_table_and_no_rows_none() -> None:
    rows = [{"side": "long", "pnl": 1.5, "why": 'a "b", c'}, {"side": "short", "pnl": None, "why": ""}]
    assert list(csv.DictReader(io.StringIO(table(rows)))) == [
        {"side": "long", "pnl": "1.5", "why": 'a "b", c'},
        {"side": "short", "pnl": "", "why": ""},
    ]
    assert table(rows, ["side"]).splitlines() == ["side", "long", "short"]
    assert table([]) == ""
