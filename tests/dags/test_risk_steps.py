"""The steps of the risk control where a whole run is not needed: no MongoDB, no spool, hostile evidence, no lever."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException
from pymongo.database import Database

from dags.wiring import emergency, enabling, gpt4_switch, halting, strategy_watch
from dags.wiring.approval import NOBODY, approval
from dags.wiring.retry import COUNT_KEY, TransientRetryPolicy
from dags.wiring.risk import said_once
from include.analyst.gpt4_switch import switch_off
from include.errors import BadInputError, ConfigurationError, TradingOpsError, TransientError
from include.notify.risk_alerts import blind_message
from include.settings import get_settings
from include.store.collections import EQUITY_HISTORY, KILL_SWITCH_HISTORY, OUTBOX
from include.store.replay import replay
from include.store.spool import Spool
from include.tasks_api.params.base import parse_params
from include.tasks_api.params.risk import MOST_STRATEGIES, EmergencyDisableParams, HaltNewEntriesParams
from include.trading.blunt_lever import Lever, holds
from include.trading.engine_commands import EngineCommands
from include.trading.kill_switch import (
    NotFollowedError,
    Order,
    StillTradesError,
    apply_waiting,
    read_record,
    set_state,
)
from sandbox.control import Control
from sandbox.launcher import Sandbox
from sandbox.mongod import Mongod, free_port
from tests.store.outages import TIMEOUTS

Db = Database[dict[str, Any]]


class Runs:
    """What Airflow knows about runs, and the XComs of one task."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.pushed: dict[str, Any] = {}
        self.given: dict[tuple[str, str], Any] = {}
        self.dag_id, self.run_id, self.try_number = "emergency_strategy_disable", "run-1", 1

    def get_dr_count(self, dag_id: str, run_ids: list[str]) -> int:
        return sum(run_id in self.states for run_id in run_ids)

    def get_dagrun_state(self, dag_id: str, run_id: str) -> str:
        return self.states[run_id]

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.given.get((task_ids, key))

    def answered(self, approved: bool, by: str = "bob", version: int = 1) -> Runs:
        """What the approval leaves behind, about that version of the record."""
        self.given["approve", "answer"] = {"approved": approved, "by": by}
        self.given["review", "version"] = version
        return self


class Store(dict[str, Any]):
    """A task state store in memory."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


def context(params: dict[str, Any] | None = None, ti: Runs | None = None, run_id: str = "run-1") -> dict[str, Any]:
    return {
        "params": params or {}, "ti": ti or Runs(), "run_id": run_id, "task_state_store": Store(),
        "dag_run": SimpleNamespace(triggering_user_name="ann"),
    }  # fmt: skip


def kill(**changes: Any) -> dict[str, Any]:
    return context({"strategy_name": "rsi", "reason": "Consecutive losses: 12 trades", **changes})


@pytest.fixture
def setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: Sandbox, db: Db, mongod: Mongod
) -> Iterator[pytest.MonkeyPatch]:
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_OPS_MONGO_DATABASE", db.name)
    connect(monkeypatch, mongod.port)
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def connect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    connection = {"conn_type": "mongo", "host": "127.0.0.1", "port": port, "extra": {"serverSelectionTimeoutMS": 200}}
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(connection))


def mongodb_away(setting: pytest.MonkeyPatch) -> None:
    """Nobody answers at its address; what is waited for then is not what these tests are about.

    A test in which it comes back gives a context of its own: on a busy machine a MongoDB that is there may take longer.
    """
    connect(setting, free_port())
    for name in (*TIMEOUTS, "dags.wiring.risk.MONGO_TIMEOUT_S"):
        setting.setattr(name, 0.3)


@pytest.fixture
def engine(control: Control) -> Control:
    control.scenario("none")
    control.engine_state(spec_endpoints=True, pending_signals={"rsi": 3, "macd": 1, "bollinger": 0, "volume": 0})
    return control


def losses(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"return_pct": -1.0, "notional": 100.0, "closed_hours_ago": (at + 1) / 60, "id": str(uuid.uuid4()), **fields}
        for at in range(count)
    ]


def disabled_in_engine(control: Control) -> list[str]:
    names: list[str] = control.engine_state()["disabled_strategies"]
    return names


def alerts(control: Control) -> list[str]:
    return [json.dumps(message["payload"]) for message in control.messages("slack")]


@pytest.mark.critical
def test_tc_async_059_mongodb_away_the_strategy_is_disabled_and_the_record_follows(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    with setting.context() as meanwhile:
        mongodb_away(meanwhile)
        result = emergency.disable_now(kill())
    assert result["status"] == "success"
    assert result["strategies"]["rsi"]["record"] == "spooled"
    assert disabled_in_engine(engine) == ["rsi"]
    assert any("EMERGENCY: rsi disabled" in alert for alert in alerts(engine))
    assert read_record(db, "rsi") is None
    replay(Spool(get_settings().spool_dir), db)
    assert apply_waiting(db) == ["rsi"]
    record = read_record(db, "rsi")
    assert record is not None
    assert (record.disabled, record.by, record.reason) == (True, "ann", "Consecutive losses: 12 trades")


def test_no_record_can_be_kept_anywhere_the_engine_is_told_and_people_too(
    setting: pytest.MonkeyPatch, engine: Control, tmp_path: Path
) -> None:
    mongodb_away(setting)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "spool").write_text("no folder")
    run = kill()
    with pytest.raises(TransientError, match="no record of it is kept"):
        emergency.disable_now(run)
    assert disabled_in_engine(engine) == ["rsi"]
    run["task_state_store"].set(COUNT_KEY, emergency.RETRIES)
    with pytest.raises(StillTradesError, match="no record of it is kept"):
        emergency.disable_now(run)
    assert any("NO RECORD of rsi" in alert for alert in alerts(engine))
    result = run["ti"].pushed["return_value"]
    assert result["strategies"]["rsi"]["record"] == "not_kept"
    assert result["pending_signals_cancelled"] == 3, "the first try cancelled them"


@pytest.mark.parametrize(
    "evidence",
    [{"a\x00b": 1}, {"n": 10**400}, {"rsi": "text"}, {"rsi": {"$set": {"x.y": [None, "\x00"]}}}, {"n": 1e308}],
)
def test_evidence_that_cannot_be_stored_does_not_stop_a_kill(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, evidence: dict[str, Any]
) -> None:
    assert emergency.disable_now(kill(evidence=evidence))["strategy_disabled"] == "rsi"
    assert read_record(db, "rsi") is not None


def test_retry_asks_only_for_what_is_not_done(setting: pytest.MonkeyPatch, engine: Control, db: Db) -> None:
    engine.script("engine", "/api/strategies/macd/disable", status=503, times=1)
    run = kill(strategy_name="rsi,macd")
    with pytest.raises(TransientError, match="macd still trades"):
        emergency.disable_now(run)
    assert not db[OUTBOX].count_documents({})
    result = emergency.disable_now(run)
    assert (result["status"], result["strategy_disabled"]) == ("success", ["rsi", "macd"])
    assert result["pending_signals_cancelled"] == 4
    asked = [request["path"] for request in engine.requests("engine") if request["method"] == "POST"]
    assert asked.count("/api/strategies/rsi/disable") == 1
    assert {row["answer"]["outcome"] for row in db[KILL_SWITCH_HISTORY].find({"action": "engine"})} == {
        "disabled",
        "unavailable",
    }


def test_repeated_failure_to_reassert_is_said_once_in_a_while(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    engine.engine_state(spec_endpoints=False)
    for number in range(3):
        run = context({"strategy_name": "rsi", "reason": "again", "trigger": "reassert"}, run_id=f"reassert__{number}")
        with pytest.raises(StillTradesError):
            emergency.disable_now(run)
    assert db[OUTBOX].count_documents({"severity": "critical"}) == 1


def enabled(db: Db, name: str = "rsi") -> None:
    """A person decides otherwise, now."""
    set_state(db, Order(name, "enabled", "corrected", "bob", "enable", datetime.now(UTC), {}))


@pytest.mark.critical
def test_person_who_enables_while_the_watchdog_asserts_again_has_the_last_word(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    disabled(db)
    enabled(db)
    result = emergency.disable_now(kill(trigger="reassert"))
    assert (result["status"], result["strategy"], result["strategy_disabled"]) == ("skipped", "rsi", False)
    both = emergency.disable_now(kill(trigger="reassert", strategy_name="rsi,macd"))
    assert both["strategy_disabled"] == "macd", "of macd nobody has said so"
    record = read_record(db, "rsi")
    assert record is not None
    assert (record.state, record.by) == ("enabled", "bob")
    assert disabled_in_engine(engine) == ["macd"]
    assert not db[KILL_SWITCH_HISTORY].count_documents({"action": "disabled", "task_id": "run-1"})


def test_person_who_enables_between_two_tries_has_the_last_word(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    enabled(db)  # long ago, as far as this run is concerned
    engine.script("engine", "/api/strategies/rsi/disable", status=503, times=1)
    run = kill(strategy_name="rsi,macd")
    with pytest.raises(TransientError, match="rsi still trades"):
        emergency.disable_now(run)
    enabled(db)
    result = emergency.disable_now(run)
    assert (result["status"], result["strategy"]) == ("success", "macd")
    record = read_record(db, "rsi")
    assert record is not None
    assert (record.state, record.by) == ("enabled", "bob")
    assert disabled_in_engine(engine) == ["macd"]


def test_approval_of_long_ago_does_not_keep_a_second_try_from_disabling(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    enabled(db)
    engine.script("engine", "/api/strategies/rsi/disable", status=503, times=1)
    run = kill()
    with setting.context() as meanwhile:
        mongodb_away(meanwhile)
        with pytest.raises(TransientError, match="rsi still trades"):
            emergency.disable_now(run)
    assert emergency.disable_now(run)["strategy_disabled"] == "rsi"
    record = read_record(db, "rsi")
    assert record is not None
    assert record.disabled


def test_alert_that_is_neither_delivered_nor_kept_is_tried_again(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    mongodb_away(setting)
    setting.setenv("TRADING_OPS_SPOOL_MAX_MB", "0.0015")  # room for the record, not for the message
    get_settings.cache_clear()
    for path in ("/services/*", "/api/webhooks/*", "/bot*"):
        engine.script("sinks", path, status=500)
    engine.mail_trouble(reply="451 4.3.0 try again later")
    run = kill()
    with pytest.raises(TransientError, match="the alert could be neither delivered nor kept"):
        emergency.disable_now(run)
    engine.reset("sinks")
    result = emergency.disable_now(run)
    assert (result["status"], result["strategies"]["rsi"]["record"]) == ("success", "spooled")
    assert len(alerts(engine)) == 1
    asked = [request["path"] for request in engine.requests("engine") if request["method"] == "POST"]
    assert len(asked) == 1, "what is done is not done again"


def test_alert_that_could_not_be_kept_is_not_remembered_as_said(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "spool").write_text("no folder")
    mongodb_away(setting)
    engine.script("sinks", "/services/*", status=500)

    def blind(number: str) -> Any:
        return blind_message(TransientError("x"), number, now, "run")

    assert said_once(db, "blind", "x", blind, now) == "not"
    engine.reset("sinks")
    assert said_once(db, "blind", "x", blind, now) == "now"
    assert said_once(db, "blind", "x", blind, now) == "lately"
    assert len(alerts(engine)) == 1


@pytest.mark.parametrize("away", [False, True], ids=["mongodb", "no mongodb"])
def test_watchdog_starts_one_run_per_situation_with_params_that_the_run_accepts(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, away: bool
) -> None:
    if away:
        mongodb_away(setting)
    engine.scenario("none", trades=[*losses(11, strategy="rsi"), *losses(12, strategy="MACD Strategy")])
    checked = strategy_watch.look(context(run_id="check-1"))
    (run,) = checked["runs"]
    assert checked["kill_switches_known"] is not away
    params = parse_params(EmergencyDisableParams, run["conf"])
    assert params.strategies == ("macd", "rsi")
    assert params.reason == "macd: Consecutive losses: 12 trades; rsi: Consecutive losses: 11 trades"
    assert params.evidence["rsi"]["figures"]["losing_streak"] == 11
    (same,) = strategy_watch.look(context(run_id="check-2"))["runs"]
    assert same["trigger_run_id"] == run["trigger_run_id"], "Airflow starts it once"
    if not away:
        assert db[EQUITY_HISTORY].count_documents({}) == 2
        assert checked["equity_at_midnight"]["source"] == "balance_now"


@pytest.mark.parametrize(("state", "next_one"), [("success", ""), ("running", ""), ("queued", ""), ("failed", "__2")])
def test_run_that_failed_and_disabled_nothing_is_followed_by_another(
    setting: pytest.MonkeyPatch, engine: Control, state: str, next_one: str
) -> None:
    engine.scenario("none", trades=losses(11, strategy="rsi"))
    first = strategy_watch.look(context())["runs"][0]["trigger_run_id"]
    second = strategy_watch.look(context(ti=Runs(**{first: state})))["runs"][0]["trigger_run_id"]
    assert second == first + next_one


def test_enabled_strategy_is_not_disabled_on_the_same_old_trades(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    engine.scenario("none", trades=losses(15, strategy="rsi"))
    order: dict[str, Any] = {"reason": "x", "by": "ann", "evidence": {}}
    set_state(db, Order("rsi", "disabled", task_id="a", at=datetime.now(UTC) - timedelta(hours=1), **order))
    set_state(db, Order("rsi", "enabled", task_id="b", at=datetime.now(UTC), **order))
    checked = strategy_watch.look(context())
    assert checked["runs"] == []
    assert checked["figures"]["rsi"]["judged_since"] is not None


@pytest.mark.critical
def test_strategy_that_loses_again_on_the_day_on_which_a_person_enabled_it_is_disabled_again(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    def lost(notional: float) -> list[dict[str, Any]]:
        return losses(1, strategy="rsi", return_pct=-20.0, notional=notional, closed_hours_ago=0)

    engine.scenario("none", trades=lost(8_000.0))
    first = strategy_watch.look(context())["runs"][0]["trigger_run_id"]
    disabled(db)
    enabled(db)
    engine.scenario("none", trades=[*lost(8_000.0), *lost(9_000.0)])
    (run,) = strategy_watch.look(context(ti=Runs(**{first: "success"})))["runs"]
    assert run["trigger_run_id"] != first, "Airflow would not start it a second time"
    assert run["conf"]["strategy_name"] == "rsi"


def test_name_that_no_run_takes_does_not_keep_the_others_from_being_disabled(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    names = ["grid/2", *(f"s{at}" for at in range(MOST_STRATEGIES + 1))]
    engine.scenario("none", trades=[trade for name in names for trade in losses(11, strategy=name)])
    runs = strategy_watch.look(context())["runs"]
    assert len({run["trigger_run_id"] for run in runs}) == 3
    taken = []
    for run in runs[:2]:
        taken += parse_params(EmergencyDisableParams, run["conf"]).strategies
    assert sorted(taken) == sorted(names[1:])
    assert runs[2]["conf"]["strategy_name"] == "grid/2"
    with pytest.raises(BadInputError, match="grid/2"):
        parse_params(EmergencyDisableParams, runs[2]["conf"])


def test_watchdog_goes_on_where_mongodb_is_not_even_configured(setting: pytest.MonkeyPatch, engine: Control) -> None:
    setting.setenv("AIRFLOW_CONN_MONGO_DEFAULT", "mongo://%zz:1")
    engine.scenario("none", trades=losses(11, strategy="rsi"))
    checked = strategy_watch.look(context())
    assert [run["conf"]["strategy_name"] for run in checked["runs"]] == ["rsi"]
    assert checked["kill_switches_known"] is False
    assert strategy_watch.say(checked) == {}


def test_book_is_alerted_with_the_way_to_the_lever_once_an_hour_and_without_an_approval_while_it_is_off(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    engine.engine_state(spec_endpoints=False)
    engine.scenario("none", trades=losses(11))
    checked = strategy_watch.look(context())
    assert checked["runs"] == []
    at = datetime.fromisoformat(checked["say"]["at"])
    for minutes in (0, 5, 55, 60, 65):
        checked["say"]["at"] = (at + timedelta(minutes=minutes)).isoformat()
        strategy_watch.say(checked)
    messages = list(db[OUTBOX].find())
    assert [message["severity"] for message in messages] == ["critical", "critical"]
    assert "TRADING_OPS_BLUNT_LEVER=both_directions" in messages[0]["body"]
    assert {field["name"]: field["value"] for field in messages[0]["fields"]}["Losses in a row"] == "11"


@pytest.mark.parametrize("lever", ["both_directions", "min_confidence"])
def test_book_asks_for_an_approval_where_a_lever_is_named(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, lever: str
) -> None:
    setting.setenv("TRADING_OPS_BLUNT_LEVER", lever)
    get_settings.cache_clear()
    engine.engine_state(spec_endpoints=False)
    engine.scenario("none", trades=losses(11))
    (run,) = strategy_watch.look(context())["runs"]
    assert run["trigger_dag_id"] == "halt_new_entries"
    params = parse_params(HaltNewEntriesParams, run["conf"])
    ti = Runs()
    assert halting.way(context(params.model_dump(), ti)) == "approve"
    assert "Consecutive losses: 11 trades" in ti.pushed["case"]
    assert lever in ti.pushed["case"]


@pytest.mark.parametrize(
    ("state", "waits"), [(None, True), ("queued", True), ("running", True), ("success", False), ("failed", False)]
)
def test_alert_about_the_book_names_an_approval_only_while_one_waits(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, state: str | None, waits: bool
) -> None:
    setting.setenv("TRADING_OPS_BLUNT_LEVER", "both_directions")
    get_settings.cache_clear()
    engine.engine_state(spec_endpoints=False)
    engine.scenario("none", trades=losses(11))
    asking = strategy_watch.look(context())["runs"][0]["trigger_run_id"]
    checked = strategy_watch.look(context(ti=Runs(**({} if state is None else {asking: state}))))
    assert [run["trigger_run_id"] for run in checked["runs"]] == ([asking] if state is None else [])
    strategy_watch.say(checked)
    (message,) = db[OUTBOX].find()
    assert (f"{asking} waits under Required Actions" in message["body"]) is waits
    assert ("start halt_new_entries" in message["body"]) is not waits


def test_engine_that_does_not_tell_its_balance_is_still_judged_and_what_is_unknown_is_said(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    engine.scenario("none", trades=losses(11, strategy="rsi"))
    engine.script("engine", "/api/paper-trading/portfolio", status=500)
    engine.script("engine", "/api/strategies/active", body="<html>", status=200)
    checked = strategy_watch.look(context())
    assert [run["conf"]["strategy_name"] for run in checked["runs"]] == ["rsi"]
    assert checked["active"] is None
    strategy_watch.say(checked)
    (message,) = db[OUTBOX].find({"severity": "warning"})
    assert "does not tell its balance" in message["body"]
    assert not db[EQUITY_HISTORY].count_documents({})


@pytest.mark.parametrize(
    "behaviour",
    [{"status": 500}, {"body": "<html>hello</html>"}, {"drop": True}, {"success_false": "no"}, {"json": {"data": 1}}],
)
def test_watchdog_without_trades_judges_nothing(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, behaviour: dict[str, Any]
) -> None:
    engine.script("engine", "/api/paper-trading/trades/closed", **behaviour)
    with pytest.raises(TransientError) as failure:
        strategy_watch.look(context())
    for _ in range(3):
        strategy_watch.notify_blind(context() | {"exception": failure.value})
    (message,) = db[OUTBOX].find()
    assert (message["severity"], "blind" in message["title"]) == ("error", True)


def test_lever_that_is_off_is_refused_with_the_way_to_switch_it_on(setting: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="TRADING_OPS_BLUNT_LEVER=both_directions"):
        halting.way(context({"reason": "x"}))
    with pytest.raises(BadInputError, match="nothing to re-assert"):
        halting.way(context({"reason": "x", "trigger": "reassert"}))


def test_what_is_not_disabled_cannot_be_enabled(setting: pytest.MonkeyPatch, db: Db) -> None:
    with pytest.raises(BadInputError, match=r"rsi is not disabled.*disabled: nothing"):
        enabling.case_for(context({"strategy_name": "rsi", "reason": "x"}))


def test_what_was_disabled_while_mongodb_was_away_can_be_enabled_as_soon_as_it_is_back(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    with setting.context() as meanwhile:
        mongodb_away(meanwhile)
        emergency.disable_now(kill())
    assert "Consecutive losses: 12 trades" in enabling.case_for(context({"strategy_name": "rsi", "reason": "x"}))


def test_approval_of_an_older_case_enables_nothing(setting: pytest.MonkeyPatch, engine: Control, db: Db) -> None:
    disabled(db)
    params, ti = {"strategy_name": "rsi", "reason": "x"}, Runs()
    enabling.case_for(context(params, ti))
    enabled(db)
    set_state(db, Order("rsi", "disabled", "it lost again", "watchdog", "later", datetime.now(UTC), {}))
    with pytest.raises(BadInputError, match=r"stopped again after this case was written .*it lost again"):
        enabling.enable_now("case", context(params, Runs().answered(True, version=ti.pushed["version"])))
    record = read_record(db, "rsi")
    assert record is not None
    assert record.disabled
    assert not [request for request in engine.requests("engine") if request["method"] == "POST"]


def disabled(db: Db, name: str = "rsi", **evidence: Any) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    set_state(db, Order(name, "disabled", "12 losses", "watchdog", "earlier", at, evidence))


@pytest.mark.critical
def test_tc_async_064_without_an_approval_nothing_is_enabled(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    disabled(db)
    params = {"strategy_name": "rsi", "reason": "x"}
    for ti, refusal, why in (
        (Runs(), NotFollowedError, "nobody has approved it"),
        (Runs().answered(False), AirflowSkipException, "refused by bob"),
    ):
        with pytest.raises(refusal, match=why):
            enabling.enable_now("case", context(params, ti))
    assert engine.requests("engine") == []
    assert enabling.end(context(params, Runs().answered(False)))["refused_by"] == "bob"
    record = read_record(db, "rsi")
    assert record is not None
    assert record.disabled


def test_approved_record_stays_when_the_engine_is_told_only_at_the_second_try(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    disabled(db)
    engine.script("engine", "/api/strategies/rsi/enable", status=500, times=1)
    run = context({"strategy_name": "rsi", "reason": "fixed"}, Runs().answered(True))
    with pytest.raises(TransientError):
        enabling.enable_now("the case", run)
    result = enabling.enable_now("the case", run)
    assert (result["status"], result["approved_by"], result["disabled_reason"]) == ("success", "bob", "12 losses")
    record = read_record(db, "rsi")
    assert record is not None
    assert (record.state, record.by, record.confirmed, record.version) == ("enabled", "bob", True, 2)
    assert record.evidence == {"asked_by": "ann", "case": "the case"}


def test_engine_that_cannot_be_told_to_enable_makes_the_run_red_and_is_said(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    disabled(db)
    engine.engine_state(spec_endpoints=False)
    with pytest.raises(NotFollowedError, match="could not be told"):
        enabling.enable_now("case", context({"strategy_name": "rsi", "reason": "x"}, Runs().answered(True)))
    (message,) = db[OUTBOX].find()
    assert "the engine was not told" in message["title"]


def test_strategy_that_the_engine_could_never_stop_is_enabled_in_the_record_alone(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    engine.engine_state(spec_endpoints=False)
    with pytest.raises(StillTradesError):
        emergency.disable_now(kill())
    run = context({"strategy_name": "rsi", "reason": "stopped by hand, corrected"}, Runs().answered(True), "enable")
    assert enabling.enable_now("case", run)["status"] == "success"
    record = read_record(db, "rsi")
    assert record is not None
    assert not record.disabled


@pytest.mark.parametrize("lever", ["both_directions", "min_confidence"])
def test_book_is_halted_halted_again_after_a_restart_without_asking_and_released(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, lever: Lever
) -> None:
    setting.setenv("TRADING_OPS_BLUNT_LEVER", lever)
    get_settings.cache_clear()
    engine.engine_state(spec_endpoints=False)
    commands = EngineCommands(get_settings().engine_base_url, 5)
    for ti, refusal, why in (
        (Runs(), NotFollowedError, "nobody has approved"),
        (Runs().answered(False), AirflowSkipException, "refused by bob"),
    ):
        with pytest.raises(refusal, match=why):
            halting.halt_now(context({"reason": "crash"}, ti))
    assert not holds(commands, lever)
    halted = halting.halt_now(context({"reason": "crash"}, Runs().answered(True), "halt"))
    assert (halted["status"], halted["approved_by"]) == ("success", "bob")
    assert holds(commands, lever)
    assert strategy_watch.look(context())["runs"] == []
    db["kill_switch"].update_one({}, {"$set": {"changed_at": datetime.now(UTC) - timedelta(minutes=2)}})
    assert strategy_watch.look(context())["runs"] == [], "it holds"
    engine.restart_engine()
    (run,) = strategy_watch.look(context(run_id="check"))["runs"]
    assert (run["trigger_dag_id"], run["trigger_run_id"]) == ("halt_new_entries", "rehalt__check")
    ti = Runs()
    assert halting.way(context(run["conf"], ti)) == "halt"
    assert halting.halt_now(context(run["conf"], ti, "rehalt"))["approved_by"] == "bob"
    assert holds(commands, lever)
    case = enabling.case_for(context({"strategy_name": "book", "reason": "calm"}))
    assert "crash" in case
    released = enabling.enable_now(case, context({"strategy_name": "book", "reason": "calm"}, Runs().answered(True)))
    assert released["status"] == "success"
    assert not holds(commands, lever)
    stops = [asked for asked in engine.requests("engine") if asked["path"].endswith("/stop")]
    assert not stops


def test_halt_that_the_engine_does_not_take_is_red_and_critical(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    setting.setenv("TRADING_OPS_BLUNT_LEVER", "both_directions")
    get_settings.cache_clear()
    engine.script("engine", "/api/paper-trading/basic-settings", method="PUT", status=500)
    run = context({"reason": "crash"}, Runs().answered(True))
    with pytest.raises(TransientError):
        halting.halt_now(run)
    run["task_state_store"].set(COUNT_KEY, emergency.RETRIES)
    with pytest.raises(NotFollowedError, match="not stopped"):
        halting.halt_now(run)
    (message,) = db[OUTBOX].find()
    assert (message["severity"], "could NOT be stopped" in message["title"]) == ("critical", True)


def halted(setting: pytest.MonkeyPatch, engine: Control) -> EngineCommands:
    """New entries are stopped with the approval of a person; return the commands to look at the engine with."""
    setting.setenv("TRADING_OPS_BLUNT_LEVER", "both_directions")
    get_settings.cache_clear()
    assert halting.halt_now(context({"reason": "crash"}, Runs().answered(True), "halt"))["status"] == "success"
    engine.restart_engine()
    setting.setenv("TRADING_OPS_BLUNT_LEVER", "off")
    get_settings.cache_clear()
    return EngineCommands(get_settings().engine_base_url, 5)


REASSERT = {"reason": "an approved halt was undone", "trigger": "reassert"}


def test_person_who_takes_the_halt_back_while_it_is_asserted_again_has_the_last_word(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    commands = halted(setting, engine)
    enabled(db, "book")
    assert halting.halt_now(context(REASSERT))["status"] == "skipped"
    assert not any(holds(commands, lever) for lever in ("both_directions", "min_confidence"))
    record = read_record(db, "book")
    assert record is not None
    assert not record.disabled


def test_halt_is_not_asserted_again_on_a_guess(setting: pytest.MonkeyPatch, engine: Control, db: Db) -> None:
    commands = halted(setting, engine)
    mongodb_away(setting)
    for step in (halting.way, halting.halt_now):
        with pytest.raises(TransientError):
            step(context(REASSERT))
    assert not any(holds(commands, lever) for lever in ("both_directions", "min_confidence"))


def test_repeated_failure_to_halt_again_is_said_once_in_a_while(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    halted(setting, engine)
    db[OUTBOX].delete_many({})
    engine.script("engine", "/api/paper-trading/basic-settings", method="PUT", status=500)
    for number in range(3):
        run = context(REASSERT, run_id=f"rehalt__{number}")
        run["task_state_store"].set(COUNT_KEY, emergency.RETRIES)
        with pytest.raises(NotFollowedError, match="not stopped"):
            halting.halt_now(run)
    (message,) = db[OUTBOX].find()
    assert "could NOT be stopped" in message["title"]
    engine.reset("engine")
    assert halting.halt_now(context(REASSERT, run_id="rehalt__4"))["status"] == "success"
    assert db[OUTBOX].count_documents({"title": "All new entries are stopped"}) == 1


def test_halt_without_a_record_is_said_and_keeps_the_former_values_for_the_next_try(
    setting: pytest.MonkeyPatch, engine: Control, db: Db, tmp_path: Path
) -> None:
    setting.setenv("TRADING_OPS_BLUNT_LEVER", "both_directions")
    get_settings.cache_clear()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "spool").write_text("no folder")
    run = context({"reason": "crash"}, Runs().answered(True))
    with setting.context() as meanwhile:
        mongodb_away(meanwhile)
        with pytest.raises(TransientError, match="no record of it could be kept"):
            halting.halt_now(run)
        assert holds(EngineCommands(get_settings().engine_base_url, 5), "both_directions")
        states = {"task_state_store": Store(run["task_state_store"])}
        last = context({"reason": "crash"}, Runs().answered(True)) | states
        last["task_state_store"].set(COUNT_KEY, emergency.RETRIES)
        with pytest.raises(NotFollowedError, match="stopped, but no record"):
            halting.halt_now(last)
        assert any("All new entries are stopped, but no record of it is kept" in alert for alert in alerts(engine))
    assert halting.halt_now(run)["status"] == "success"
    record = read_record(db, "book")
    assert record is not None
    assert record.evidence["former"] == {"short_only_mode": False, "long_only_mode": False}


@pytest.mark.parametrize(
    ("chosen", "user", "left"),
    [
        ("Approve", {"id": "1", "name": "bob"}, {"approved": True, "by": "bob"}),
        ("Reject", {"id": "1", "name": "bob"}, {"approved": False, "by": "bob"}),
        ("Reject", None, {"approved": False, "by": NOBODY}),
        ("Approve", {"id": "7"}, {"approved": True, "by": "7"}),
    ],
)
def test_answer_and_who_gave_it_can_be_read_afterwards_and_silence_is_a_refusal(
    chosen: str, user: dict[str, str] | None, left: dict[str, Any]
) -> None:
    with DAG("asks", schedule=None):
        step, ti = approval("subject", "body"), Runs()
        step >> EmptyOperator(task_id="act")
    assert step.defaults == ["Reject"]
    event = {
        "chosen_options": [chosen], "params_input": {}, "responded_at": datetime.now(UTC), "responded_by_user": user,
    }  # fmt: skip
    context_now: Any = {"ti": ti, "task": step}
    step.execute_complete(context_now, event)  # ends well: a refusal skips nothing from here, it may be asked for again
    assert ti.pushed == {"answer": left}


def test_gpt4_is_switched_on_by_an_approval_alone_and_the_case_is_plain_text(
    setting: pytest.MonkeyPatch, engine: Control, db: Db
) -> None:
    switch_off(db, "Daily cost $6.50 exceeds $5.00 limit", {}, "watch_api_costs/run", datetime.now(UTC))
    params = {"reason": "repaired\n\n# Approve [now](http://x)"}
    case = gpt4_switch.gather_evidence(context(params))
    assert case["on"] is False
    assert "Daily cost $6.50" in case["text"]
    assert r"repaired \# Approve \[now\](http://x)" in case["text"]

    def after(ti: Runs) -> dict[str, Any]:
        ti.given["gather_evidence", "return_value"] = case
        return context(params, ti)

    for ti, refusal, why in (
        (Runs(), TradingOpsError, "nobody has approved it"),
        (Runs().answered(False), AirflowSkipException, "refused by bob"),
    ):
        with pytest.raises(refusal, match=why):
            gpt4_switch.switch_on_again(after(ti))
        end = gpt4_switch.end(after(ti))
        assert (end["outcome"], end["on"]) == ("refused", False)
    assert end["refused_by"] == "bob"
    assert gpt4_switch.switch_on_again(after(Runs().answered(True)))["on"] is True
    end = gpt4_switch.end(after(Runs().answered(True)))
    assert (end["outcome"], end["approved_by"], end["on"]) == ("switched_on", "bob", True)
    case = gpt4_switch.gather_evidence(context(params))
    assert gpt4_switch.end(after(Runs()))["outcome"] == "already_on"


def test_emergency_is_tried_again_within_seconds(setting: pytest.MonkeyPatch) -> None:
    policy = TransientRetryPolicy(emergency.RETRIES, emergency.RETRY_DELAYS_S)
    again = TransientRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))
    store = Store()
    delays = []
    while (decision := again.evaluate(TransientError("x"), 1, 8, {"task_state_store": store})).retry_delay is not None:
        delays.append(decision.retry_delay.total_seconds())
    assert len(delays) == emergency.RETRIES
    assert all(asked <= delay <= asked * 1.2 for asked, delay in zip(emergency.RETRY_DELAYS_S, delays, strict=True))
