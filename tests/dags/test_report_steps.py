"""The steps of the reports where a whole run is not needed to see them: retries, MongoDB away, a refused mail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from dags.wiring import costs, performance, portfolio
from dags.wiring.retry import COUNT_KEY
from dags.wiring.runtime import database
from include.errors import MalformedAnswerError, ServiceUnavailableError, TradingOpsError
from include.notify.deliver_waiting import deliver_waiting
from include.settings import get_settings
from include.store.collections import PERFORMANCE_METRICS, PORTFOLIO_REPORTS
from include.store.spool import Spool
from include.trading.performance import analyse
from include.trading.trades import parse_trades
from sandbox.control import Control
from sandbox.launcher import Sandbox
from sandbox.mongod import Mongod, free_port
from tests.analyst.evidence_parts import POOR
from tests.trading.engine_answers import CLOSED, NOW, PORTFOLIO, envelope, trade, week
from tests.trading.loopback import LoopbackServer, Reply, as_json, loopback

# The steps open a client each and leave it to the end of their process.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

PORTFOLIO_PATH = "/api/paper-trading/portfolio"
HTML = Reply(200, b"<html>maintenance</html>", "text/html")


class TaskInstance:
    """What the steps ask of their task instance."""

    dag_id, try_number = "report", 1

    def __init__(self, runs: int = 1) -> None:
        self.runs = runs

    def get_dr_count(self, **_: Any) -> int:
        return self.runs


def context(run_id: str = "run-1", *, retried: bool = True) -> dict[str, Any]:
    store = {COUNT_KEY: portfolio.ENGINE_RETRIES} if retried else {}
    return {"ti": TaskInstance(), "run_id": run_id, "params": {}, "task_state_store": store}


@pytest.fixture
def engine() -> Iterator[LoopbackServer]:
    with loopback() as server:
        yield server


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: LoopbackServer) -> Iterator[None]:
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_OPS_MONGO_DATABASE", "report_steps")
    monkeypatch.setenv("TRADING_OPS_ENGINE_BASE_URL", engine.url)
    monkeypatch.setenv("TRADING_OPS_AI_SERVICE_BASE_URL", "")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def mongo(monkeypatch: pytest.MonkeyPatch, mongod: Mongod) -> Iterator[Any]:
    connection = {"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port}
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(connection))
    db = database()
    yield db
    db.client.drop_database(db.name)
    db.client.close()


@pytest.fixture
def mongo_away(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"serverSelectionTimeoutMS": 200}
    connection = {"conn_type": "mongo", "host": "127.0.0.1", "port": free_port(), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(connection))
    monkeypatch.setattr("include.store.durable.TIMEOUT_S", 0.3)


def spooled(tmp_path: Path) -> list[Any]:
    spool = Spool(tmp_path / "spool")
    return [spool.read(path) for path in spool.pending()]


@pytest.mark.usefixtures("mongo_away")
@pytest.mark.parametrize(
    ("reply", "error"),
    [(HTML, MalformedAnswerError), (Reply(500), ServiceUnavailableError), (Reply(drop=True), ServiceUnavailableError)],
    ids=["html", "500", "nothing"],
)
def test_an_engine_in_trouble_is_asked_again_and_then_reported_as_missing(
    engine: LoopbackServer, reply: Reply, error: type[Exception]
) -> None:
    engine.routes[CLOSED] = as_json(envelope([trade(1.0)]))
    engine.routes[PORTFOLIO_PATH] = reply
    with pytest.raises(error):
        portfolio.measure(context(retried=False))
    report = portfolio.measure(context())
    assert (report["status"], report["balance"], report["total_trades"]) == ("partial", None, 1)
    assert PORTFOLIO_PATH in report["missing"]["portfolio"]
    with pytest.raises(TradingOpsError, match="the report is partial: portfolio"):
        portfolio.require_complete(report)


@pytest.mark.usefixtures("mongo_away")
@pytest.mark.parametrize("configured", [True, False])
def test_a_complete_report_needs_no_mongodb_and_waits_in_the_spool(
    engine: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    if not configured:
        monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", "mongo://%zz:1")
    engine.routes[CLOSED] = as_json(envelope([trade(1.0)]))
    engine.routes[PORTFOLIO_PATH] = as_json(envelope(PORTFOLIO))
    report = portfolio.measure(context())
    portfolio.require_complete(report)
    assert portfolio.store(report, context()) == "spooled"
    (kept,) = spooled(tmp_path)
    assert (kept.collection, kept.document["_id"], kept.document["balance"]) == (PORTFOLIO_REPORTS, "run-1", 10542.75)


@pytest.mark.usefixtures("mongo_away")
def test_without_the_ledger_there_is_no_cost_report() -> None:
    with pytest.raises(ServiceUnavailableError):
        costs.measure(context())


@pytest.mark.usefixtures("mongo_away")
def test_tc_async_050_figures_that_cannot_be_stored_wait_with_the_analysis_they_have_started(tmp_path: Path) -> None:
    analysis = analyse(parse_trades(week(*POOR)), NOW).model_dump(mode="json")
    assert performance.store(analysis, context()) == "run-1"
    assert performance.confirm_child(analysis, context()) == "gpt4__run-1"
    first, second = spooled(tmp_path)
    assert {first.collection, second.collection} == {PERFORMANCE_METRICS}
    assert (first.document["gpt4_analysis_triggered"], second.document["gpt4_analysis_triggered"]) == (False, True)
    assert second.document["gpt4_task_id"] == "gpt4__run-1"


def test_tc_async_050_stored_figures_get_the_analysis_they_have_started(mongo: Any) -> None:
    analysis = analyse(parse_trades(week(*POOR)), NOW).model_dump(mode="json")
    performance.store(analysis, context())
    performance.confirm_child(analysis, context())
    (stored,) = mongo[PERFORMANCE_METRICS].find()
    assert (stored["gpt4_analysis_triggered"], stored["gpt4_task_id"]) == (True, "gpt4__run-1")


def test_tc_async_047_a_mail_server_that_refuses_costs_no_report_and_doubles_none(
    mongo: Any, engine: LoopbackServer, sandbox: Sandbox, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.routes[CLOSED] = as_json(envelope([trade(1.0)]))
    engine.routes[PORTFOLIO_PATH] = as_json(envelope(PORTFOLIO))
    monkeypatch.setenv("TRADING_OPS_NOTIFICATION_CHANNELS", "email")
    monkeypatch.setenv("TRADING_OPS_EMAIL_TO", "admin@example.invalid")
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", sandbox.env["AIRFLOW_CONN_SMTP_DEFAULT"])
    get_settings.cache_clear()
    control.mail_trouble(reply="451 4.3.0 Temporary failure, try again later")
    report = portfolio.measure(context())
    assert portfolio.notify(report, context()) == {"email": "pending"}, "the step is green"
    assert portfolio.notify(report, context()) == {"email": "pending"}, "tried again, not doubled"
    assert control.messages("smtp") == []
    control.mail_trouble(reply="", times=1)  # from now on it takes mails
    for hours in (1, 2):
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=hours), tick=True):
            deliver_waiting(mongo, get_settings())
    (mail,) = control.messages("smtp")
    assert mail["payload"]["subject"].endswith("10,542.75 USDT, +5.43 %")
    assert "cid:equity.png" in mail["payload"]["html"]
    assert [part["name"] for part in mail["payload"]["attachments"]] == ["equity.png"]
