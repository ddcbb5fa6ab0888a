"""The switch of GPT-4 on a real MongoDB: compare-and-set, its history, and that nothing is asked while it is off."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pymongo
import pytest
from pymongo.database import Database

from include.analyst.cost_control import check_costs, present_costs
from include.analyst.cost_limits import Approval
from include.analyst.cost_report import ServiceAnswer
from include.analyst.cost_store import ask_service, load_sources, reading_document, report_document
from include.analyst.errors import CallRefusedError, Gpt4SwitchedOffError
from include.analyst.gpt4_switch import read_switch, require_on, switch_off, switch_on, switched_off_since
from include.analyst.judge import ask
from include.analyst.ledger import CostLedger
from include.errors import BadInputError, ServiceUnavailableError
from include.settings import Settings
from include.store.collections import API_COST_HISTORY, GPT4_COSTS, GPT4_SWITCH, GPT4_SWITCH_HISTORY
from sandbox.mongod import free_port
from tests.analyst.conftest import Clock
from tests.analyst.cost_parts import SERVICE_OFF, ledger_row, reading, report_of
from tests.analyst.openai_answers import completion, verdict
from tests.trading.engine_answers import NOW
from tests.trading.loopback import LoopbackServer

Db = Database[dict[str, Any]]
OFF_AGAIN = "Daily cost $6.50 exceeds $5.00 limit"


def off(db: Db, by: str = "daily_api_cost_report/run-1") -> bool:
    return switch_off(db, OFF_AGAIN, {"today_usd": 6.5}, by, NOW)


def test_without_a_change_it_is_on(db: Db) -> None:
    assert read_switch(db).on
    require_on(db)
    assert switch_on(db, "why not", {}, "ada", NOW) is False
    assert db[GPT4_SWITCH].count_documents({}) == 0


def test_tc_async_039_off_and_on_again_with_who_when_why_and_the_evidence(db: Db) -> None:
    assert off(db) is True
    state = read_switch(db)
    assert (state.on, state.reason, state.by, state.at, state.version) == (
        False, OFF_AGAIN, "daily_api_cost_report/run-1", NOW, 1,
    )  # fmt: skip
    assert off(db, "another") is False
    assert read_switch(db) == state, "the first reason stays"
    assert switch_on(db, "the loop is repaired", {"today_usd": 6.5}, "ada", NOW + timedelta(hours=1)) is True
    assert read_switch(db).on
    rows = list(db[GPT4_SWITCH_HISTORY].find().sort("version", 1))
    assert [(row["_id"], row["on"], row["by"]) for row in rows] == [
        ("openai:1", False, "daily_api_cost_report/run-1"),
        ("openai:2", True, "ada"),
    ]
    assert rows[0]["evidence"] == {"today_usd": 6.5}


def test_of_many_at_once_one_switches(db: Db) -> None:
    def on(n: int) -> bool:
        return switch_on(db, "repaired", {}, f"person-{n}", NOW)

    with ThreadPoolExecutor(8) as pool:
        for version in range(1, 9):
            change = on if version % 2 == 0 else lambda n: off(db, f"worker-{n}")
            assert list(pool.map(change, range(16))).count(True) == 1
            assert read_switch(db).version == version
    rows = list(db[GPT4_SWITCH_HISTORY].find().sort("version", 1))
    assert [row["on"] for row in rows] == [False, True] * 4


def test_a_row_that_a_crash_kept_from_being_written_is_written_with_the_next_change(db: Db) -> None:
    off(db)
    db[GPT4_SWITCH_HISTORY].delete_many({})
    switch_on(db, "repaired", {}, "ada", NOW)
    assert [row["version"] for row in db[GPT4_SWITCH_HISTORY].find().sort("version", 1)] == [1, 2]


def test_the_history_tells_whether_it_was_switched_off_since(db: Db) -> None:
    assert switched_off_since(db, NOW - timedelta(days=1)) is False
    off(db)
    switch_on(db, "repaired", {}, "ada", NOW)
    assert switched_off_since(db, NOW) is True
    assert switched_off_since(db, NOW + timedelta(seconds=1)) is False


@pytest.mark.parametrize(("reason", "by"), [("", "ada"), ("why", " ")])
def test_a_change_without_a_reason_or_a_name_is_refused(db: Db, reason: str, by: str) -> None:
    with pytest.raises(BadInputError, match="needs a reason and a name"):
        switch_off(db, reason, {}, by, NOW)
    assert read_switch(db).on


def test_while_it_is_off_nothing_is_reserved_and_nothing_sent(
    db: Db, settings: Settings, ledger: CostLedger, openai_server: LoopbackServer
) -> None:
    off(db)
    with pytest.raises(Gpt4SwitchedOffError, match=r"^GPT-4 is switched off: Daily cost \$6.50 .* enable_gpt4"):
        ledger.check(0.01)
    with pytest.raises(CallRefusedError):
        ask(settings, [{"role": "user", "content": "?"}], ledger, "run-1")
    assert openai_server.asked == []
    assert db[GPT4_COSTS].count_documents({}) == 0
    switch_on(db, "repaired", {}, "ada", NOW)
    openai_server.script(completion(verdict()))
    assert ask(settings, [{"role": "user", "content": "?"}], ledger, "run-1").requests == 1


def test_switched_off_between_a_malformed_answer_and_its_repair_no_second_request_is_sent(
    db: Db, settings: Settings, clock: Clock, openai_server: LoopbackServer
) -> None:
    class Interrupted(CostLedger):
        def settle(self, *args: Any, **kwargs: Any) -> float:
            cost = super().settle(*args, **kwargs)
            off(db)
            return cost

    openai_server.script(completion("no JSON"))
    with pytest.raises(ValueError, match="GPT-4 is switched off"):
        ask(settings, [{"role": "user", "content": "?"}], Interrupted(db, settings, clock), "run-1")
    assert len(openai_server.asked) == 1


def test_without_mongodb_nobody_knows_and_nobody_asks(settings: Settings) -> None:
    with pymongo.MongoClient[dict[str, Any]](
        f"mongodb://127.0.0.1:{free_port()}", serverSelectionTimeoutMS=100
    ) as away:
        with pytest.raises(ServiceUnavailableError, match="switch of GPT-4"):
            require_on(away["x"])
        with pytest.raises(ServiceUnavailableError):
            off(away["x"])


def test_a_critical_cost_is_acted_upon_once_and_a_repetition_of_the_run_knows_it(
    db: Db, settings_with: Callable[..., Settings]
) -> None:
    settings = settings_with(ai_service_base_url="")
    db[GPT4_COSTS].insert_one(ledger_row(6.5, NOW - timedelta(minutes=30)))

    def check(by: str, hours: int = 0) -> Any:
        now = NOW + timedelta(hours=hours)
        return check_costs(db, load_sources(db, ask_service(settings, now), now), settings, by, now)

    first, repeated, other = check("watch/1"), check("watch/1"), check("watch/2")
    assert (first.switched_off, repeated.switched_off, other.switched_off) == (True, True, False)
    assert first.switch.evidence["today_usd"] == 6.5
    assert db[GPT4_SWITCH_HISTORY].count_documents({}) == 1

    costs, _ = present_costs(db, settings, NOW)
    approval = Approval(f"{NOW:%Y-%m-%d}", costs.today, f"{NOW:%Y-%m}", costs.month)
    switch_on(db, "repaired", {"approval": approval.to_document()}, "ada", NOW)
    assert check("watch/3").switch.on, "the approval holds"
    db[GPT4_COSTS].insert_one(ledger_row(5.01, NOW + timedelta(hours=1)))
    again = check("watch/4", hours=2)
    assert again.switched_off, "another five dollars are too much again"
    assert again.switch.version == 3


def test_readings_and_reports_are_found_again_with_the_one_before(db: Db) -> None:
    history = db[API_COST_HISTORY]
    for days, cost in ((40, 0.5), (30, 1.0), (2, 2.0), (1, 2.5)):
        row = reading_document(reading(NOW - timedelta(days=days), cost), f"run-{days}")
        history.insert_one({**row, "timestamp": NOW - timedelta(days=days)})
    report, _ = report_of(NOW)
    history.insert_one({"_id": "report", **report_document(report, None)})
    sources = load_sources(db, ServiceAnswer("not_available", reason="away"), NOW)
    assert [round(entry.spend.usd, 6) for entry in sources.counter.entries] == [1.0, 0.5]
    assert sources.counter.first == NOW - timedelta(days=30), "what the first increase starts from"
    stored = history.find_one({"_id": "report"})
    assert stored is not None
    assert {"timestamp", "date", "session", "projections", "alerts", "full_data"} <= set(stored)


def test_a_service_without_an_address_is_not_configured() -> None:
    answer = ask_service(Settings(ai_service_base_url=" "), NOW)
    assert (answer.status, answer.reading) == (SERVICE_OFF.status, None)
